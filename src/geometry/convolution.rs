//! Convolutions and dense layers: geometries whose locations share their weights.

use super::{Geometry, Sharing};
use crate::config::{Bias, Config, DataFormat, Padding};
#[cfg(feature = "models")]
use crate::{Result, config::Activation};

impl Geometry {
    /// A convolution: as a locally connected layer of the same `config`, but with the same weights at every location.
    /// For a depthwise one, `groups` is the number of channels. Keras's `use_bias=True` is [`Bias::PerFilter`] here;
    /// [`Bias::PerLocation`], the default of [`Config`], is a bias for each output element.
    ///
    /// Keras's `same` of convolutions is [`Padding::SameUpper`], its `causal`
    /// [`Padding::causal`](crate::Padding::causal).
    ///
    /// ```
    /// use locally_connected::{Bias, Config, Geometry, Padding};
    /// let config = Config::new(32, [3, 3]).padding(Padding::SameUpper).bias(Bias::PerFilter);
    /// let layer = Geometry::convolution(&config, &[28, 28, 3])?;
    /// assert_eq!((layer.output_shape(), layer.weights()), (vec![28, 28, 32], 3 * 3 * 3 * 32));
    /// # Ok::<(), locally_connected::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Geometry::new`].
    #[cfg(feature = "models")]
    pub fn convolution(config: &Config, input_shape: &[usize]) -> Result<Self> {
        Self::with_sharing(config, input_shape, Sharing::Shared)
    }

    /// A dense layer of `units` on the last axis of its input, as Keras's: all other axes are locations, which share
    /// the weights. Its [`Geometry::input_shape`] is `[product of the other axes][inputs]`, and its output `[product of
    /// the other axes][units]` is laid out as `[other axes…][units]`.
    ///
    /// # Errors
    /// [`Error::InputRank`](crate::Error::InputRank) without an axis, [`Error::NotPositive`](crate::Error::NotPositive) for no
    /// units, and as [`Geometry::new`].
    #[cfg(feature = "models")]
    pub fn dense(units: usize, input_shape: &[usize], bias: bool, activation: Activation) -> Result<Self> {
        let Some((&inputs, others)) = input_shape.split_last() else {
            return Err(crate::Error::InputRank { expected: 1, shape: input_shape.to_vec() });
        };
        let locations = others.iter().fold(1usize, |all, &size| all.saturating_mul(size));
        let config = Config::new(units, [1]).activation(activation);
        let config = config.bias(if bias { Bias::PerFilter } else { Bias::None });
        Self::convolution(&config, &[locations, inputs])
    }

    /// Whether locations have weights of their own.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Cells with weights of their own: all cells or, if locations share weights, one for each group.
    #[must_use]
    pub fn weight_cells(&self) -> u32 {
        match self.sharing {
            Sharing::Unshared => self.cells(),
            #[cfg(feature = "models")]
            Sharing::Shared => self.groups(),
        }
    }

    /// The number, among [`Geometry::weight_cells`], of the weights of a cell.
    #[must_use]
    pub fn weight_cell(&self, cell: u32) -> u32 {
        match self.sharing {
            Sharing::Unshared => cell,
            #[cfg(feature = "models")]
            Sharing::Shared => cell % self.groups(),
        }
    }

    /// Whether several locations share their weights. A dense layer of one location is a locally connected one as well.
    #[must_use]
    pub(crate) fn shares_weights(&self) -> bool {
        self.sharing != Sharing::Unshared && self.locations() > 1
    }

    /// Whether a weight's gradient is a sum over samples only, where locations that are like samples count as samples.
    #[cfg(feature = "models")]
    #[must_use]
    pub(crate) fn sums_over_samples(&self) -> bool {
        !self.shares_weights() || self.of_one_location(self.config.data_format).is_some()
    }

    /// The layer of one location that computes this layer with its locations as further samples. That is possible for
    /// windows of one position, one after the other, where operands in `format` are laid out accordingly; none for
    /// other layers.
    #[must_use]
    pub(crate) fn of_one_location(&self, format: DataFormat) -> Option<Self> {
        let alone = |axis: &super::AxisTaps| axis.taps == 1 && axis.output == axis.input && axis.is_unpadded();
        let last = format == DataFormat::ChannelsLast;
        let like_samples = self.shares_weights()
            && (last || self.channels == 1 && self.filters() == 1)
            && self.config.bias != Bias::PerLocation
            && self.axes().is_some_and(|axes| axes.iter().all(alone));
        if !like_samples {
            return None;
        }
        let rank = self.config.rank();
        let config = Config {
            strides: vec![1; rank],
            dilation_rate: vec![1; rank],
            padding: Padding::Valid,
            data_format: DataFormat::ChannelsLast,
            ..self.config.clone()
        };
        let mut input = vec![1; rank];
        input.push(self.channels as usize);
        Self::with_sharing(&config, &input, self.sharing).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_share_a_convolution_s_weights() -> Result<()> {
        let config = Config::new(6, [3, 2]).groups(2).padding(Padding::SameUpper).bias(Bias::PerFilter);
        let layer = Geometry::convolution(&config, &[5, 4, 4])?;
        assert_eq!((layer.cells(), layer.weight_cells(), layer.weights()), (40, 2, 2 * 12 * 3));
        assert_eq!([0, 1, 2, 39].map(|cell| layer.weight_cell(cell)), [0, 1, 0, 1]);
        assert!(layer.shares_weights() && layer.of_one_location(DataFormat::ChannelsLast).is_none());
        assert_ne!(layer, Geometry::new(&config, &[5, 4, 4])?);
        assert_ne!(layer.signature(), Geometry::new(&config, &[5, 4, 4])?.signature());
        Ok(())
    }

    #[test]
    fn a_dense_layer_s_locations_are_like_samples() -> Result<()> {
        let layer = Geometry::dense(7, &[2, 3, 5], true, Activation::Linear)?;
        assert_eq!((layer.input_shape(), layer.output_shape(), layer.weights()), (&[6, 5][..], vec![6, 7], 35));
        let one = layer.of_one_location(DataFormat::ChannelsLast).expect("no neighbours");
        assert_eq!((one.inputs(), one.outputs(), one.locations()), (5, 7, 1));
        assert!(!one.shares_weights() && one.biases() == 7);
        assert!(
            Geometry::dense(7, &[5], false, Activation::Linear)?.of_one_location(DataFormat::ChannelsLast).is_none()
        );
        let first = Config::new(7, [1]).data_format(DataFormat::ChannelsFirst).bias(Bias::None);
        assert!(Geometry::convolution(&first, &[5, 6])?.of_one_location(DataFormat::ChannelsFirst).is_none());
        assert!(Geometry::dense(7, &[], false, Activation::Linear).is_err());
        Ok(())
    }
}

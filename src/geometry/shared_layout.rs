//! Keras's kernels of convolutions and dense layers, to and from the canonical `[groups][K][F/G]`.

use super::{Geometry, Sharing};
use crate::{Error, Result};

/// The layer of Keras's that a kernel belongs to. All of them are laid out as `[taps][channels of a group][filters]`,
/// the filters group by group, in either data format; only their shapes differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SharedLayout {
    /// `kernel` of `Conv1D`, `Conv2D`, `Conv3D`: `(taps…, channels / groups, filters)`.
    Convolution,
    /// `depthwise_kernel` of `DepthwiseConv1D` and `2D`, and of the separable convolutions:
    /// `(taps…, channels, depth_multiplier)`.
    Depthwise,
    /// `kernel` of `Dense`: `(inputs, units)`.
    Dense,
}

/// The order of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Keras,
    Canonical,
}

impl SharedLayout {
    /// Checks that `geometry` is a layer of this kind.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn check(self, geometry: &Geometry) -> Result<()> {
        let fits = geometry.sharing() != Sharing::Unshared
            && match self {
                Self::Convolution => true,
                Self::Depthwise => geometry.groups() == geometry.channels(),
                Self::Dense => geometry.groups() == 1 && geometry.taps() == 1,
            };
        let (what, with) = match self {
            Self::Convolution => ("a convolution's kernel", "by a layer whose locations have weights of their own"),
            Self::Depthwise => ("a depthwise kernel", "by a layer that isn't depthwise"),
            Self::Dense => ("a dense kernel", "by a layer that isn't dense"),
        };
        if fits { Ok(()) } else { Err(Error::Unsupported { what: what.into(), with: with.into() }) }
    }

    /// Shape of the Keras variable.
    #[must_use]
    pub fn shape(self, geometry: &Geometry) -> Vec<usize> {
        let filters = geometry.filters() as usize;
        let last = match self {
            Self::Convolution => [geometry.group_channels() as usize, filters],
            Self::Depthwise => [geometry.channels() as usize, geometry.group_filters() as usize],
            Self::Dense => return vec![geometry.channels() as usize, filters],
        };
        [&geometry.config().kernel_size[..], &last].concat()
    }

    /// The canonical weights of a Keras variable.
    ///
    /// # Errors
    /// [`Error::Length`] if it hasn't as many elements as [`SharedLayout::shape`], and those of
    /// [`SharedLayout::check`].
    pub fn to_canonical(self, geometry: &Geometry, kernel: &[f32]) -> Result<Vec<f32>> {
        self.reordered(geometry, Order::Keras, kernel)
    }

    /// As [`SharedLayout::to_canonical`], taking the variable: if both orders are the same it is returned, and nothing
    /// is copied.
    ///
    /// # Errors
    /// As [`SharedLayout::to_canonical`].
    pub fn into_canonical(self, geometry: &Geometry, kernel: Vec<f32>) -> Result<Vec<f32>> {
        self.check(geometry)?;
        if geometry.groups() == 1 && kernel.len() as u64 == geometry.weights() {
            return Ok(kernel);
        }
        self.to_canonical(geometry, &kernel)
    }

    /// The Keras variable of canonical weights.
    ///
    /// # Errors
    /// As [`SharedLayout::to_canonical`].
    pub fn from_canonical(self, geometry: &Geometry, canonical: &[f32]) -> Result<Vec<f32>> {
        self.reordered(geometry, Order::Canonical, canonical)
    }

    /// Copies the filters of every row of weights from one order into the other.
    fn reordered(self, geometry: &Geometry, from: Order, values: &[f32]) -> Result<Vec<f32>> {
        self.check(geometry)?;
        if values.len() as u64 != geometry.weights() {
            let what = if from == Order::Keras { "kernel" } else { "canonical weights" };
            let (expected, found) = (geometry.weights(), values.len() as u64);
            return Err(Error::Length { what, expected, found, shape: self.shape(geometry) });
        }
        let (groups, rows) = (geometry.groups() as usize, geometry.window() as usize);
        let filters = geometry.group_filters() as usize;
        if groups == 1 {
            return Ok(values.to_vec());
        }
        let mut reordered = vec![0.0; values.len()];
        for (row, group) in (0..rows).flat_map(|row| (0..groups).map(move |group| (row, group))) {
            let (keras, canonical) = ((row * groups + group) * filters, (group * rows + row) * filters);
            let (from, to) = if from == Order::Keras { (keras, canonical) } else { (canonical, keras) };
            reordered[to..][..filters].copy_from_slice(&values[from..][..filters]);
        }
        Ok(reordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Activation, Config};

    #[test]
    fn shapes_and_orders_equal_keras() -> Result<()> {
        use SharedLayout::{Convolution, Dense, Depthwise};
        let grouped = Geometry::convolution(&Config::new(6, [2]).groups(2), &[5, 4])?;
        assert_eq!(Convolution.shape(&grouped), [2, 2, 6]);
        let kernel: Vec<f32> = (0..24u8).map(f32::from).collect();
        let canonical = Convolution.to_canonical(&grouped, &kernel)?;
        // Of the first group: taps and channels, each with three filters.
        assert_eq!(canonical[..12], [0.0, 1.0, 2.0, 6.0, 7.0, 8.0, 12.0, 13.0, 14.0, 18.0, 19.0, 20.0]);
        assert_eq!(Convolution.from_canonical(&grouped, &canonical)?, kernel);
        assert!(Depthwise.to_canonical(&grouped, &kernel).is_err() && Dense.check(&grouped).is_err());

        let depthwise = Geometry::convolution(&Config::new(6, [2, 2]).groups(3), &[5, 4, 3])?;
        assert_eq!(Depthwise.shape(&depthwise), [2, 2, 3, 2]);
        let canonical = Depthwise.to_canonical(&depthwise, &kernel)?;
        assert_eq!(canonical[8..16], [2.0, 3.0, 8.0, 9.0, 14.0, 15.0, 20.0, 21.0]);

        let dense = Geometry::dense(3, &[8], true, Activation::Linear)?;
        assert_eq!(Dense.shape(&dense), [8, 3]);
        assert_eq!(Dense.to_canonical(&dense, &kernel)?, kernel);
        let short = Dense.from_canonical(&dense, &kernel[1..]);
        assert!(matches!(short, Err(Error::Length { expected: 24, found: 23, .. })));
        let unshared = Geometry::new(&Config::new(3, [1]), &[1, 8])?;
        assert!(Dense.check(&unshared).is_err());
        Ok(())
    }
}

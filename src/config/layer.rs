//! The arguments of a layer.

use super::{
    Activation, Bias, Constraint, DataFormat, Implementation, Initializer, Padding, PerAxis, Regularizer, WeightType,
};
use crate::{Error, Result};

/// The arguments of a locally connected layer, under Keras's names (docs/keras.md lists Keras's arguments). Every field
/// has a method of the same name that sets it.
///
/// ```
/// use locally_connected::{Activation, Config, Padding};
/// let config = Config::new(64, [3, 3]).activation(Activation::RELU).padding(Padding::Same);
/// assert_eq!(config.rank(), 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Config {
    /// Output channels; at least 1.
    pub filters: usize,
    /// Window sizes, one for each spatial axis, in the order of the data's axes: height before width. Their number is
    /// the layer's rank, 1 to 3.
    pub kernel_size: Vec<usize>,
    /// Steps between windows, one per spatial axis in the same order; at least 1.
    pub strides: Vec<usize>,
    /// What happens at the edges.
    pub padding: Padding,
    /// Where the channels are.
    pub data_format: DataFormat,
    /// Steps between the taps of a window, one per spatial axis; at least 1.
    pub dilation_rate: Vec<usize>,
    /// Groups of channels, each connected to its own filters only; at least 1.
    pub groups: usize,
    /// The activation, applied after the bias.
    pub activation: Activation,
    /// Which bias is added.
    pub bias: Bias,
    /// How the layer is executed; none is the planner's choice, in JSON `"auto"`.
    #[cfg_attr(feature = "serde", serde(with = "super::implementation"))]
    pub implementation: Option<Implementation>,
    /// How the weights are stored on the device.
    pub dtype: WeightType,
    /// How new weights are drawn.
    pub kernel_initializer: Initializer,
    /// How a new bias is drawn.
    pub bias_initializer: Initializer,
    /// What the weights add to the loss.
    pub kernel_regularizer: Option<Regularizer>,
    /// What the bias adds to the loss.
    pub bias_regularizer: Option<Regularizer>,
    /// What the activated output adds to the loss, divided by the batch.
    pub activity_regularizer: Option<Regularizer>,
    /// What the weights are constrained to after each step.
    pub kernel_constraint: Option<Constraint>,
    /// What the bias is constrained to after each step.
    pub bias_constraint: Option<Constraint>,
}

impl Config {
    /// A layer with `filters` output channels and windows of `kernel_size`; all else as Keras's defaults.
    #[must_use]
    pub fn new(filters: usize, kernel_size: impl Into<Vec<usize>>) -> Self {
        let kernel_size = kernel_size.into();
        let ones = vec![1; kernel_size.len()];
        Self {
            filters,
            kernel_size,
            strides: ones.clone(),
            padding: Padding::Valid,
            data_format: DataFormat::ChannelsLast,
            dilation_rate: ones,
            groups: 1,
            activation: Activation::Linear,
            bias: Bias::PerLocation,
            implementation: None,
            dtype: WeightType::F32,
            kernel_initializer: Initializer::GLOROT_UNIFORM,
            bias_initializer: Initializer::Zeros,
            kernel_regularizer: None,
            bias_regularizer: None,
            activity_regularizer: None,
            kernel_constraint: None,
            bias_constraint: None,
        }
    }

    /// A layer of one spatial axis: Keras's `LocallyConnected1D(filters, kernel_size)`.
    #[must_use]
    pub fn local1d(filters: usize, kernel_size: usize) -> Self {
        Self::new(filters, [kernel_size])
    }

    /// A layer of two spatial axes: Keras's `LocallyConnected2D(filters, kernel_size)`. A single size is for both.
    ///
    /// ```
    /// use locally_connected::Config;
    /// assert_eq!(Config::local2d(64, 3), Config::new(64, [3, 3]));
    /// assert_eq!(Config::local2d(64, [5, 3]).strides(2).strides, [2, 2]);
    /// ```
    #[must_use]
    pub fn local2d(filters: usize, kernel_size: impl Into<PerAxis>) -> Self {
        Self::new(filters, kernel_size.into().of_rank(2))
    }

    /// A layer of three spatial axes. A single size is for all.
    #[must_use]
    pub fn local3d(filters: usize, kernel_size: impl Into<PerAxis>) -> Self {
        Self::new(filters, kernel_size.into().of_rank(3))
    }

    /// Sets the output channels.
    #[must_use]
    pub fn filters(mut self, filters: usize) -> Self {
        self.filters = filters;
        self
    }

    /// Sets the window sizes: one size for all axes, or a list whose length becomes the layer's rank.
    #[must_use]
    pub fn kernel_size(mut self, kernel_size: impl Into<PerAxis>) -> Self {
        self.kernel_size = kernel_size.into().of_rank(self.rank());
        self
    }

    /// Sets the steps between windows: one for all axes, or one for each.
    #[must_use]
    pub fn strides(mut self, strides: impl Into<PerAxis>) -> Self {
        self.strides = strides.into().of_rank(self.rank());
        self
    }

    /// Sets what happens at the edges.
    #[must_use]
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Sets where the channels are.
    #[must_use]
    pub fn data_format(mut self, data_format: DataFormat) -> Self {
        self.data_format = data_format;
        self
    }

    /// Sets the steps between the taps of a window: one for all axes, or one for each.
    #[must_use]
    pub fn dilation_rate(mut self, dilation_rate: impl Into<PerAxis>) -> Self {
        self.dilation_rate = dilation_rate.into().of_rank(self.rank());
        self
    }

    /// Sets the number of channel groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets the activation, which is applied after the bias.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Sets which bias is added.
    #[must_use]
    pub fn bias(mut self, bias: Bias) -> Self {
        self.bias = bias;
        self
    }

    /// Sets how the layer is executed; none is the planner's choice.
    #[must_use]
    pub fn implementation(mut self, implementation: impl Into<Option<Implementation>>) -> Self {
        self.implementation = implementation.into();
        self
    }

    /// Sets how the weights are stored on the device.
    #[must_use]
    pub fn dtype(mut self, dtype: WeightType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Sets how new weights are drawn.
    #[must_use]
    pub fn kernel_initializer(mut self, kernel_initializer: Initializer) -> Self {
        self.kernel_initializer = kernel_initializer;
        self
    }

    /// Sets how a new bias is drawn.
    #[must_use]
    pub fn bias_initializer(mut self, bias_initializer: Initializer) -> Self {
        self.bias_initializer = bias_initializer;
        self
    }

    /// Sets what the weights add to the loss.
    #[must_use]
    pub fn kernel_regularizer(mut self, kernel_regularizer: impl Into<Option<Regularizer>>) -> Self {
        self.kernel_regularizer = kernel_regularizer.into();
        self
    }

    /// Sets what the bias adds to the loss.
    #[must_use]
    pub fn bias_regularizer(mut self, bias_regularizer: impl Into<Option<Regularizer>>) -> Self {
        self.bias_regularizer = bias_regularizer.into();
        self
    }

    /// Sets what the activated output adds to the loss.
    #[must_use]
    pub fn activity_regularizer(mut self, activity_regularizer: impl Into<Option<Regularizer>>) -> Self {
        self.activity_regularizer = activity_regularizer.into();
        self
    }

    /// Sets what the weights are constrained to after each step.
    #[must_use]
    pub fn kernel_constraint(mut self, kernel_constraint: impl Into<Option<Constraint>>) -> Self {
        self.kernel_constraint = kernel_constraint.into();
        self
    }

    /// Sets what the bias is constrained to after each step.
    #[must_use]
    pub fn bias_constraint(mut self, bias_constraint: impl Into<Option<Constraint>>) -> Self {
        self.bias_constraint = bias_constraint.into();
        self
    }

    /// Number of spatial axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.kernel_size.len()
    }

    /// Checks everything that can be checked before the input's shape is known.
    ///
    /// # Errors
    /// [`Error::UnsupportedRank`], [`Error::Rank`], [`Error::NotPositive`].
    pub fn check(&self) -> Result<()> {
        let rank = self.rank();
        if !(1..=3).contains(&rank) {
            return Err(Error::UnsupportedRank { found: rank });
        }
        for (argument, values) in
            [("kernel_size", &self.kernel_size), ("strides", &self.strides), ("dilation_rate", &self.dilation_rate)]
        {
            if values.len() != rank {
                return Err(Error::Rank { argument, expected: rank, found: values.len() });
            }
            if values.contains(&0) {
                return Err(Error::NotPositive { argument, value: 0 });
            }
        }
        if let Padding::Explicit(pads) = &self.padding
            && pads.len() != rank
        {
            return Err(Error::Rank { argument: "padding", expected: rank, found: pads.len() });
        }
        for (argument, value) in [("filters", self.filters), ("groups", self.groups)] {
            if value == 0 {
                return Err(Error::NotPositive { argument, value: 0 });
            }
        }
        Ok(())
    }
}

//! What the user asks for, in Keras's names.

mod activation;
mod how;
#[cfg(feature = "serde")]
mod implementation;
mod layout;
mod padding;

pub(crate) use activation::codes;
pub use activation::{Activation, Saved};
pub use how::How;
pub use layout::KerasLayout;
pub use padding::Padding;

use crate::{Error, Result};

/// Where the channels stand in inputs and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum DataFormat {
    /// `[batch][spatial…][channels]`.
    #[default]
    ChannelsLast,
    /// `[batch][channels][spatial…]`.
    ChannelsFirst,
}

/// Which bias is added to the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Bias {
    /// None.
    None,
    /// One value per output element: Keras's `use_bias=True`.
    #[default]
    PerLocation,
    /// One value per filter, shared by all locations (cuda-convnet's `sharedBiases`).
    PerFilter,
}

/// How the layer is executed. Whatever is chosen, the results are the same function of the same weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Implementation {
    /// Keras's implementation 1: a small product per output location.
    Loop,
    /// Keras's implementation 2: one product with a masked dense matrix.
    DenseMatmul,
    /// Keras's implementation 3: a sparse matrix with an index per connection.
    SparseGather,
}

impl Implementation {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Loop, Self::DenseMatmul, Self::SparseGather];

    /// The short name used in reports: `loop`, `dense` or `sparse`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::DenseMatmul => "dense",
            Self::SparseGather => "sparse",
        }
    }
}

/// How weights are stored on the device. Sums are f32 in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum WeightType {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats, two to a word, widened on use: half the bytes, 11 bits of precision in each weight.
    F16,
}

impl WeightType {
    /// Both.
    pub const ALL: [Self; 2] = [Self::F32, Self::F16];

    /// Bytes of a buffer of so many elements: whole words, and at least one, as bindings must have.
    #[must_use]
    pub const fn bytes(self, elements: u64) -> u64 {
        let words = match self {
            Self::F32 => elements,
            Self::F16 => elements.div_ceil(2),
        };
        if words == 0 { 4 } else { words.saturating_mul(4) }
    }
}

/// The arguments of a locally connected layer, under Keras's names (docs/keras.md has each of Keras's arguments). Every field
/// has a method of its name, that sets it.
///
/// ```
/// use locally_connected::{Activation, Config, Padding};
/// let config = Config::new(64, [3, 3]).activation(Activation::RELU).padding(Padding::Same);
/// assert_eq!(config.rank(), 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// Output channels; at least 1.
    pub filters: usize,
    /// Window sizes, one per spatial axis; their number is the layer's rank, 1 to 3.
    pub kernel_size: Vec<usize>,
    /// Steps between windows, one per spatial axis; at least 1.
    pub strides: Vec<usize>,
    /// What happens at the edges.
    #[cfg_attr(feature = "serde", serde(default))]
    pub padding: Padding,
    /// Where the channels stand.
    #[cfg_attr(feature = "serde", serde(default))]
    pub data_format: DataFormat,
    /// Steps between the taps of a window, one per spatial axis; at least 1.
    pub dilation_rate: Vec<usize>,
    /// Groups of channels, each connected to its own filters only; at least 1.
    pub groups: usize,
    /// Applied after the bias.
    #[cfg_attr(feature = "serde", serde(default))]
    pub activation: Activation,
    /// Which bias is added.
    #[cfg_attr(feature = "serde", serde(default))]
    pub bias: Bias,
    /// How the layer is executed; none is the planner's choice, in JSON `"auto"`.
    #[cfg_attr(feature = "serde", serde(default, with = "implementation"))]
    pub implementation: Option<Implementation>,
    /// How the weights are stored on the device.
    #[cfg_attr(feature = "serde", serde(default))]
    pub dtype: WeightType,
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
        }
    }

    /// Sets the output channels.
    #[must_use]
    pub fn filters(mut self, filters: usize) -> Self {
        self.filters = filters;
        self
    }

    /// Sets the window sizes, whose number is the layer's rank.
    #[must_use]
    pub fn kernel_size(mut self, kernel_size: impl Into<Vec<usize>>) -> Self {
        self.kernel_size = kernel_size.into();
        self
    }

    /// Sets the steps between windows.
    #[must_use]
    pub fn strides(mut self, strides: impl Into<Vec<usize>>) -> Self {
        self.strides = strides.into();
        self
    }

    /// Sets what happens at the edges.
    #[must_use]
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Sets where the channels stand.
    #[must_use]
    pub fn data_format(mut self, data_format: DataFormat) -> Self {
        self.data_format = data_format;
        self
    }

    /// Sets the steps between the taps of a window.
    #[must_use]
    pub fn dilation_rate(mut self, dilation_rate: impl Into<Vec<usize>>) -> Self {
        self.dilation_rate = dilation_rate.into();
        self
    }

    /// Sets the number of channel groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets what is applied after the bias.
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

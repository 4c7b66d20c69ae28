//! What the user asks for, in Keras's names.

mod activation;
mod constraint;
mod how;
#[cfg(feature = "serde")]
pub(crate) mod implementation;
mod initializer;
mod layer;
mod layout;
mod padding;
mod per_axis;
mod regularizer;
#[cfg(feature = "serde")]
mod written;

pub(crate) use activation::codes;
pub use activation::{Activation, Saved};
pub use constraint::{Axes, Constraint};
pub use how::How;
pub use initializer::{Distribution, FanMode, Initializer};
pub use layer::Config;
pub use layout::KerasLayout;
pub use padding::Padding;
pub use per_axis::PerAxis;
pub use regularizer::{OrthogonalMode, Regularizer};

use crate::{Error, Result};

/// Where the channels are in inputs and outputs.
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

impl DataFormat {
    /// Keras's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ChannelsLast => "channels_last",
            Self::ChannelsFirst => "channels_first",
        }
    }
}

/// Parses Keras's names, in any case, as its `data_format` does.
impl std::str::FromStr for DataFormat {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word.to_ascii_lowercase().as_str() {
            "channels_last" => Ok(Self::ChannelsLast),
            "channels_first" => Ok(Self::ChannelsFirst),
            _ => {
                let expected = "\"channels_first\", \"channels_last\"";
                Err(Error::UnknownValue { argument: "data_format", expected, value: word.to_owned() })
            }
        }
    }
}

/// Which bias is added to the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Bias {
    /// No bias.
    None,
    /// One value per output element: Keras's `use_bias=True`.
    #[default]
    PerLocation,
    /// One value per filter, shared by all locations (cuda-convnet's `sharedBiases`).
    PerFilter,
}

/// How the layer is executed. All implementations compute the same function of the same weights.
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
    /// All three implementations.
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
    /// Both types.
    pub const ALL: [Self; 2] = [Self::F32, Self::F16];

    /// Bytes of a buffer of so many elements: whole words, and at least one word, as bindings need.
    #[must_use]
    pub const fn bytes(self, elements: u64) -> u64 {
        let words = match self {
            Self::F32 => elements,
            Self::F16 => elements.div_ceil(2),
        };
        if words == 0 { 4 } else { words.saturating_mul(4) }
    }
}

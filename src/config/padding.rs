//! How windows lie at the edges of the input.

use crate::{Error, Result};

/// Where the windows of a spatial axis begin, and what is read outside the input.
///
/// It only decides the tap tables of [`crate::geometry::AxisTaps`]; kernels know no padding modes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Padding {
    /// Windows are wholly inside the input; output length `⌊(n − k) / s⌋ + 1`.
    #[default]
    Valid,
    /// Keras's own `same` of the locally connected layers: window `o` begins at `o·s − ⌊k/2⌋` and is clipped to the
    /// input; output length `⌈n / s⌉`. It equals [`Padding::SameUpper`] for odd kernels at stride 1 and rarely else.
    Same,
    /// TensorFlow's and ONNX's `SAME_UPPER`: window `o` begins at `o·s − ⌊max((out − 1)·s + k − n, 0) / 2⌋`.
    SameUpper,
    /// This many positions before and after each spatial axis, taken as zero.
    Explicit(Vec<[usize; 2]>),
    /// The input repeats around its edges: window `o` begins at `o·s − ⌊(k − 1) / 2⌋`; output length `⌈n / s⌉`
    /// (Flax's `CIRCULAR`).
    Circular,
}

impl Padding {
    /// Keras's `causal` of `Conv1D`: zeroes before the input only, so that no output depends on later inputs.
    #[must_use]
    pub fn causal(kernel_size: usize, dilation_rate: usize) -> Self {
        Self::Explicit(vec![[kernel_size.saturating_sub(1).saturating_mul(dilation_rate), 0]])
    }
}

impl std::fmt::Display for Padding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Valid => f.write_str("valid"),
            Self::Same => f.write_str("same"),
            Self::SameUpper => f.write_str("same_upper"),
            Self::Explicit(pads) => write!(f, "{pads:?}"),
            Self::Circular => f.write_str("circular"),
        }
    }
}

/// Parses the words by which [`Padding`] is shown, in any case; Keras's are `valid` and `same`.
impl std::str::FromStr for Padding {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word.to_ascii_lowercase().as_str() {
            "valid" => Ok(Self::Valid),
            "same" => Ok(Self::Same),
            "same_upper" => Ok(Self::SameUpper),
            "circular" => Ok(Self::Circular),
            _ => {
                let expected = "\"valid\", \"same\", \"same_upper\", \"circular\"";
                Err(Error::UnknownValue { argument: "padding", expected, value: word.to_owned() })
            }
        }
    }
}

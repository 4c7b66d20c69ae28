//! One size for all axes, or one for each.

/// A size for all spatial axes, or a list of one for each: what Keras's `kernel_size` and `strides` take.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(untagged))]
pub enum PerAxis {
    /// One size for all axes.
    All(usize),
    /// A size for each axis, the data's first spatial axis first.
    Each(Vec<usize>),
}

impl PerAxis {
    /// A size for each of `rank` axes; a list is returned as it is.
    #[must_use]
    pub fn of_rank(self, rank: usize) -> Vec<usize> {
        match self {
            Self::All(size) => vec![size; rank],
            Self::Each(sizes) => sizes,
        }
    }
}

impl From<usize> for PerAxis {
    fn from(size: usize) -> Self {
        Self::All(size)
    }
}

impl From<Vec<usize>> for PerAxis {
    fn from(sizes: Vec<usize>) -> Self {
        Self::Each(sizes)
    }
}

impl From<&[usize]> for PerAxis {
    fn from(sizes: &[usize]) -> Self {
        Self::Each(sizes.to_vec())
    }
}

impl<const N: usize> From<[usize; N]> for PerAxis {
    fn from(sizes: [usize; N]) -> Self {
        Self::Each(sizes.to_vec())
    }
}

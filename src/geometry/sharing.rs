//! Whether locations have weights of their own: convolutions and dense layers are layers whose locations share them.

/// Whether the locations of a layer share their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Sharing {
    /// Each location has its own weights: a locally connected layer. Canonical weights are `[cells][K][F/G]`.
    #[default]
    Unshared,
    /// All locations have the same weights: a convolution, or a dense layer; with the feature `models`. Canonical weights are `[groups][K][F/G]`, and their gradient
    /// is also summed over locations.
    #[cfg(feature = "models")]
    Shared,
}

#[cfg(feature = "serde")]
impl Sharing {
    /// As it is written down; none for what isn't compiled.
    pub(super) fn written(shared: bool) -> Option<Self> {
        match shared {
            false => Some(Self::Unshared),
            #[cfg(feature = "models")]
            true => Some(Self::Shared),
            #[cfg(not(feature = "models"))]
            true => None,
        }
    }
}

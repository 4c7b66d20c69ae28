//! Whether locations have weights of their own: convolutions and dense layers are layers whose locations share them.

/// Whether the locations of a layer share their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Sharing {
    /// Each location has its own weights: a locally connected layer. Canonical weights are `[cells][K][F/G]`.
    #[default]
    Unshared,
    /// All locations have the same weights: a convolution. Canonical weights are `[groups][K][F/G]`, and their gradient
    /// is also summed over locations.
    Shared,
}

//! Whether locations have weights of their own: convolutions and dense layers are layers whose locations share them.

/// Whose the weights of a layer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Sharing {
    /// Each location has its own: a locally connected layer. Canonical weights are `[cells][K][F/G]`.
    #[default]
    Unshared,
    /// All locations have the same: a convolution. Canonical weights are `[groups][K][F/G]`, and their gradient is summed over
    /// the locations, too.
    Shared,
}

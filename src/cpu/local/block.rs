//! How many weights are worked through at a time.

/// Weights of a block of terms: with a few samples they stay in a core's second-level cache until all samples have used
/// them.
pub(super) const BLOCK_WEIGHTS: usize = 16_384;

/// Weights of a block of terms where locations share them: sums are loaded and stored once for each block, and there are many.
pub(super) const SHARED_BLOCK_WEIGHTS: usize = 1 << 16;

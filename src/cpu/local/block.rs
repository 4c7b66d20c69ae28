//! How many weights are worked through at a time.

/// Weights of a block of terms: with a few samples they stay in a core's second-level cache until all samples have used
/// them.
pub(super) const BLOCK_WEIGHTS: usize = 16_384;

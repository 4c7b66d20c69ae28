//! How much is worked through at a time.

/// Weights that a block of terms has: with a few samples they stay in a core's second cache until all samples met them.
pub(super) const BLOCK_WEIGHTS: usize = 16_384;

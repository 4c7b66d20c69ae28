//! How many weights are worked through at a time.

/// Weights of a block of terms: with a few samples they stay in a core's second-level cache until all samples have used
/// them.
pub(super) const BLOCK_WEIGHTS: usize = 16_384;

/// Weights of a block of terms where locations share them: sums are loaded and stored once for each block, and there are many.
pub(super) const SHARED_BLOCK_WEIGHTS: usize = 1 << 16;

/// Weights that are copied at a time, side by side or widened: they are read from the caches at once.
pub(super) const COPIED_WEIGHTS: usize = 8192;

/// Filters whose weights are copied side by side where tiles read a part of each row: rows that lie a power of two apart would evict each
/// other from the first-level cache. Tiles of three rows and more are at most so wide.
pub(super) const PANEL: usize = 64;

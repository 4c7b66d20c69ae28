//! The room that tasks over samples need. `Layer` asks this before it is made.

use crate::cpu::local::block::BLOCK_WEIGHTS;
use crate::geometry::Geometry;

/// Most samples at a time.
pub(super) const SAMPLES: usize = 64;
/// Blocks have a multiple of this many samples, except the last.
pub(super) const VECTOR: usize = 16;
/// Sums of a piece, half a MB: those of a core's second-level cache. With fewer, output gradients are transposed more often.
pub(super) const SUMS: usize = 1 << 17;
/// Gradients of a cell that are transposed at a time. They are as many as rows of weights usually have filters, for so many samples: weights
/// that are read in parts of rows come from memory half as fast, and that costs more than what leaves the first-level cache.
pub(super) const GRADS: usize = 16384;

/// How many floats of room a task needs.
pub(in crate::cpu::local) fn floats(layer: &Geometry) -> usize {
    let sums = SUMS.min((layer.inputs() as usize).saturating_mul(SAMPLES));
    VECTOR + sums + GRADS + BLOCK_WEIGHTS
}

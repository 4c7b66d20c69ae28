//! The room that tasks over samples need: what `Layer` asks before it is there.

use crate::cpu::local::block::BLOCK_WEIGHTS;
use crate::geometry::Geometry;

/// Most samples at a time.
pub(super) const SAMPLES: usize = 64;
/// Samples of a block are a multiple of this, but for the last.
pub(super) const VECTOR: usize = 16;
/// Sums of a piece: they stay in a core's second cache.
pub(super) const SUMS: usize = 1 << 16;
/// A cell's gradients that are turned at a time: they stay in the first cache.
pub(super) const GRADS: usize = 4096;

/// Room that a task needs.
pub(in crate::cpu::local) fn floats(layer: &Geometry) -> usize {
    let sums = SUMS.min(layer.inputs() as usize * SAMPLES);
    VECTOR + sums + GRADS + BLOCK_WEIGHTS
}

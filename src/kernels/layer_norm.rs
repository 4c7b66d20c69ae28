//! `y = (x - mean) / sqrt(variance + epsilon) * gamma + beta` over rows.

use super::listed::{Kernel, kernel};
use super::work::{elementwise, joined, shared_turns};
use super::{Loads, Params, THREADS, Work};

kernel! {
    /// Normalises each row by its own statistics.
    LayerNorm: "layer_norm", [Read, Read, Read, Write]
}

impl Kernel for LayerNorm {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }

    fn turns(&self, p: &Params) -> u64 {
        shared_turns(p.row, 3, 2)
    }

    fn workgroup_memory(&self) -> u32 {
        joined(1, THREADS, 1)
    }
}

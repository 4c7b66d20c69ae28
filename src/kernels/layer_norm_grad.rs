//! `dx = (g - mean(g) - n * mean(g * n)) / sqrt(variance + epsilon)` over rows.

use super::listed::{Kernel, kernel};
use super::work::{elementwise, joined, shared_turns};
use super::{Loads, Params, THREADS, Work};

kernel! {
    /// Gradient of `layer_norm` by its input.
    LayerNormGrad: "layer_norm_grad", [Read, Read, Read, Write]
}

impl Kernel for LayerNormGrad {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }

    fn turns(&self, p: &Params) -> u64 {
        shared_turns(p.row, 4, 4)
    }

    fn workgroup_memory(&self) -> u32 {
        joined(1, THREADS, 1)
    }
}

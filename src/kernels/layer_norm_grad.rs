//! `dx = (g - mean(g) - n * mean(g * n)) / sqrt(variance + epsilon)` over rows.

use super::prelude::*;

kernel! {
    /// Gradient of `layer_norm` by its input.
    LayerNormGrad: "layer_norm_grad", [Read, Read, Read, Write]
}

impl Kernel for LayerNormGrad {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { turns: shared_turns(p.row, 4, 4), ..elementwise(p) }
    }
}

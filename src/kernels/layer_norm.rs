//! `y = (x - mean) / sqrt(variance + epsilon) * gamma + beta` over rows.

use super::prelude::*;

kernel! {
    /// Normalises each row by its own statistics.
    LayerNorm: "layer_norm", [Read, Read, Read, Write]
}

impl Kernel for LayerNorm {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { turns: shared_turns(p.row, 3, 2), ..elementwise(p) }
    }
}

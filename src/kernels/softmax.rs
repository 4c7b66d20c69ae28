//! `y = softmax(z)` over rows, or its logarithm.

use super::prelude::*;

kernel! {
    /// Softmax over rows.
    Softmax: "softmax", [Read, Write],
    /// Whether it is the logarithm of softmax.
    logarithm: bool in [false, true]
}

impl Kernel for Softmax {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { turns: shared_turns(p.row, 3, 2), ..elementwise(p) }
    }
}

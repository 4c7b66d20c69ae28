//! `dz = y * (dy - sum(y * dy))` over rows, or `dy - exp(y) * sum(dy)` where `y` is the logarithm of softmax.

use super::prelude::*;

kernel! {
    /// Gradient of softmax.
    SoftmaxGrad: "softmax_grad", [Read, Read, Write],
    /// Whether it is the logarithm of softmax.
    logarithm: bool in [false, true]
}

impl Kernel for SoftmaxGrad {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { turns: shared_turns(p.row, 3, 2), ..elementwise(p) }
    }
}

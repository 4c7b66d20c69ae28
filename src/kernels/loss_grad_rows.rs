//! `dp = weight * per_sample / divisor * gradient of the crossentropy of a row`.

use super::prelude::*;

kernel! {
    /// Gradients of crossentropies of rows of classes.
    LossGradRows: "loss_grad_rows", [Read, Read, Read, Read, Write],
    /// Whether targets are class numbers.
    sparse: bool in [false, true],
    /// Whether predictions are logits, before a softmax.
    logits: bool in [false, true]
}

impl Kernel for LossGradRows {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { turns: shared_turns(p.row, 4, 3), ..elementwise(p) }
    }
}

//! `y[o] = weight * crossentropy of row o / divisor`.

use super::prelude::*;

kernel! {
    /// Crossentropies of rows of classes.
    LossRows: "loss_rows", [Read, Read, Read, Write],
    /// Whether targets are class numbers.
    sparse: bool in [false, true],
    /// Whether predictions are logits, before a softmax.
    logits: bool in [false, true]
}

impl Kernel for LossRows {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { turns: shared_turns(p.row, 3, 3), ..rows(p, 12.0) }
    }
}

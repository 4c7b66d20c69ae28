//! `y[o] = weight * sum of a piece's losses / divisor`, for losses that are means over elements, and for binary
//! accuracy.

use super::prelude::*;

kernel! {
    /// Losses of pieces of samples, which are summed afterwards.
    LossElements: "loss_elements", [Read, Read, Read, Write],
    /// Which loss, by its code.
    form: u32 in 0..=Self::BINARY_HITS
}

impl LossElements {
    /// Mean squared error. The codes are those of `shaders/shared/element_loss.wgsl`.
    pub(crate) const SQUARED: u32 = 0;
    /// Mean absolute error.
    pub(crate) const ABSOLUTE: u32 = 1;
    /// Huber's loss.
    pub(crate) const HUBER: u32 = 2;
    /// Binary crossentropy of probabilities.
    pub(crate) const BINARY: u32 = 3;
    /// Binary crossentropy of logits.
    pub(crate) const BINARY_LOGITS: u32 = 4;
    /// Binary accuracy, which has no gradient.
    pub(crate) const BINARY_HITS: u32 = 5;
}

impl Kernel for LossElements {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { turns: shared_turns(p.row, 1, 1), ..rows(p, 8.0) }
    }
}

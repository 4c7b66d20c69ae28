//! `dp = weight * per_sample / divisor * slope of the loss`, for losses that are means over elements.

use super::LossElements;
use super::prelude::*;

kernel! {
    /// Gradients of losses that are means over elements.
    LossGradElements: "loss_grad_elements", [Read, Read, Read, Read, Write],
    /// Which loss, by its code.
    form: u32 in 0..LossElements::BINARY_HITS
}

impl Kernel for LossGradElements {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }
}

//! `dp = weight * per_sample / divisor * gradient of the crossentropy of a row`.

use super::listed::{Kernel, kernel};
use super::work::{elementwise, joined, shared_turns};
use super::{Loads, Params, THREADS, Work};

kernel! {
    /// Gradients of crossentropies of rows of classes.
    LossGradRows: "loss_grad_rows", [Read, Read, Read, Read, Write],
    /// Whether targets are class numbers.
    sparse: bool in [false, true],
    /// Whether predictions are logits, before a softmax.
    logits: bool in [false, true]
}

impl Kernel for LossGradRows {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }

    fn turns(&self, p: &Params) -> u64 {
        shared_turns(p.row, 4, 3)
    }

    fn workgroup_memory(&self) -> u32 {
        joined(1, THREADS, 1)
    }
}

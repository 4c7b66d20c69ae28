//! `dz = y * (dy - sum(y * dy))` over rows, or `dy - exp(y) * sum(dy)` where `y` is the logarithm of softmax.

use super::listed::{Kernel, kernel};
use super::work::{elementwise, joined, shared_turns};
use super::{Loads, Params, THREADS, Work};

kernel! {
    /// Gradient of softmax.
    SoftmaxGrad: "softmax_grad", [Read, Read, Write],
    /// Whether it is the logarithm of softmax.
    logarithm: bool in [false, true]
}

impl Kernel for SoftmaxGrad {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }

    fn turns(&self, p: &Params) -> u64 {
        shared_turns(p.row, 3, 2)
    }

    fn workgroup_memory(&self) -> u32 {
        joined(1, THREADS, 1)
    }
}

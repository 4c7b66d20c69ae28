//! `y = softmax(z)` over rows, or its logarithm.

use super::listed::{Kernel, kernel};
use super::work::{elementwise, shared_turns};
use super::{Loads, Params, Work};
use crate::geometry::Geometry;

kernel! {
    /// Softmax over rows, in place.
    Softmax: "softmax", [Write],
    /// Whether it is the logarithm of softmax.
    logarithm: bool in [false, true]
}

impl Kernel for Softmax {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }

    fn turns(&self, p: &Params, _: &Geometry) -> u64 {
        shared_turns(p.row, 3, 2)
    }
}

//! `dx[o, p, c] = dy[o, c] / length`.

use super::listed::{Kernel, kernel};
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Gradient of an average along an axis.
    ReduceGradAverage: "reduce_grad_average", [Read, Write]
}

impl Kernel for ReduceGradAverage {
    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { threads: of(p.count), operations: 6.0, bytes: 4.0 * of(p.count), ..Work::default() }
    }
}

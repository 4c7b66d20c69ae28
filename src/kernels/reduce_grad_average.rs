//! `dx[o, p, c] = dy[o, c] / length`.

use super::prelude::*;

kernel! {
    /// Gradient of an average along an axis.
    ReduceGradAverage: "reduce_grad_average", [Read, Write]
}

impl Kernel for ReduceGradAverage {
    fn work(&self, p: &Params, _: Loads) -> Work {
        per_element(p, 6.0, 4.0 * of(p.count))
    }
}

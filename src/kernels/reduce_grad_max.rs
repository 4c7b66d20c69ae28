//! `dx[o, p, c] = dy[o, c] / ties[o, c] where x[o, p, c] = y[o, c]`.

use super::prelude::*;

kernel! {
    /// Gradient of the largest value along an axis, divided among all elements that are the largest.
    ReduceGradMax: "reduce_grad_max", [Read, Read, Read, Read, Write]
}

impl Kernel for ReduceGradMax {
    fn work(&self, p: &Params, _: Loads) -> Work {
        per_element(p, 8.0, 8.0 * of(p.count))
    }
}

//! `dw[p, k, f] = d[window(p, k)][column of (p, f)]`: the connected entries of the dense gradient.

use super::prelude::*;

kernel! {
    /// Takes the weights' gradients from their places in the dense matrix.
    DenseGather: "dense_gather", [Read, Read, Write]
}

impl Kernel for DenseGather {
    fn work(&self, p: &Params, _: Loads) -> Work {
        per_element(p, 5.0, 2.0 * weights(p))
    }
}

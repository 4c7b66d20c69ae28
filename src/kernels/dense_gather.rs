//! `dw[p, k, f] = d[window(p, k)][column of (p, f)]`: the connected entries of the dense gradient.

use super::listed::{Kernel, kernel};
use super::work::{of, weights};
use super::{Loads, Params, Work};

kernel! {
    /// Takes the weights' gradients from their places in the dense matrix.
    DenseGather: "dense_gather", [Read, Read, Write]
}

impl Kernel for DenseGather {
    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { threads: of(p.count), operations: 5.0, bytes: 2.0 * weights(p), ..Work::default() }
    }
}

//! The gradient of the mean magnitude of the products of a matrix's vectors.

use super::listed::{Kernel, kernel};
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Gradient by each element of the matrix.
    OrthogonalGrad: "orthogonal_grad", [Read, Read, Read, Write]
}

impl Kernel for OrthogonalGrad {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let bytes = 4.0 * of(p.rows) * (2.0 * of(p.columns) + of(p.rows));
        Work { threads: of(p.count), operations: 3.0 * of(p.rows), bytes, ..Work::default() }
    }

    fn turns(&self, p: &Params) -> u64 {
        u64::from(p.rows) + 1
    }
}

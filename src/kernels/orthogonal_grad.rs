//! The gradient of the mean magnitude of the products of a matrix's vectors.

use super::prelude::*;

kernel! {
    /// Gradient by each element of the matrix.
    OrthogonalGrad: "orthogonal_grad", [Read, Read, Read, Write]
}

impl Kernel for OrthogonalGrad {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let bytes = 4.0 * of(p.rows) * (2.0 * of(p.columns) + of(p.rows));
        Work { turns: u64::from(p.rows) + 1, ..per_element(p, 3.0 * of(p.rows), bytes) }
    }
}

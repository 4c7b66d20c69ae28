//! `products[i, j] = vector i · vector j`, both divided by their norms.

use super::prelude::*;

kernel! {
    /// Products of all pairs of a matrix's vectors.
    OrthogonalProducts: "orthogonal_products", [Read, Read, Write]
}

impl Kernel for OrthogonalProducts {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let bytes = 4.0 * of(p.rows) * (of(p.columns) + of(p.rows));
        Work { turns: u64::from(p.columns) + 1, ..per_element(p, 2.0 * of(p.columns), bytes) }
    }
}

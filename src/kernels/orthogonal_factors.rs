//! `factors[i] = 1 / norm of vector i`.

use super::listed::{Kernel, kernel};
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// The factors that bring a matrix's vectors to norm 1.
    OrthogonalFactors: "orthogonal_factors", [Read, Write]
}

impl Kernel for OrthogonalFactors {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let bytes = 4.0 * of(p.rows) * (of(p.columns) + 2.0);
        Work { threads: of(p.rows), operations: of(p.columns), bytes, ..Work::default() }
    }

    fn turns(&self, p: &Params) -> u64 {
        u64::from(p.columns) + 1
    }
}

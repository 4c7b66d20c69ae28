//! `factors[i] = 1 / norm of vector i`.

use super::prelude::*;

kernel! {
    /// The factors that bring a matrix's vectors to norm 1.
    OrthogonalFactors: "orthogonal_factors", [Read, Write]
}

impl Kernel for OrthogonalFactors {
    fn work(&self, p: &Params, _: Loads) -> Work {
        Work {
            threads: of(p.rows),
            operations: of(p.columns),
            bytes: 4.0 * of(p.rows) * (of(p.columns) + 2.0),
            turns: u64::from(p.columns) + 1,
            ..Work::default()
        }
    }
}

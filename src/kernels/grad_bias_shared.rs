//! `db[f] = sum over p of sums[p, f]`, for a bias that all locations share; `grad_bias` has written `sums`.

use super::prelude::*;

kernel! {
    /// Gradient of a bias that all locations share.
    GradBiasShared: "grad_bias_shared", [Read, Write]
}

impl Kernel for GradBiasShared {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, _: Loads) -> Work {
        let threads = of(THREADS);
        Work {
            threads: threads * of(p.count),
            operations: of(p.row) / threads,
            bytes: 4.0 * of(p.y_sample),
            turns: shared_turns(p.row, 1, 1),
            ..Work::default()
        }
    }
}

//! `db[f] = sum over p of sums[p, f]`, for a bias that all locations share; `grad_bias` has written `sums`.

use super::listed::{Kernel, kernel};
use super::work::{joined, of, shared_turns};
use super::{Loads, Params, THREADS, Work};

kernel! {
    /// Gradient of a bias that all locations share.
    GradBiasShared: "grad_bias_shared", [Read, Write]
}

impl Kernel for GradBiasShared {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let threads = of(THREADS);
        Work {
            threads: threads * of(p.count),
            operations: of(p.row) / threads,
            bytes: 4.0 * of(p.y_sample),
            ..Work::default()
        }
    }

    fn turns(&self, p: &Params) -> u64 {
        shared_turns(p.row, 1, 1)
    }

    fn workgroup_memory(&self) -> u32 {
        joined(1, THREADS, 1)
    }
}

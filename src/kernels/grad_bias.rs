//! `db[p, f] = sum over n of dz[n, p, f]`.

use super::prelude::*;

kernel! {
    /// Gradient of a bias per location, of every variant.
    GradBias: "grad_bias", [Read, Write],
    /// Threads that share the samples of a sum.
    parts: u32 in [1, Self::MOST_PARTS],
    /// Biases of a thread.
    width: u32 in WIDTHS
}

impl GradBias {
    /// `parts` where threads share the samples.
    pub(crate) const MOST_PARTS: u32 = 8;
}

impl Kernel for GradBias {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        Work {
            threads: of(self.parts) * of(p.count),
            operations: of(p.batch) / of(self.parts) * loads.of(self.width),
            bytes: 4.0 * of(p.batch) * of(p.y_sample),
            turns: u64::from(p.batch) + 3,
            ..Work::default()
        }
    }

    fn workgroup_memory(&self) -> u32 {
        joined(1, THREADS, self.width)
    }
}

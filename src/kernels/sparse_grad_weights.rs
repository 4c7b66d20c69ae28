//! `dw[e, f] = sum over n of x[n, input of e] * dz[n, row of e, f]`; 0 for entries without an input.

use super::prelude::*;

kernel! {
    /// Gradient of the weights, by the sparse variant.
    SparseGradWeights: "sparse_grad_weights", [Read, Read, Read, Write],
    /// Filters of a thread.
    filters: u32 in FILTERS
}

impl Kernel for SparseGradWeights {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let x = of(self.filters);
        Work {
            threads: of(p.entries) * tiles(p.filters, self.filters),
            operations: 2.0 + of(p.batch) * product(1.0, x, 1.0 + loads.apart(self.filters)) + x,
            bytes: traffic(p) + 8.0 * of(p.entries),
            waits: of(p.batch),
            products: sparse_products(p),
            turns: p.batch.into(),
        }
    }
}

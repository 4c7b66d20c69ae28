//! `dx[n, i] = sum over the entries e that read input i, and over f, of w[e, f] * dz[n, row of e, f]`.

use super::prelude::*;

kernel! {
    /// Input gradient of the sparse variant.
    SparseGradInput: "sparse_grad_input", [Read, Read, Read, Write],
    /// Samples of a thread.
    images: u32 in IMAGES,
    /// How the weights are stored.
    weights: WeightType in WeightType::ALL;
    if |kernel| kernel.images <= 8
}

impl Kernel for SparseGradInput {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let x = of(self.images);
        // Neighbouring threads' weights are a window apart, and their outputs a location: side by side where there is
        // one filter.
        let output = if p.filters > 1 { loads.scattered } else { 1.0 };
        let each = 2.0 + of(p.filters) * product(x, 1.0, loads.scattered + output * x);
        Work {
            threads: of(p.x_sample) * tiles(p.batch, self.images),
            operations: 2.0 + of(p.entries) / of(p.x_sample) * each,
            bytes: traffic(p) + 12.0 * of(p.entries),
            waits: of(p.entries) / of(p.x_sample) * of(p.filters),
            products: sparse_products(p),
            turns: u64::from(p.most_readers) * (2 + u64::from(p.filters)),
        }
    }
}

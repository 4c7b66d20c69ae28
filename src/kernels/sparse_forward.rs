//! `y[n, row, f] = activation(bias[row, f] + sum over the row's entries e of x[n, input of e] * w[e, f])`.

use super::prelude::*;

kernel! {
    /// Forward of the sparse variant, with bias and activation.
    SparseForward: "sparse_forward", [Read, Read, Read, Read, Write],
    /// Samples of a thread.
    images: u32 in IMAGES,
    /// Filters of a thread.
    filters: u32 in FILTERS,
    /// The activation's code, or `ANY`.
    activation: u32 in FUSED,
    /// Entries of a row that a thread loads together.
    ahead: u32 in [1, Self::MOST_AHEAD],
    /// How the weights are stored.
    weights: WeightType in WeightType::ALL;
    // With more sums a thread has loads enough to wait for without looking ahead.
    if |kernel| kernel.images <= 8 && (kernel.ahead == 1 || kernel.images * kernel.filters <= 16)
}

impl SparseForward {
    /// `ahead`, unless it is 1.
    pub(crate) const MOST_AHEAD: u32 = 4;
}

impl Kernel for SparseForward {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let (x, y) = (of(self.images), of(self.filters));
        Work {
            threads: of(p.cells) * tiles(p.filters, self.filters) * tiles(p.batch, self.images),
            operations: 2.0 + of(p.entries) / of(p.cells) * (1.0 + product(x, y, x + loads.apart(self.filters))),
            bytes: traffic(p) + 8.0 * of(p.entries),
            waits: of(p.entries) / of(p.cells) / if self.filters == 1 { of(self.ahead) } else { 1.0 },
            products: sparse_products(p),
            turns: u64::from(p.count) + FINISHING,
        }
    }
}

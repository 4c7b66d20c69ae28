//! `sums[part] = sum of the squares of the weights of a part of a group's rows`.

use super::prelude::*;

kernel! {
    /// Squared norms of groups of weights, in parts.
    GroupSquares: "group_squares", [Read, Read, Read, Write],
    /// Whether each filter has norms of its own.
    by_filter: bool in [false, true]
}

impl GroupSquares {
    /// Most weights of a part.
    pub(crate) const PART: u64 = 4096;

    /// Weights that a thread adds; `terms` is the number of rows of the longest part.
    fn terms(&self, p: &Params) -> f64 {
        of(p.terms) * if self.by_filter { 1.0 } else { of(p.filters) }
    }
}

impl Kernel for GroupSquares {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let each = if self.by_filter { 1 } else { u64::from(p.filters) + 2 };
        let turns = u64::from(p.terms) * each + 1;
        Work { turns, ..per_element(p, 2.0 * self.terms(p), 4.0 * of(p.count) * self.terms(p)) }
    }
}

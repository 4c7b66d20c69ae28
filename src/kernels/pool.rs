//! `y[n, o, c] = max, average or sum of x[n, p, c] over the positions p of window o`.

use super::prelude::*;

kernel! {
    /// Pools, and sums over repetitions.
    Pool: "pool", [Read, Write],
    /// What is computed of a window.
    kind: u32 in [Self::LARGEST, Self::AVERAGE, Self::SUM],
    /// Elements of a thread.
    width: u32 in WIDTHS
}

impl Pool {
    /// The largest element.
    pub(crate) const LARGEST: u32 = 0;
    /// The average of the elements.
    pub(crate) const AVERAGE: u32 = 1;
    /// The sum of the elements.
    pub(crate) const SUM: u32 = 2;
}

impl Kernel for Pool {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        pooled(p, loads, self.width)
    }
}

//! `y[o, s, c] = max or sum of x[o, p, c] over p = s, s + parts, …, below length`, a sum by the divisor.

use super::prelude::*;

kernel! {
    /// Reduces along an axis, in parts.
    Reduce: "reduce", [Read, Write],
    /// What the values are reduced to.
    kind: u32 in [Self::LARGEST, Self::SUM]
}

impl Reduce {
    /// The largest value; NaN if there is one.
    pub(crate) const LARGEST: u32 = 0;
    /// The sum.
    pub(crate) const SUM: u32 = 1;
}

impl Kernel for Reduce {
    fn work(&self, p: &Params, _: Loads) -> Work {
        reduced(p, 1.0)
    }
}

//! `y[o, s, c] = max or sum of x[o, p, c] over p = s, s + parts, …, below length`, a sum by the divisor.

use super::listed::{Kernel, kernel};
use super::work::of;
use super::{Loads, Params, Work};

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
        let each = of(p.length.div_ceil(p.parts.max(1)));
        Work { threads: of(p.count), operations: each, bytes: 4.0 * of(p.count) * (each + 1.0), ..Work::default() }
    }

    fn turns(&self, p: &Params) -> u64 {
        u64::from(p.length.div_ceil(p.parts.max(1))) + 1
    }
}

//! `ties[o, s, c] = how many x[o, p, c] are y[o, c], over p = s, s + parts, …, below length`.

use super::listed::{Kernel, kernel};
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Counts how many elements along an axis are the largest.
    ReduceTies: "reduce_ties", [Read, Read, Write]
}

impl Kernel for ReduceTies {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let each = of(p.length.div_ceil(p.parts.max(1)));
        Work { threads: of(p.count), operations: each, bytes: 4.0 * of(p.count) * (each + 2.0), ..Work::default() }
    }

    fn turns(&self, p: &Params) -> u64 {
        u64::from(p.length.div_ceil(p.parts.max(1))) + 1
    }
}

//! `y[o] = sum of the elements of x that element o stands for, / divisor`.

use super::prelude::*;

kernel! {
    /// Sums along axes.
    Sum: "sum", [Read, Write],
    /// Threads that share the terms of an element.
    parts: u32 in Self::PARTS
}

impl Sum {
    /// From one thread for an element to a whole workgroup.
    pub(crate) const PARTS: [u32; 3] = [1, 8, 64];
}

impl Kernel for Sum {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, _: Loads) -> Work {
        Work {
            threads: of(self.parts) * of(p.count),
            operations: 4.0 * of(p.terms) / of(self.parts),
            bytes: 4.0 * of(p.terms) * of(p.count),
            turns: u64::from(p.terms.div_ceil(self.parts)) + 16,
            ..Work::default()
        }
    }
}

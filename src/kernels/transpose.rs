//! `y[n, c, r] = x[n, r, c]`.

use super::prelude::*;

kernel! {
    /// Exchanges rows and columns of each sample.
    Transpose: "transpose", [Read, Write],
    /// Rows and columns of the square that a workgroup moves.
    side: u32 in [Self::SIDE]
}

impl Transpose {
    /// The only value of `side`.
    pub(crate) const SIDE: u32 = 16;
}

impl Kernel for Transpose {
    fn work(&self, p: &Params, _: Loads) -> Work {
        per_element(p, 4.0, 8.0 * of(p.count))
    }

    fn workgroup_memory(&self) -> u32 {
        4 * self.side * (self.side + 1)
    }
}

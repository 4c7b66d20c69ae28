//! `y[r, first + c] = x[r, c]`.

use super::prelude::*;

kernel! {
    /// Copies one of several inputs to its columns of the output.
    Concatenate: "concatenate", [Read, Write],
    /// Elements of a thread.
    width: u32 in WIDTHS
}

impl Kernel for Concatenate {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        per_element(p, 2.0 + loads.of(self.width), 8.0 * of(self.width) * of(p.count))
    }
}

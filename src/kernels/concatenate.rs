//! `y[r, first + c] = x[r, c]`.

use super::listed::{Kernel, kernel};
use super::sizes::WIDTHS;
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Copies one of several inputs to its columns of the output.
    Concatenate: "concatenate", [Read, Write],
    /// Elements of a thread.
    width: u32 in WIDTHS
}

impl Kernel for Concatenate {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let bytes = 8.0 * of(self.width) * of(p.count);
        Work { threads: of(p.count), operations: 2.0 + loads.of(self.width), bytes, ..Work::default() }
    }
}

//! `w = 0` where `w < 0`.

use super::listed::{Kernel, kernel};
use super::sizes::WIDTHS;
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Sets negative weights to 0.
    NonNegative: "non_negative", [Write],
    /// Weights of a thread.
    width: u32 in WIDTHS
}

impl Kernel for NonNegative {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let bytes = 8.0 * of(self.width) * of(p.count);
        Work { threads: of(p.count), operations: 2.0 * loads.of(self.width), bytes, ..Work::default() }
    }
}

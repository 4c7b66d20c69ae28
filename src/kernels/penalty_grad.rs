//! `g = l1·sign(x) + l2·x`.

use super::listed::{Kernel, kernel};
use super::sizes::WIDTHS;
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Adds the gradient of a penalty.
    PenaltyGrad: "penalty_grad", [Read, Read, Write],
    /// Values of a thread.
    width: u32 in WIDTHS
}

impl Kernel for PenaltyGrad {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let bytes = 12.0 * of(self.width) * of(p.count);
        Work { threads: of(p.count), operations: 3.0 * loads.of(self.width), bytes, ..Work::default() }
    }
}

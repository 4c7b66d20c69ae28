//! `g = l1·sign(x) + l2·x`.

use super::prelude::*;

kernel! {
    /// Adds the gradient of a penalty.
    PenaltyGrad: "penalty_grad", [Read, Read, Write],
    /// Values of a thread.
    width: u32 in WIDTHS
}

impl Kernel for PenaltyGrad {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        per_element(p, 3.0 * loads.of(self.width), 12.0 * of(self.width) * of(p.count))
    }
}

//! `w = 0` where `w < 0`.

use super::prelude::*;

kernel! {
    /// Sets negative weights to 0.
    NonNegative: "non_negative", [Write],
    /// Weights of a thread.
    width: u32 in WIDTHS
}

impl Kernel for NonNegative {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        per_element(p, 2.0 * loads.of(self.width), 8.0 * of(self.width) * of(p.count))
    }
}

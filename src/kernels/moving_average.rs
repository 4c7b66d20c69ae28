//! `y = kept·y + share·x`.

use super::prelude::*;

kernel! {
    /// Averages a new value into an old average.
    MovingAverage: "moving_average", [Read, Write],
    /// Values of a thread.
    width: u32 in WIDTHS
}

impl Kernel for MovingAverage {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        per_element(p, 3.0 * loads.of(self.width), 12.0 * of(self.width) * of(p.count))
    }
}

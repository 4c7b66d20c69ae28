//! `y = kept·y + share·x`.

use super::listed::{Kernel, kernel};
use super::sizes::WIDTHS;
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Averages a new value into an old average.
    MovingAverage: "moving_average", [Read, Write],
    /// Values of a thread.
    width: u32 in WIDTHS
}

impl Kernel for MovingAverage {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let bytes = 12.0 * of(self.width) * of(p.count);
        Work { threads: of(p.count), operations: 3.0 * loads.of(self.width), bytes, ..Work::default() }
    }
}

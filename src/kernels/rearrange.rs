//! `y[o] = x[i]`, where `i` is `⌊(o − before) / repeat⌋` along each axis, or 0.

use super::listed::{Kernel, kernel};
use super::sizes::WIDTHS;
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Moves values along up to five axes.
    Rearrange: "rearrange", [Read, Write],
    /// Whether more than two axes are used.
    many: bool in [false, true],
    /// Elements of a thread.
    width: u32 in WIDTHS
}

impl Kernel for Rearrange {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        // Neighbouring threads load neighbours where the last axis is also the input's last.
        let load = if p.distance_4 > 1 { loads.scattered } else { loads.of(self.width) };
        let bytes = 8.0 * of(self.width) * of(p.count);
        Work { threads: of(p.count), operations: load + if self.many { 10.0 } else { 4.0 }, bytes, ..Work::default() }
    }
}

//! `y[o] = x[i]`, where `i` is `⌊(o − before) / repeat⌋` along each axis, or 0.

use super::prelude::*;

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
        let load = if p.distance[4] > 1 { loads.scattered } else { loads.of(self.width) };
        per_element(p, load + if self.many { 10.0 } else { 4.0 }, 8.0 * of(self.width) * of(p.count))
    }
}

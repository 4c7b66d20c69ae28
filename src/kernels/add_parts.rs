//! `sums[i] = sum over the parts of parts[part, i]`, the second step of sums that many workgroups share.

use super::prelude::*;

kernel! {
    /// Adds the parts of sums that workgroups have taken in parts.
    AddParts: "add_parts", [Read, Write],
    /// Sums of a thread.
    width: u32 in WIDTHS
}

impl Kernel for AddParts {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let parts = of(p.parts);
        let bytes = 4.0 * of(self.width) * of(p.count) * (parts + 1.0);
        let work = per_element(p, parts * loads.of(self.width), bytes);
        Work { waits: parts / 4.0, turns: u64::from(p.parts) + 4, ..work }
    }
}

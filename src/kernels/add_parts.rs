//! `sums[i] = sum over the parts of parts[part, i]`, the second step of sums that many workgroups share.

use super::listed::{Kernel, kernel};
use super::sizes::WIDTHS;
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Adds the parts of sums that workgroups have taken in parts.
    AddParts: "add_parts", [Read, Write],
    /// Sums of a thread.
    width: u32 in WIDTHS
}

impl Kernel for AddParts {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        Work {
            threads: of(p.count),
            operations: of(p.parts) * loads.of(self.width),
            bytes: 4.0 * of(self.width) * of(p.count) * (of(p.parts) + 1.0),
            waits: of(p.parts) / 4.0,
        }
    }

    fn turns(&self, p: &Params) -> u64 {
        u64::from(p.parts) + 4
    }
}

//! `squares[group] += sum of its parts`.

use super::listed::{Kernel, kernel};
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Joins the parts of squared norms.
    JoinGroups: "join_groups", [Read, Read, Read, Write]
}

impl Kernel for JoinGroups {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let each = of(p.parts);
        Work { threads: of(p.count), operations: each, bytes: 4.0 * of(p.count) * (each + 2.0), ..Work::default() }
    }

    fn turns(&self, p: &Params) -> u64 {
        u64::from(p.parts) + 1
    }
}

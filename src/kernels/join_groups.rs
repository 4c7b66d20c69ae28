//! `squares[group] += sum of its parts`.

use super::prelude::*;

kernel! {
    /// Joins the parts of squared norms.
    JoinGroups: "join_groups", [Read, Read, Read, Write]
}

impl Kernel for JoinGroups {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let bytes = 4.0 * of(p.count) * (of(p.parts) + 2.0);
        Work { turns: u64::from(p.parts) + 1, ..per_element(p, of(p.parts), bytes) }
    }
}

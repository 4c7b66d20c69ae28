//! `y = 0`.

use super::prelude::*;

kernel! {
    /// Writes zeroes.
    Fill: "fill", [Write]
}

impl Kernel for Fill {
    fn work(&self, p: &Params, _: Loads) -> Work {
        per_element(p, 1.0, 4.0 * of(p.count))
    }
}

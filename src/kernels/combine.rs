//! `y = (a how b) / divisor`, element by element.

use super::prelude::*;

kernel! {
    /// Combines two values element by element.
    Combine: "combine", [Read, Read, Write],
    /// How they are combined.
    how: How in How::ALL
}

impl Kernel for Combine {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }
}

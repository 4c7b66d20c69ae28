//! `w ·= wanted / (norm + epsilon)`.

use super::prelude::*;

kernel! {
    /// Scales weights to the norms that a constraint allows.
    Constrain: "constrain", [Read, Read, Write],
    /// Which norms it allows.
    limit: u32 in [Self::AT_MOST, Self::UNIT, Self::BETWEEN],
    /// Whether each filter has norms of its own.
    by_filter: bool in [false, true]
}

impl Constrain {
    /// The norm itself, up to a largest one.
    pub(crate) const AT_MOST: u32 = 0;
    /// A norm of 1.
    pub(crate) const UNIT: u32 = 1;
    /// A norm between two bounds; the weights go some of the way to it.
    pub(crate) const BETWEEN: u32 = 2;
}

impl Kernel for Constrain {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }
}

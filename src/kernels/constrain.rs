//! `w ·= wanted / (norm + epsilon)`.

use super::listed::{Kernel, kernel};
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Weights with the norms that they are to have.
    Constrain: "constrain", [Read, Read, Write],
    /// What norms become.
    limit: u32 in [Self::AT_MOST, Self::UNIT, Self::BETWEEN],
    /// Whether each filter has norms of its own.
    by_filter: bool in [false, true]
}

impl Constrain {
    /// The norm, or the largest one allowed.
    pub(crate) const AT_MOST: u32 = 0;
    /// Norms of 1.
    pub(crate) const UNIT: u32 = 1;
    /// Some of the way to the nearest norm between two bounds.
    pub(crate) const BETWEEN: u32 = 2;
}

impl Kernel for Constrain {
    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { threads: of(p.count), operations: 4.0, bytes: 12.0 * of(p.count), ..Work::default() }
    }
}

//! Makes weights equal whose taps are equally far from the middle of the window.

use super::listed::{Kernel, kernel};
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Keras's `RadialConstraint`. A thread has all taps of one channel and filter.
    Radial: "radial", [Write]
}

impl Kernel for Radial {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let each = of(p.taps_0) * of(p.taps_0);
        let operations = each * of(p.taps_0 / 2 + 1);
        Work { threads: of(p.count), operations, bytes: 8.0 * of(p.count) * each, ..Work::default() }
    }

    fn turns(&self, p: &Params) -> u64 {
        let size = u64::from(p.taps_0);
        (size / 2 + 1).saturating_mul(1 + size.saturating_mul(size + 2))
    }
}

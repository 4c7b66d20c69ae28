//! Makes weights equal whose taps are equally far from the middle of the window.

use super::prelude::*;

kernel! {
    /// Keras's `RadialConstraint`. A thread has all taps of one channel and filter.
    Radial: "radial", [Write]
}

impl Kernel for Radial {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let size = u64::from(p.taps_0);
        let turns = (size / 2 + 1).saturating_mul(1 + size.saturating_mul(size + 2));
        let each = of(p.taps_0) * of(p.taps_0);
        Work { turns, ..per_element(p, each * of(p.taps_0 / 2 + 1), 8.0 * of(p.count) * each) }
    }
}

//! `y = x`, changed by random numbers.

use super::prelude::*;

kernel! {
    /// Dropout and noise.
    Random: "random", [Read, Read, Write],
    /// How a random number changes a value.
    effect: u32 in [Self::MASK, Self::TIMES, Self::PLUS]
}

impl Random {
    /// A value becomes a constant where its random number is small. The codes are those of the WGSL.
    pub(crate) const MASK: u32 = 0;
    /// A value is multiplied by 1 plus a normally distributed number.
    pub(crate) const TIMES: u32 = 1;
    /// A normally distributed number is added.
    pub(crate) const PLUS: u32 = 2;
    /// Neighbouring elements of a thread.
    pub(crate) const EACH: u32 = 4;
}

impl Kernel for Random {
    fn work(&self, p: &Params, _: Loads) -> Work {
        // Ten rounds are some 300 operations, each a twentieth of a load.
        let all = per_element(p, 24.0, 8.0 * of(p.count));
        Work { threads: of(p.count.div_ceil(Self::EACH)), turns: u64::from(Self::EACH) * 12 + 1, ..all }
    }
}

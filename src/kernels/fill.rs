//! `y = 0`.

use super::listed::{Kernel, kernel};
use super::work::of;
use super::{Loads, Params, Work};

kernel! {
    /// Writes zeroes.
    Fill: "fill", [Write]
}

impl Kernel for Fill {
    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { threads: of(p.count), operations: 1.0, bytes: 4.0 * of(p.count), ..Work::default() }
    }
}

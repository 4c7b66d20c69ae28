//! `y = (a how b) / divisor`, element by element.

use super::listed::{Kernel, kernel};
use super::work::{elementwise};
use super::{Loads, Params, Work};
use crate::config::How;

kernel! {
    /// Two values element by element.
    Combine: "combine", [Read, Read, Write],
    /// How the two become one.
    how: How in How::ALL
}

impl Kernel for Combine {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }
}

//! `y = (x - mean[c]) * factor[c] + beta[c]`.

use super::listed::{Kernel, kernel};
use super::work::{elementwise};
use super::{Loads, Params, Work};

kernel! {
    /// A normalisation by statistics that are given.
    Normalise: "normalise", [Read, Read, Read, Read, Write]
}

impl Kernel for Normalise {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }
}

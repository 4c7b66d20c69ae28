//! `y = activation((x - mean[c]) * factor[c] + beta[c])`.

use super::prelude::*;

kernel! {
    /// Normalises by given statistics.
    Normalise: "normalise", [Read, Read, Read, Read, Write],
    /// The activation's code.
    activation: u32 in codes::ALL.map(|(_, code)| code);
    if |kernel| kernel.activation != codes::ANY
}

impl Kernel for Normalise {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }
}

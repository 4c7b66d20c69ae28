//! `dx = dx - n * slope[c] * factor[c]`.

use super::prelude::*;

kernel! {
    /// The last step of the gradient of a normalisation by the batch's own statistics.
    NormaliseGrad: "normalise_grad", [Read, Read, Read, Write]
}

impl Kernel for NormaliseGrad {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }
}

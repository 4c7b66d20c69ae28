//! `factor = gamma / sqrt(variance + epsilon)`.

use super::prelude::*;

kernel! {
    /// The factor of each channel by which a normalisation multiplies.
    NormFactor: "norm_factor", [Read, Read, Write]
}

impl Kernel for NormFactor {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }
}

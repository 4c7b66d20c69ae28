//! `dz = dy * activation'(saved)`, element by element.

use super::prelude::*;

kernel! {
    /// From the gradient by the output to the gradient by the value before the activation.
    ActivateGrad: "activate_grad", [Read, Read, Write],
    /// The activation's code.
    activation: u32 in codes::ALL.map(|(_, code)| code);
    if |kernel| ![codes::LINEAR, codes::ANY].contains(&kernel.activation)
}

impl Kernel for ActivateGrad {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }
}

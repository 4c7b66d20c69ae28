//! `dz = dy * activation'(saved)`, element by element.

use super::listed::{Kernel, kernel};
use super::work::elementwise;
use super::{Loads, Params, Work};
use crate::config::codes;

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

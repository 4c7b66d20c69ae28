//! `y = activation(z)`, element by element.

use super::prelude::*;

kernel! {
    /// An activation on its own.
    Activate: "activate", [Read, Write],
    /// Its code.
    activation: u32 in codes::ALL.map(|(_, code)| code);
    // Values before the activation may be kept even where the backward pass could do without them, so all activations
    // are here but softmax.
    if |kernel| kernel.activation != codes::ANY
}

impl Kernel for Activate {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }
}

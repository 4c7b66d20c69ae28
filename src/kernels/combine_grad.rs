//! `g = dy · d(a how b)/da`, or by `b`, element by element.

use super::prelude::*;

kernel! {
    /// The gradient by one of two combined values.
    CombineGrad: "combine_grad", [Read, Read, Read, Write],
    /// How they are combined.
    how: How in How::ALL,
    /// Whether the gradient is that of `b`.
    of_second: bool in [false, true];
    if |kernel| matches!(kernel.how, How::Maximum | How::Minimum | How::PRelu)
}

impl Kernel for CombineGrad {
    fn work(&self, p: &Params, _: Loads) -> Work {
        elementwise(p)
    }
}

//! A step of an optimizer with three states for each weight: Adam with AMSGrad, or centered RMSprop with a momentum.

use super::prelude::*;
use super::update::rules;

kernel! {
    /// A step with three states.
    Update3: "update_3", [Read, Read, Read, Write, Write, Write, Write],
    /// Which optimizer's step.
    rule: u32 in [rules::RMSPROP_BOTH, rules::AMSGRAD],
    /// Weights of a thread.
    width: u32 in WIDTHS
}

impl Kernel for Update3 {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        updated(p, loads, self.width, 3)
    }
}

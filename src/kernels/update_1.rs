//! A step of an optimizer with one state for each weight: SGD with a momentum, or RMSprop.

use super::prelude::*;
use super::update::rules;

kernel! {
    /// A step with one state.
    Update1: "update_1", [Read, Read, Read, Write, Write],
    /// Which optimizer's step.
    rule: u32 in [rules::MOMENTUM, rules::NESTEROV, rules::RMSPROP],
    /// Weights of a thread.
    width: u32 in WIDTHS
}

impl Kernel for Update1 {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        updated(p, loads, self.width, 1)
    }
}

//! A step of an optimizer with two states for each weight: Adam, or RMSprop with a momentum or centered.

use super::prelude::*;
use super::update::rules;

kernel! {
    /// A step with two states.
    Update2: "update_2", [Read, Read, Read, Write, Write, Write],
    /// Which optimizer's step.
    rule: u32 in [rules::RMSPROP_MOMENTUM, rules::RMSPROP_CENTERED, rules::ADAM],
    /// Weights of a thread.
    width: u32 in WIDTHS
}

impl Kernel for Update2 {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        updated(p, loads, self.width, 2)
    }
}

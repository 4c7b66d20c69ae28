//! `w −= w·decay·rate + rate·g`: a step of an optimizer without states.

use super::prelude::*;

kernel! {
    /// A step without states.
    Update: "update", [Read, Read, Read, Write],
    /// Weights of a thread.
    width: u32 in WIDTHS
}

impl Kernel for Update {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        updated(p, loads, self.width, 0)
    }
}

/// Codes of the optimizers' rules, as in `shaders/shared/update.wgsl`.
pub(crate) mod rules {
    /// `m = momentum·m − rate·g; w += m`.
    pub(crate) const MOMENTUM: u32 = 0;
    /// The same with Nesterov's momentum.
    pub(crate) const NESTEROV: u32 = 1;
    /// RMSprop.
    pub(crate) const RMSPROP: u32 = 2;
    /// RMSprop with a momentum.
    pub(crate) const RMSPROP_MOMENTUM: u32 = 3;
    /// RMSprop, centered.
    pub(crate) const RMSPROP_CENTERED: u32 = 4;
    /// RMSprop with a momentum, centered.
    pub(crate) const RMSPROP_BOTH: u32 = 5;
    /// Adam.
    pub(crate) const ADAM: u32 = 6;
    /// Adam with AMSGrad: by the largest second moment so far.
    pub(crate) const AMSGRAD: u32 = 7;
}

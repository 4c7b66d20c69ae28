//! An optimizer's step where the gradient of weights is computed: `loop_grad_weights` that updates the weights instead
//! of storing their gradient.

use super::loop_grad_weights::LoopGradWeights;
use super::prelude::*;

kernel! {
    /// Updates weights by the gradient that it sums, in the loop variant.
    LoopUpdate: "loop_update", [Read, Read, Read, Read, Write, Write, Write],
    /// States that the optimizer keeps of a weight.
    states: u32 in Self::STATES,
    /// Neighbouring taps of a thread, along the inner axis.
    taps: u32 in LoopGradWeights::TAPS,
    /// Inputs of a thread, each of `input_width` channels.
    channels: u32 in CHANNELS,
    /// Units of filters of a thread.
    filters: u32 in FILTERS,
    /// Filters of a unit.
    width: u32 in Self::WIDTH,
    /// Channels of an input.
    input_width: u32 in WIDTHS;
    if |kernel: &Self| kernel.gradient().is_listed()
}

impl LoopUpdate {
    /// Numbers of states. Three would take more storage buffers than WebGPU promises.
    pub(super) const STATES: [u32; 3] = [0, 1, 2];
    /// Layers whose weights don't come in fours are small, and not worth variants of their own.
    const WIDTH: [u32; 1] = [4];

    /// The kernel that updates by the gradients that `gradient` would store.
    pub(super) fn by(gradient: LoopGradWeights, states: u32) -> Self {
        let LoopGradWeights { taps, channels, filters, width, input_width } = gradient;
        Self { states, taps, channels, filters, width, input_width }
    }

    fn gradient(&self) -> LoopGradWeights {
        let &Self { taps, channels, filters, width, input_width, .. } = self;
        LoopGradWeights { taps, channels, filters, width, input_width }
    }
}

impl Kernel for LoopUpdate {
    fn bindings(&self) -> &'static [Access] {
        bindings(self.states)
    }

    fn work(&self, p: &Params, loads: Loads) -> Work {
        with_update(self.gradient().work(p, loads), p, self.states)
    }
}

/// The bindings: three operands, a step's numbers, the weights and `states` states.
pub(super) fn bindings(states: u32) -> &'static [Access] {
    const ALL: &[Access] = LoopUpdate::BINDINGS;
    &ALL[..(5 + states as usize).min(ALL.len())]
}

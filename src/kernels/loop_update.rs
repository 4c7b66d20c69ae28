//! A step of an optimizer by the gradient of weights, where that is computed: `loop_grad_weights` with an update in the place of its store.

use super::listed::{Access, Declared, Kernel, kernel};
use super::loop_grad_weights::LoopGradWeights;
use super::sizes::{CHANNELS, FILTERS, WIDTHS};
use super::work::with_update;
use super::{Loads, Params, Work};

kernel! {
    /// Weights of the loop variant after a step by their gradient.
    LoopUpdate: "loop_update", [Read, Read, Read, Read, Write, Write, Write],
    /// States of a weight.
    states: u32 in Self::STATES,
    /// Taps of a thread, along the inner axis.
    taps: u32 in LoopGradWeights::TAPS,
    /// Inputs' worth of channels of a thread.
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
    /// States that an optimizer may keep: with three there would be as many bindings as WebGPU has, and few ask for it.
    pub(super) const STATES: [u32; 3] = [0, 1, 2];
    /// Weights that don't come in fours are few, and not worth texts of their own.
    const WIDTH: [u32; 1] = [4];

    /// That which updates by the gradients that another kernel sums.
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

    fn products(&self, p: &Params) -> Option<u64> {
        self.gradient().products(p)
    }

    fn turns(&self, p: &Params) -> u64 {
        self.gradient().turns(p)
    }
}

/// Operands and a step's numbers, the weights and so many states.
pub(super) fn bindings(states: u32) -> &'static [Access] {
    const ALL: &[Access] = LoopUpdate::BINDINGS;
    &ALL[..(5 + states as usize).min(ALL.len())]
}

//! How often a thread's loops turn: some drivers end them after a fixed number without a word, so that results would be
//! silently wrong. Lavapipe counts 65,535 for all loops of an invocation together, and for each time that a loop is entered
//! the turn in which it ends, too.

use super::Planner;
use crate::config::{Activation, Bias};
use crate::kernel::{FINISHING, Params, Variant};

/// A range of the terms of a sum, in a dispatch of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) first: u32,
    pub(super) count: u32,
    last: bool,
}

impl Part {
    /// The activation that this part's dispatch applies: the last part finishes what the others began.
    pub(super) fn activation(self, of_sum: Activation) -> Activation {
        if self.last { of_sum } else { Activation::Linear }
    }

    /// Lets all parts but the first add to what is stored, the bias among it.
    pub(super) fn continue_sum(self, params: &mut Params) {
        if self.first > 0 {
            (params.accumulate, params.use_bias) = (1, 0);
        }
    }
}

impl Planner<'_> {
    /// Whether a driver lets a thread's loops turn as often as this variant's would.
    pub(super) fn turns_fit(&self, variant: &Variant, p: &Params) -> bool {
        // The bound costs some host work, and only few drivers have a limit.
        self.profile.max_iterations == u64::MAX || variant.turns(p, self.geometry) <= self.profile.max_iterations
    }

    /// Cuts `all` terms of a sum into parts, so that a loop over each turns as often as a driver lets it, at `terms` terms
    /// in `turns` turns; all but the last are multiples of `terms` long.
    pub(super) fn parts(&self, all: u64, terms: u64, turns: u64) -> impl Iterator<Item = Part> + use<> {
        let most = (self.profile.max_iterations.saturating_sub(FINISHING) / turns).saturating_mul(terms).max(terms);
        // A sum of nothing has a bias, too: one part at least.
        // Sums have 32-bit lengths, and so has a step where addresses have 32 bits.
        let step = most.min(u32::MAX.into()) as usize;
        (0..all.max(1)).step_by(step).map(move |first| {
            let count = most.min(all - first);
            Part { first: first as u32, count: count as u32, last: first + count == all }
        })
    }

    /// Most samples of a dispatch, so that sums over the batch, and over locations that share a bias, stay far from where
    /// a driver would end them.
    pub(super) fn most_samples(&self) -> u64 {
        let turns = self.profile.max_iterations / 4;
        let shared = self.geometry.config().bias == Bias::PerFilter;
        let lanes = if shared { turns.saturating_mul(64) / u64::from(self.geometry.locations()) } else { turns };
        lanes.clamp(1, turns.max(1))
    }
}

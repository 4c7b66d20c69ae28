//! How often a thread's loops turn: some drivers end them after a fixed number without a word, so that results would be
//! silently wrong. Lavapipe counts 65,535 for all loops of an invocation together, and for each time that a loop is entered
//! the turn in which it ends, too.

use super::Planner;
use crate::config::Activation;
use crate::kernels::{FINISHING, Params};

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
}

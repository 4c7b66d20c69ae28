//! How many times a thread's loops turn. Some drivers end loops silently after a fixed number of turns, so that results
//! would be wrong. Lavapipe ends them after 65,535 turns of all loops of a thread together, and the turn in which a
//! loop ends counts, too, each time that the loop is entered.

use super::Planner;
use crate::config::Activation;
use crate::kernels::{FINISHING, Params};

/// A range of a sum's terms, which a dispatch of its own adds up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) first: u32,
    pub(super) count: u32,
    last: bool,
}

impl Part {
    /// The activation that this part's dispatch applies: only the last part's sum is complete.
    pub(super) fn activation(self, of_sum: Activation) -> Activation {
        if self.last { of_sum } else { Activation::Linear }
    }

    /// Has every part but the first add to the stored sum, which already contains the bias.
    pub(super) fn continue_sum(self, params: &mut Params) {
        if self.first > 0 {
            (params.accumulate, params.use_bias) = (1, 0);
        }
    }
}

impl Planner<'_> {
    /// Cuts `all` terms of a sum into parts whose loops the driver doesn't end, where `terms` terms take `turns` turns.
    /// Each part but the last is a multiple of `terms` long.
    pub(super) fn parts(&self, all: u64, terms: u64, turns: u64) -> impl Iterator<Item = Part> + use<> {
        let most = (self.profile.max_iterations.saturating_sub(FINISHING) / turns).saturating_mul(terms).max(terms);
        // There is at least one part: a sum of nothing may still have a bias. A part's length must fit 32 bits, and on
        // a 32-bit host so must the step of the iterator.
        let step = most.min(u32::MAX.into()) as usize;
        (0..all.max(1)).step_by(step).map(move |first| {
            let count = most.min(all - first);
            Part { first: first as u32, count: count as u32, last: first + count == all }
        })
    }
}

//! How often a thread's loops turn: some drivers end them after a fixed number without a word, so that results would be
//! silently wrong. Lavapipe counts 65,535 for all loops of an invocation together, and for each time that a loop is entered
//! the turn in which it ends, too.

use super::{Planner, tiles};
use crate::config::{Activation, Bias};
use crate::kernel::{Kernel, Params, Variant};

/// Turns of the loops that activate what a thread stored: up to 64 results, in up to 48 turns of erf's loops each.
const FINISHING: u64 = 64 * 48;

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
    /// An upper bound of the turns of all loops of one thread. Those of constant length are none: `kernel/unroll.rs`.
    pub(super) fn iterations(&self, variant: Variant, p: &Params) -> u64 {
        let of = |value: u32| u64::from(value);
        let outer = of(p.kernel_0) + of(p.kernel_0) * of(p.kernel_1) + of(p.taps);
        let window = |step: u64| 2 * outer + of(p.window) / step;
        let readers = |turns: u64| 2 * self.outer_readers() + self.most_readers() * (2 + turns);
        let tiles = |terms: u64| tiles::turns(terms, variant.constants[6]);
        // Of a cell's rows, or a reader's filters, a thread does a part, four at a step.
        let split = |blocks: u64, all: u64, parts: u64| blocks * (1 + 8) + all.div_ceil(parts) + 16 + 32;
        match variant.kernel {
            Kernel::DenseScatter => of(p.count),
            Kernel::LoopForward => {
                let [_, _, _, _, _, input_width, _] = variant.constants;
                window(of(input_width)) + FINISHING
            }
            Kernel::LoopGradInput => {
                let [_, _, _, width, ..] = variant.constants;
                readers(of(p.filters / width))
            }
            Kernel::LoopGradKernel | Kernel::SparseGradKernel => of(p.batch),
            Kernel::GradBias => of(p.batch) + 3,
            Kernel::GradBiasShared => of(p.row).div_ceil(64) + 6,
            Kernel::SparseForward => of(p.count) + FINISHING,
            Kernel::SparseGradInput => self.most_readers() * (2 + of(p.filters)),
            Kernel::LoopForwardSplit => {
                let [_, lanes, threads, ..] = variant.constants.map(u64::from);
                split(of(p.taps).div_ceil(threads), 3 * of(p.window), threads / lanes) + FINISHING
            }
            Kernel::LoopGradInputSplit => {
                let [_, lanes, channels, threads, ..] = variant.constants.map(u64::from);
                let (readers, steps) = (self.most_readers(), (of(p.filters) / 4).div_ceil(lanes));
                let blocks = readers.div_ceil(threads);
                split(blocks, 3 * readers * steps, threads / (lanes * channels)) + 4 * 32
            }
            Kernel::LoopForwardTiled => tiles(of(p.window)) + FINISHING,
            Kernel::LoopGradInputTiled => tiles(self.most_readers() * of(p.filters)),
            Kernel::LoopGradKernelTiled | Kernel::DenseGradKernel => tiles(of(p.batch)),
            Kernel::DenseForward => tiles(of(p.dense_rows)) + FINISHING,
            Kernel::DenseGradInput => tiles(of(p.dense_columns)),
            Kernel::Softmax | Kernel::SoftmaxGrad => 3 * of(p.row).div_ceil(64) + 12,
            Kernel::DenseGather | Kernel::Activate | Kernel::ActivateGrad | Kernel::Fill => 0,
        }
    }

    /// Whether a driver lets a thread's loops turn as often as this variant's would.
    pub(super) fn turns_fit(&self, variant: Variant, p: &Params) -> bool {
        // The bound costs some host work, and only few drivers have a limit.
        self.profile.max_iterations == u64::MAX || self.iterations(variant, p) <= self.profile.max_iterations
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

    /// Entries of the longest row.
    pub(super) fn most_entries(&self) -> u64 {
        self.geometry.pattern().map_or(self.geometry.window().into(), |pattern| longest(pattern.starts()))
    }

    /// Turns of the loops over readers along the outer axes.
    fn outer_readers(&self) -> u64 {
        let [first, second, _] = self.geometry.axes().each_ref().map(|axis| longest(&axis.inverse_starts));
        first + first * second
    }

    /// Readers of the input element that has most.
    pub(super) fn most_readers(&self) -> u64 {
        match self.geometry.pattern() {
            Some(pattern) => {
                // A count of the columns is all that this needs of the sparse index.
                let mut readers = vec![0u32; pattern.inputs() as usize];
                pattern.columns().iter().for_each(|&column| readers[column as usize] += 1);
                readers.into_iter().max().unwrap_or(0).into()
            }
            None => self.geometry.axes().iter().map(|axis| longest(&axis.inverse_starts)).product(),
        }
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

/// Length of the longest of the ranges that begin at `starts`.
fn longest(starts: &[u32]) -> u64 {
    starts.windows(2).map(|pair| u64::from(pair[1] - pair[0])).max().unwrap_or(0)
}

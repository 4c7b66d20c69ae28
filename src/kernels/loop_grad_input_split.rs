//! `loop_grad_input` for few samples: the threads of a workgroup divide readers and filters among them.

use super::prelude::*;

kernel! {
    /// Input gradient of the loop variant, each sum shared by threads of a workgroup.
    LoopGradInputSplit: "loop_grad_input_split", [Read, Read, Read, Write],
    /// Samples of a thread.
    images: u32 in SPLIT_IMAGES,
    /// Fours of filters side by side in a workgroup.
    lanes: u32 in Self::LANES,
    /// Channels side by side in a workgroup, each `rows` channels.
    channels: u32 in Self::CHANNELS,
    /// Threads of a workgroup.
    threads: u32 in SPLIT_THREADS,
    /// Channels of a thread.
    rows: u32 in WIDTHS,
    /// How the weights are stored.
    weights: WeightType in WeightType::ALL
}

impl LoopGradInputSplit {
    /// Values of `lanes`.
    pub(crate) const LANES: [u32; 3] = [2, 4, 8];
    /// Values of `channels`.
    pub(crate) const CHANNELS: [u32; 2] = [1, 4];
}

impl Kernel for LoopGradInputSplit {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let (x, rows) = (of(self.images), of(self.rows));
        let steps = readers(p) * of(p.filters) / 4.0 * of(self.channels) / of(self.threads);
        let (most, most_steps) = (u64::from(p.most_readers), u64::from((p.filters / 4).div_ceil(self.lanes)));
        let blocks = most.div_ceil(self.threads.into());
        Work {
            threads: of(self.threads) * of(p.workgroups),
            operations: 6.0
                + 6.0 * readers(p) / of(self.threads)
                + steps * product(4.0 * rows, x, loads.four * (rows + x))
                + 16.0 * x * rows,
            bytes: traffic(p),
            waits: steps,
            products: window_products(p),
            turns: split_turns(blocks, 3 * most * most_steps, self.threads / (self.lanes * self.channels)) + 4 * 32,
        }
    }

    fn threads(&self) -> u32 {
        self.threads
    }

    fn workgroup_memory(&self) -> u32 {
        // Besides what is joined, each thread has a reader: where its weights and where its outputs lie.
        let rows = self.rows.min(4096 / (self.threads * self.images));
        joined(self.images * rows, self.threads, 1) + 2 * 4 * self.threads
    }
}

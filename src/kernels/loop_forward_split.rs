//! `loop_forward` for few samples or filters: the threads of a workgroup divide a cell's K among them.

use super::prelude::*;

kernel! {
    /// Forward of the loop variant, each sum shared by threads of a workgroup.
    LoopForwardSplit: "loop_forward_split", [Read, Read, Read, Read, Write],
    /// Samples of a thread.
    images: u32 in SPLIT_IMAGES,
    /// Units of filters side by side in a workgroup.
    lanes: u32 in Self::LANES,
    /// Threads of a workgroup.
    threads: u32 in [Self::MOST_LANES, SPLIT_THREADS[0], SPLIT_THREADS[1]],
    /// Filters of a unit.
    width: u32 in WIDTHS,
    /// Channels that are loaded at once.
    input_width: u32 in WIDTHS,
    /// How the weights are stored.
    weights: WeightType in WeightType::ALL;
    if Self::fits
}

impl LoopForwardSplit {
    /// As many lanes as the smallest workgroup has threads: each has a sum of its own, and there is nothing to add.
    pub(crate) const MOST_LANES: u32 = 32;
    /// Units of filters side by side. More than 8 are used only where a unit has four filters.
    pub(crate) const LANES: [u32; 6] = [1, 2, 4, 8, 16, Self::MOST_LANES];

    fn fits(&self) -> bool {
        // Inputs are loaded in fours only where filters are.
        self.input_width <= self.width
            && (self.lanes <= 8 || self.width == 4)
            && (self.lanes == Self::MOST_LANES) == (self.threads == Self::MOST_LANES)
    }
}

impl Kernel for LoopForwardSplit {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let (x, e) = (of(self.images), of(self.input_width));
        let each = product(of(self.width), x, loads.of(self.width) + x * loads.of(self.input_width) / e);
        let blocks = p.taps.div_ceil(self.threads).into();
        Work {
            threads: of(self.threads) * of(p.workgroups),
            operations: taps(p) / of(self.threads) + of(p.window) * of(self.lanes) / of(self.threads) * each + 16.0 * x,
            bytes: traffic(p),
            waits: of(p.window) * of(self.lanes) / of(self.threads) / 4.0,
            products: window_products(p),
            turns: split_turns(blocks, 3 * u64::from(p.window), self.threads / self.lanes) + FINISHING,
        }
    }

    fn threads(&self) -> u32 {
        self.threads
    }

    fn workgroup_memory(&self) -> u32 {
        // Besides what is joined, there are the offsets of four taps of each thread.
        joined(self.images.min(4), self.threads, self.width) + 4 * 4 * self.threads
    }
}

//! `y[n, p, f] = activation(bias[p, f] + sum over k of x[n, window(p, k)] * w[p, k, f])`.

use super::prelude::*;

kernel! {
    /// Forward of the loop variant, with bias and activation.
    LoopForward: "loop_forward", [Read, Read, Read, Read, Write],
    /// Samples of a thread.
    images: u32 in IMAGES,
    /// Units of filters of a thread.
    filters: u32 in FILTERS,
    /// The activation's code, or `ANY`.
    activation: u32 in FUSED,
    /// Threads of a workgroup.
    threads: u32 in Workgroup::ALL.map(|workgroup| workgroup.threads),
    /// Filters of a unit.
    width: u32 in WIDTHS,
    /// Channels that are loaded at once.
    input_width: u32 in WIDTHS,
    /// How the weights are stored.
    weights: WeightType in WeightType::ALL;
    if Self::fits
}

impl LoopForward {
    fn fits(&self) -> bool {
        self.input_width <= self.width
            && match self.width {
                // Layers whose weights don't come in fours are small, so few variants serve them.
                1 => self.images <= 8 && self.threads == THREADS,
                _ => self.filters * self.images <= MOST_FOURS && (self.images <= 8 || self.filters == 1),
            }
    }
}

impl Kernel for LoopForward {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let (x, y, e, h) = (of(self.images), of(self.filters), of(self.width), of(self.input_width));
        let loaded = loads.of(self.input_width) * x + loads.of(self.width) * h * y;
        Work {
            threads: of(p.cells) * tiles(p.filters / self.width, self.filters) * tiles(p.batch, self.images),
            operations: taps(p) + of(p.window) / h * product(x, h * e * y, loaded),
            bytes: traffic(p),
            // Each tap's input is loaded only after the tap's offset.
            waits: of(p.taps) + of(p.window) / h,
            products: window_products(p),
            turns: window_turns(p, self.input_width) + FINISHING,
        }
    }

    fn threads(&self) -> u32 {
        self.threads
    }
}

//! `dw[p, k, f] = sum over n of x[n, window(p, k)] * dz[n, p, f]`; 0 where the tap lies outside the input.

use super::prelude::*;

kernel! {
    /// Gradient of the weights, by the loop variant.
    LoopGradWeights: "loop_grad_weights", [Read, Read, Read, Write],
    /// Neighbouring taps of a thread, along the inner axis.
    taps: u32 in Self::TAPS,
    /// Inputs of a thread, each of `input_width` channels.
    channels: u32 in CHANNELS,
    /// Units of filters of a thread.
    filters: u32 in FILTERS,
    /// Filters of a unit.
    width: u32 in WIDTHS,
    /// Channels of an input.
    input_width: u32 in WIDTHS;
    if Self::fits
}

impl LoopGradWeights {
    /// Values of `taps`.
    pub(crate) const TAPS: [u32; 6] = [1, 2, 3, 4, 5, 7];
    /// Most inputs of a thread: taps by channels.
    const MOST_ROWS: u32 = 9;

    fn fits(&self) -> bool {
        let Self { taps, channels, filters, width, input_width } = *self;
        let rows = taps * channels;
        match [width, input_width] {
            [4, 4] => taps == 1 && [1, 2, 4].contains(&channels) && channels * filters <= MOST_FOURS / 4,
            // Channels one by one, which take more registers.
            [4, _] => channels <= 3 && filters <= 4 && rows <= Self::MOST_ROWS && rows * filters <= MOST_FOURS,
            [1, 1] => rows <= Self::MOST_ROWS && rows * filters <= MOST_SUMS,
            _ => false,
        }
    }
}

impl Kernel for LoopGradWeights {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let (x, y, filters) = (of(self.taps), of(self.channels), of(self.filters));
        let (d, e) = (of(self.width), of(self.input_width));
        let loaded = loads.of(self.input_width) * x * y + loads.of(self.width) * filters;
        Work {
            threads: of(p.cells) * of(p.window) / (x * y * e) * tiles(p.filters / self.width, self.filters),
            operations: 3.0
                + x
                + of(p.batch) * product(x * y * e, d * filters, loaded)
                + x * y * e * filters * loads.of(self.width),
            bytes: traffic(p),
            waits: of(p.batch),
            products: window_products(p),
            turns: p.batch.into(),
        }
    }
}

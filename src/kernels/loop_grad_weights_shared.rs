//! `dw[g, k, f] = sum over p and n of x[n, window(p, k)] * dz[n, p, f]`, in parts of some locations each.

use super::prelude::*;

kernel! {
    /// Gradient of weights that locations share, by the loop variant.
    LoopGradWeightsShared: "loop_grad_weights_shared", [Read, Read, Read, Write],
    /// Inputs of a thread, each of `input_width` channels.
    channels: u32 in Self::CHANNELS,
    /// Units of filters of a thread.
    filters: u32 in Self::FILTERS,
    /// Filters of a unit.
    width: u32 in WIDTHS,
    /// Channels of an input.
    input_width: u32 in WIDTHS;
    if Self::fits
}

impl LoopGradWeightsShared {
    /// Values of `channels`.
    pub(crate) const CHANNELS: [u32; 4] = [1, 2, 3, 4];
    /// Values of `filters`.
    pub(crate) const FILTERS: [u32; 3] = [1, 2, 4];

    fn fits(&self) -> bool {
        let of_channels = match [self.width, self.input_width] {
            // Channels one by one, which take more registers.
            [4, 1] => self.channels <= 3,
            // Inputs are loaded in fours only where filters are.
            [width, input_width] => input_width <= width,
        };
        of_channels && self.channels * self.input_width * self.filters <= MOST_FOURS
    }
}

impl Kernel for LoopGradWeightsShared {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let (y, filters, d, e) = (of(self.channels), of(self.filters), of(self.width), of(self.input_width));
        let loaded = loads.of(self.input_width) * y + loads.of(self.width) * filters;
        let locations = of(p.part_locations);
        let (inputs, outputs) = operands(p);
        let written = 4.0 * of(p.parts) * of(p.weight_cells) * of(p.window) * of(p.filters);
        Work {
            threads: of(p.parts) * of(p.weight_cells) * of(p.window) / (y * e)
                * tiles(p.filters / self.width, self.filters),
            operations: locations * (8.0 + of(p.batch) * product(y * e, d * filters, loaded)),
            bytes: inputs + outputs + written,
            waits: locations * (3.0 + of(p.batch)),
            products: products([
                p.batch,
                p.end_location.saturating_sub(p.first_location),
                p.weight_cells,
                p.window,
                p.filters,
            ]),
            turns: u64::from(p.part_locations) * (u64::from(p.batch) + 2),
        }
    }
}

//! `dx[n, position, c] = sum over the (p, t) that read the position, and over f, of w[p, t, c, f] * dz[n, p, f]`.

use super::prelude::*;

kernel! {
    /// Input gradient of the loop variant.
    LoopGradInput: "loop_grad_input", [Read, Read, Read, Write],
    /// Samples of a thread.
    images: u32 in IMAGES,
    /// Channels of a thread.
    channels: u32 in CHANNELS,
    /// Threads of a workgroup, and how they load.
    workgroup: Workgroup in Workgroup::ALL,
    /// Filters that are loaded at once.
    width: u32 in WIDTHS,
    /// How the weights are stored.
    weights: WeightType in WeightType::ALL;
    // Layers whose weights don't come in fours are small, so few variants serve them.
    if |kernel| (kernel.images <= 8 || kernel.channels <= 4) && (kernel.width == 4 || kernel.workgroup == Workgroup::GPU)
}

impl Kernel for LoopGradInput {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let (x, y, d) = (of(self.images), of(self.channels), of(self.width));
        let each = of(p.filters) / d * product(x, d * y, loads.of(self.width) * (x + y));
        Work {
            threads: of(p.positions) * tiles(p.groups * p.group_channels, self.channels) * tiles(p.batch, self.images),
            operations: 12.0 + readers(p) * (6.0 + each),
            bytes: traffic(p),
            // Each output is loaded only after its reader's offset.
            waits: readers(p) * (1.0 + of(p.filters) / d),
            products: window_products(p),
            turns: reader_turns(p, (p.filters / self.width).into()),
        }
    }

    fn threads(&self) -> u32 {
        self.workgroup.threads
    }
}

//! `loop_grad_input` by tiles of neighbouring positions: `[samples][readers * filters] x [readers * filters][positions * channels]`.

use super::prelude::*;
use super::tile::DEPTH;

tiled! {
    /// Input gradient of the loop variant by tiles whose columns are neighbouring positions of a line, with their channels.
    LoopGradInputStrips: "loop_grad_input_strips", [Read, Read, Read, Write], weights;
    work: |tile, p, loads| {
        let of_line = of(p.output[2]) * of(p.taps_2) / of(p.input[2]);
        let terms = readers(p) / of_line * of(LoopGradInputStrips::windows(p, tile.shape)) * of(p.filters);
        tile.work(p, loads, Sums::along_filters(tile, terms, traffic(p)))
    },
    products: window_products,
    turns: |shape, p| {
        let windows = LoopGradInputStrips::windows(p, shape);
        let terms = (u64::from(p.outer_readers) * u64::from(p.filters)).saturating_mul(windows.into());
        // A tile's turns, with one loop more over a step's terms: for gradients that aren't finite.
        shape.turns(terms).saturating_add(shape.steps(terms).saturating_mul(u64::from(DEPTH + 1)))
    },
    // Whether something wasn't finite.
    more_memory: 4
}

impl LoopGradInputStrips {
    /// The most windows of a line that read any of a tile's positions.
    pub(crate) fn windows(p: &Params, shape: TileShape) -> u32 {
        let channels = u64::from(p.group_channels.max(1));
        // Where the tile doesn't begin with a position's first channel, it has a share of one more.
        let positions = ((u64::from(shape.columns()) - 1).div_ceil(channels) + 1).min(p.input[2].into());
        let windows = (positions + u64::from(p.taps_2) - 2) / u64::from(p.stride[2].max(1)) + 1;
        windows.min(p.output[2].into()) as u32
    }
}

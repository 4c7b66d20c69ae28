//! `loop_grad_input` by tiles: `[samples][readers * filters] x [readers * filters][channels]`.

use super::prelude::*;

tiled! {
    /// Input gradient of the loop variant by tiles in workgroup memory.
    LoopGradInputTiled: "loop_grad_input_tiled", [Read, Read, Read, Write], weights;
    work: |tile, p, loads| tile.work(p, loads, Sums::along_filters(tile, readers(p) * of(p.filters), traffic(p))),
    products: window_products,
    turns: |shape, p| shape.turns(u64::from(p.most_readers) * u64::from(p.filters))
}

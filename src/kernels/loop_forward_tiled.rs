//! `loop_forward` by tiles: a product `[samples][K] x [K][filters]` for each cell.

use super::prelude::*;

tiled! {
    /// Forward of the loop variant by tiles in workgroup memory.
    LoopForwardTiled: "loop_forward_tiled", [Read, Read, Read, Read, Write], weights;
    work: |tile, p, loads| tile.work(p, loads, Sums::of(tile, of(p.window), traffic(p))),
    products: window_products,
    turns: |shape, p| shape.turns(p.window.into()) + FINISHING
}

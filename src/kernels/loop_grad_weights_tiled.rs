//! `loop_grad_weights` by tiles: a product `[K][samples] x [samples][filters]` for each cell.

use super::prelude::*;

tiled! {
    /// Gradient of the weights, by the loop variant by tiles in workgroup memory.
    LoopGradWeightsTiled: "loop_grad_weights_tiled", [Read, Read, Read, Write];
    work: |tile, p, loads| tile.work(p, loads, Sums::of(tile, of(p.batch), traffic(p))),
    products: window_products,
    turns: |shape, p| shape.turns(p.batch.into())
}

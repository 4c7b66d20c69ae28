//! `loop_forward` by tiles where locations share their weights: for each group one product `[samples and locations][K] x
//! [K][filters]`, instead of a product of few rows for each location.

use super::prelude::*;

tiled! {
    /// Forward of weights that locations share, by the loop variant by tiles in workgroup memory.
    LoopForwardShared: "loop_forward_shared", [Read, Read, Read, Read, Write], weights;
    work: |tile, p, loads| tile.work(p, loads, Sums::of(tile, of(p.window), traffic(p))),
    products: window_products,
    turns: |shape, p| shape.turns(p.window.into()) + FINISHING
}

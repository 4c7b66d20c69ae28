//! `d[i][column] = sum over n of x[n, i] * dz[n, column]`, by tiles.

use super::prelude::*;

tiled! {
    /// Gradient of the dense matrix.
    DenseGradWeights: "dense_grad_weights", [Read, Read, Write];
    work: |tile, p, loads| tile.work(p, loads, Sums::of(tile, of(p.batch), dense_traffic(p))),
    products: dense_products,
    turns: |shape, p| shape.turns(p.batch.into())
}

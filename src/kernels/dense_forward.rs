//! `y[n, column] = activation(bias[column] + sum over i of x[n, i] * d[i][column])`, by tiles.

use super::prelude::*;

tiled! {
    /// Forward of the dense variant, with bias and activation.
    DenseForward: "dense_forward", [Read, Read, Read, Write];
    work: |tile, p, loads| tile.work(p, loads, Sums::of(tile, of(p.dense_rows), dense_traffic(p))),
    products: dense_products,
    turns: |shape, p| shape.turns(p.dense_rows.into()) + FINISHING
}

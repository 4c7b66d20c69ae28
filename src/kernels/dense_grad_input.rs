//! `dx[n, i] = sum over the columns of dz[n, column] * d[i][column]`, by tiles.

use super::prelude::*;

tiled! {
    /// Input gradient of the dense variant.
    DenseGradInput: "dense_grad_input", [Read, Read, Write];
    work: |tile, p, loads| tile.work(p, loads, Sums::along_filters(tile, of(p.dense_columns), dense_traffic(p))),
    products: dense_products,
    turns: |shape, p| shape.turns(p.dense_columns.into())
}

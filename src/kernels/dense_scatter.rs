//! `d[window(p, k)][column of (p, f)] += w[p, k, f]` on a matrix of zeroes.

use super::prelude::*;

kernel! {
    /// Puts weights to their places in the dense matrix.
    DenseScatter: "dense_scatter", [Read, Read, Write],
    /// How the weights are stored.
    weights: WeightType in WeightType::ALL
}

impl Kernel for DenseScatter {
    fn work(&self, p: &Params, _: Loads) -> Work {
        Work {
            threads: of(p.dense_columns),
            operations: taps(p) + 3.0 * of(p.count),
            bytes: 3.0 * weights(p),
            turns: p.count.into(),
            ..Work::default()
        }
    }
}

//! `dx[n, p, c] = sum over the windows o of position p of dy[n, o, c] by the positions of o`.

use super::prelude::*;

kernel! {
    /// Divides a window's gradient among all of its positions.
    PoolGradAverage: "pool_grad_average", [Read, Write]
}

impl Kernel for PoolGradAverage {
    fn work(&self, p: &Params, _: Loads) -> Work {
        read_by(p, 0.0, 1.0)
    }
}

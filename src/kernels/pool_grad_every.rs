//! `dx[n, p, c] = sum over the windows o with y[n, o, c] = x[n, p, c] of dy[n, o, c]`.

use super::prelude::*;

kernel! {
    /// Gives a window's gradient to each position that holds its largest value.
    PoolGradEvery: "pool_grad_every", [Read, Read, Read, Write]
}

impl Kernel for PoolGradEvery {
    fn work(&self, p: &Params, _: Loads) -> Work {
        read_by(p, 1.0, 2.0)
    }
}

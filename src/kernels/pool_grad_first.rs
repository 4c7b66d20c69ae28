//! `dx[n, p, c] = sum over the windows o with winner[n, o, c] = p of dy[n, o, c]`.

use super::prelude::*;

kernel! {
    /// Gives a window's gradient to the first position that holds its largest value.
    PoolGradFirst: "pool_grad_first", [Read, Read, Write]
}

impl Kernel for PoolGradFirst {
    fn work(&self, p: &Params, _: Loads) -> Work {
        read_by(p, 0.0, 2.0)
    }
}

//! `dx[n, p, c] = sum over the windows o with y[n, o, c] = x[n, p, c] of dy[n, o, c]`.

use super::listed::{Kernel, kernel};
use super::work::{of, read_by, read_by_bytes, read_by_turns};
use super::{Loads, Params, Work};

kernel! {
    /// Gives a window's gradient to each position that holds its largest value.
    PoolGradEvery: "pool_grad_every", [Read, Read, Read, Write]
}

impl Kernel for PoolGradEvery {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let bytes = read_by_bytes(p, 1.0, 2.0);
        Work { threads: of(p.count), operations: read_by(p), bytes, ..Work::default() }
    }

    fn turns(&self, p: &Params) -> u64 {
        read_by_turns(p)
    }
}

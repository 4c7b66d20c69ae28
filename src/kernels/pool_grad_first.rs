//! `dx[n, p, c] = sum over the windows o with winner[n, o, c] = p of dy[n, o, c]`.

use super::listed::{Kernel, kernel};
use super::work::{of, read_by, read_by_bytes, read_by_turns};
use super::{Loads, Params, Work};

kernel! {
    /// Gives a window's gradient to the first position that holds its largest value.
    PoolGradFirst: "pool_grad_first", [Read, Read, Write]
}

impl Kernel for PoolGradFirst {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let bytes = read_by_bytes(p, 0.0, 2.0);
        Work { threads: of(p.count), operations: read_by(p), bytes, ..Work::default() }
    }

    fn turns(&self, p: &Params) -> u64 {
        read_by_turns(p)
    }
}

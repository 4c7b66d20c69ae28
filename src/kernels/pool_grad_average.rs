//! `dx[n, p, c] = sum over the windows o of position p of dy[n, o, c] by the positions of o`.

use super::listed::{Kernel, kernel};
use super::work::{of, read_by, read_by_bytes, read_by_turns};
use super::{Loads, Params, Work};

kernel! {
    /// Divides a window's gradient among all of its positions.
    PoolGradAverage: "pool_grad_average", [Read, Write]
}

impl Kernel for PoolGradAverage {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let bytes = read_by_bytes(p, 0.0, 1.0);
        Work { threads: of(p.count), operations: read_by(p), bytes, ..Work::default() }
    }

    fn turns(&self, p: &Params) -> u64 {
        read_by_turns(p)
    }
}

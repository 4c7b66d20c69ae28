//! `winner[n, o, c] = the first position p of window o with the largest x[n, p, c]`.

use super::listed::{Kernel, kernel};
use super::work::{of, pooled, pooled_bytes, pooled_turns};
use super::{Loads, Params, Work};

kernel! {
    /// Finds where each window's largest value is.
    PoolIndex: "pool_index", [Read, Write]
}

impl Kernel for PoolIndex {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let bytes = pooled_bytes(p);
        Work { threads: of(p.count), operations: pooled(p), bytes, ..Work::default() }
    }

    fn turns(&self, p: &Params) -> u64 {
        pooled_turns(p)
    }
}

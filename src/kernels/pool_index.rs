//! `winner[n, o, c] = the first position p of window o with the largest x[n, p, c]`.

use super::prelude::*;

kernel! {
    /// Finds where each window's largest value is.
    PoolIndex: "pool_index", [Read, Write]
}

impl Kernel for PoolIndex {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        pooled(p, loads, 1)
    }
}

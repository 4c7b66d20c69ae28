//! `y[o] = weight / divisor` where the largest prediction of row o is at its target's place, else 0.

use super::listed::{Kernel, kernel};
use super::work::{joined, of, shared_turns};
use super::{Loads, Params, THREADS, Work};

kernel! {
    /// Counts the rows of classes that are predicted rightly.
    HitsRows: "hits_rows", [Read, Read, Read, Write],
    /// Whether targets are class numbers.
    sparse: bool in [false, true]
}

impl Kernel for HitsRows {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let elements = of(p.count) * of(p.row);
        Work {
            threads: of(p.count) * of(THREADS),
            operations: 8.0 * of(p.row.div_ceil(THREADS)),
            bytes: 8.0 * elements,
            ..Work::default()
        }
    }

    fn turns(&self, p: &Params) -> u64 {
        shared_turns(p.row, 4, 4)
    }

    fn workgroup_memory(&self) -> u32 {
        joined(1, THREADS, 1)
    }
}

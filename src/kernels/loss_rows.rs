//! `y[o] = weight * crossentropy of row o / divisor`.

use super::listed::{Kernel, kernel};
use super::work::{joined, of, shared_turns};
use super::{Loads, Params, THREADS, Work};

kernel! {
    /// Crossentropies of rows of classes.
    LossRows: "loss_rows", [Read, Read, Read, Write],
    /// Whether targets are class numbers.
    sparse: bool in [false, true],
    /// Whether predictions are logits, before a softmax.
    logits: bool in [false, true]
}

impl Kernel for LossRows {
    fn work(&self, p: &Params, _: Loads) -> Work {
        let elements = of(p.count) * of(p.row);
        Work {
            threads: of(p.count) * of(THREADS),
            operations: 12.0 * of(p.row.div_ceil(THREADS)),
            bytes: 8.0 * elements,
            ..Work::default()
        }
    }

    fn turns(&self, p: &Params) -> u64 {
        shared_turns(p.row, 3, 3)
    }

    fn workgroup_memory(&self) -> u32 {
        joined(1, THREADS, 1)
    }
}

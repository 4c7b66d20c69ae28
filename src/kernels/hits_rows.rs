//! `y[o] = weight / divisor` where the largest prediction of row o is at its target's place, else 0.

use super::prelude::*;

kernel! {
    /// Counts the rows of classes that are predicted rightly.
    HitsRows: "hits_rows", [Read, Read, Read, Write],
    /// Whether targets are class numbers.
    sparse: bool in [false, true]
}

impl Kernel for HitsRows {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, _: Loads) -> Work {
        Work { turns: shared_turns(p.row, 4, 4), ..rows(p, 8.0) }
    }
}

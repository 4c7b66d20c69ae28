//! `ties[o, s, c] = how many x[o, p, c] are y[o, c], over p = s, s + parts, …, below length`.

use super::prelude::*;

kernel! {
    /// Counts how many elements along an axis are the largest.
    ReduceTies: "reduce_ties", [Read, Read, Write]
}

impl Kernel for ReduceTies {
    fn work(&self, p: &Params, _: Loads) -> Work {
        reduced(p, 2.0)
    }
}

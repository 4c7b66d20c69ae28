//! `y[part] = factor · sum of the terms of a part`, of up to 4,096 values.

use super::prelude::*;

kernel! {
    /// Sums of parts of a buffer.
    Total: "total", [Read, Read, Write],
    /// What is summed: values, magnitudes or squares.
    of: u32 in [Self::VALUE, Self::MAGNITUDE, Self::SQUARE]
}

impl Total {
    /// The values.
    pub(crate) const VALUE: u32 = 0;
    /// Their magnitudes.
    pub(crate) const MAGNITUDE: u32 = 1;
    /// Their squares.
    pub(crate) const SQUARE: u32 = 2;
    /// Most values of a part.
    pub(crate) const PART: u64 = 4096;
}

impl Kernel for Total {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, _: Loads) -> Work {
        Work {
            threads: of(THREADS) * of(p.workgroups),
            operations: of(p.columns) / of(THREADS),
            bytes: 4.0 * of(p.count),
            turns: u64::from(p.columns.div_ceil(THREADS)) + 16,
            ..Work::default()
        }
    }
}

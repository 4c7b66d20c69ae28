//! `y[o] = sum of (x - mean[o])^2 over the elements of x that element o stands for, / divisor`.

use super::listed::{Kernel, kernel};
use super::work::{joined, of};
use super::{Loads, Params, Sum, THREADS, Work};

kernel! {
    /// Variances along axes.
    Variance: "variance", [Read, Read, Write],
    /// Threads that share the terms of an element.
    parts: u32 in Sum::PARTS
}

impl Kernel for Variance {
    fn work(&self, p: &Params, loads: Loads) -> Work {
        let sum = Sum { parts: self.parts }.work(p, loads);
        Work { operations: sum.operations + of(p.terms) / of(self.parts), ..sum }
    }

    fn turns(&self, p: &Params) -> u64 {
        Sum { parts: self.parts }.turns(p)
    }

    fn workgroup_memory(&self) -> u32 {
        joined(1, THREADS, 1)
    }
}

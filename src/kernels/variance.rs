//! `y[o] = sum of (x - mean[o])^2 over the elements of x that element o stands for, / divisor`.

use super::Sum;
use super::prelude::*;

kernel! {
    /// Variances along axes.
    Variance: "variance", [Read, Read, Write],
    /// Threads that share the terms of an element.
    parts: u32 in Sum::PARTS
}

impl Kernel for Variance {
    const JOINED: u32 = 1;

    fn work(&self, p: &Params, loads: Loads) -> Work {
        let sum = Sum { parts: self.parts }.work(p, loads);
        Work { operations: sum.operations + of(p.terms) / of(self.parts), ..sum }
    }
}

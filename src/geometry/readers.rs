//! How many read an input, and how long the longest sums are.

use super::{AxisTaps, Pattern};

/// Counted once: plans ask often, and the tables may be long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readers {
    /// Along the outer axis, and along the two outer ones, together.
    pub(super) outer: u64,
    /// Of the input element that has most.
    pub(super) most: u64,
}

impl Readers {
    /// Of windows.
    pub(super) fn of_axes(axes: &[AxisTaps; 3]) -> Self {
        let [first, second, third] = axes.each_ref().map(|axis| longest(&axis.inverse_starts));
        Self { outer: first + first * second, most: first * second * third }
    }

    /// Of connections.
    pub(super) fn of_pattern(pattern: &Pattern) -> Self {
        let mut readers = vec![0u32; pattern.inputs() as usize];
        pattern.columns().iter().for_each(|&column| readers[column as usize] += 1);
        Self { outer: 2, most: readers.into_iter().max().unwrap_or(0).into() }
    }
}

/// Length of the longest of the ranges that begin at `starts`.
pub(super) fn longest(starts: &[u32]) -> u64 {
    starts.windows(2).map(|pair| u64::from(pair[1] - pair[0])).max().unwrap_or(0)
}

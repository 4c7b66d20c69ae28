//! How many cells read an input: the lengths of the longest sums.

use super::{AxisTaps, Pattern};

/// Counted once, since plans ask often and the tables may be long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readers {
    /// The most along the outer axis, plus the most along the two outer axes.
    pub(super) outer: u64,
    /// The most readers of any input element.
    pub(super) most: u64,
}

impl Readers {
    /// For windows.
    pub(super) fn of_axes(axes: &[AxisTaps; 3]) -> Self {
        let [first, second, third] = axes.each_ref().map(|axis| longest(&axis.inverse_starts));
        Self { outer: first + first * second, most: first * second * third }
    }

    /// For a user's connections.
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

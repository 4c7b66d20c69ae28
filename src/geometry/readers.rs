//! How many read an input, and how long the longest sums are.

use super::{AxisTaps, Geometry, Pattern};

/// Counted once: plans ask often, and the tables may be long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readers {
    outer: u64,
    most: u64,
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

impl Geometry {
    /// Entries of the longest row.
    #[must_use]
    pub fn most_entries(&self) -> u64 {
        self.pattern().map_or(self.window().into(), |pattern| longest(pattern.starts()))
    }

    /// Readers of an input along the outer axis, and those along the two outer axes, together.
    #[must_use]
    pub fn outer_readers(&self) -> u64 {
        self.readers.outer
    }

    /// Readers of the input element that has most.
    #[must_use]
    pub fn most_readers(&self) -> u64 {
        self.readers.most
    }
}

/// Length of the longest of the ranges that begin at `starts`.
fn longest(starts: &[u32]) -> u64 {
    starts.windows(2).map(|pair| u64::from(pair[1] - pair[0])).max().unwrap_or(0)
}

//! How many read an input, and how long the longest sums are.

use super::Geometry;

impl Geometry {
    /// Entries of the longest row.
    #[must_use]
    pub fn most_entries(&self) -> u64 {
        self.pattern().map_or(self.window().into(), |pattern| longest(pattern.starts()))
    }

    /// Readers of an input along the outer axis, and those along the two outer axes, together.
    #[must_use]
    pub fn outer_readers(&self) -> u64 {
        let [first, second, _] = self.axes().each_ref().map(|axis| longest(&axis.inverse_starts));
        first + first * second
    }

    /// Readers of the input element that has most.
    #[must_use]
    pub fn most_readers(&self) -> u64 {
        match self.pattern() {
            Some(pattern) => {
                // A count of the columns is all that this needs of the sparse index.
                let mut readers = vec![0u32; pattern.inputs() as usize];
                pattern.columns().iter().for_each(|&column| readers[column as usize] += 1);
                readers.into_iter().max().unwrap_or(0).into()
            }
            None => self.axes().iter().map(|axis| longest(&axis.inverse_starts)).product(),
        }
    }
}

/// Length of the longest of the ranges that begin at `starts`.
fn longest(starts: &[u32]) -> u64 {
    starts.windows(2).map(|pair| u64::from(pair[1] - pair[0])).max().unwrap_or(0)
}

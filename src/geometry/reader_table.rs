//! A table of the readers of each input position of an axis.

use super::AxisTaps;
use crate::Result;
use crate::room::zeroes;

/// What is said where a table doesn't fit.
const WHAT: &str = "the tap tables";

/// An axis's taps by what they read. An axis may have any length, so whoever reads the table makes it.
#[derive(Debug)]
pub(crate) struct ReaderTable {
    /// `[input + 1]`: where each input position's pairs begin.
    starts: Vec<u32>,
    pairs: Vec<[u32; 2]>,
}

impl ReaderTable {
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub(crate) fn new(axis: &AxisTaps) -> Result<Self> {
        let mut starts: Vec<u32> = zeroes(WHAT, u64::from(axis.input) + 1)?;
        let mut pairs = zeroes(WHAT, axis.connected())?;
        for at in axis.forward().flatten() {
            starts[at as usize + 1] += 1;
        }
        for i in 0..axis.input as usize {
            starts[i + 1] += starts[i];
        }
        // A counting sort by input position. It scans in output order, so each position's pairs are ascending. Where a position's pairs
        // begin moves to where the next one's do.
        for (at, pair) in axis.forward().zip(0..) {
            if let Some(at) = at {
                let place = &mut starts[at as usize];
                pairs[*place as usize] = [pair / axis.taps, pair % axis.taps];
                *place += 1;
            }
        }
        starts.copy_within(..axis.input as usize, 1);
        starts[0] = 0;
        Ok(Self { starts, pairs })
    }

    /// `[input + 1]`: where each input position's pairs begin.
    pub(crate) fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// All pairs, by input position and then by output position.
    pub(crate) fn pairs(&self) -> &[[u32; 2]] {
        &self.pairs
    }
}

/// What the CPU executor reads.
#[cfg(feature = "cpu")]
impl ReaderTable {
    /// Bytes of an axis's table, without making it.
    pub(crate) fn bytes(axis: &AxisTaps) -> u64 {
        4 * (u64::from(axis.input) + 1) + 8 * axis.connected()
    }

    /// The `(output position, tap)` pairs that read input position `input`; none where there is no such position.
    #[inline]
    pub(crate) fn of(&self, input: u32) -> &[[u32; 2]] {
        let range = self.starts.get(input as usize).zip(self.starts.get(input as usize + 1));
        range.map_or(&[], |(&start, &end)| &self.pairs[start as usize..end as usize])
    }

    /// The most readers of any input position.
    pub(crate) fn most(&self) -> u64 {
        self.starts.windows(2).map(|pair| u64::from(pair[1] - pair[0])).max().unwrap_or(0)
    }
}

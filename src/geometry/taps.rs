//! Tap tables: which input position each tap of each window reads, per spatial axis.

use crate::Result;
use crate::config::Padding;
use crate::room::check_room;
use std::sync::OnceLock;

/// Stands for a tap outside the input.
pub(crate) const NO_TAP: u32 = u32::MAX;

/// One spatial axis: which input positions its windows read, and which windows read an input position, so that kernels know no
/// padding modes.
#[derive(Debug, Clone)]
pub struct AxisTaps {
    /// Input positions.
    pub input: u32,
    /// Output positions.
    pub output: u32,
    /// Taps of a window.
    pub taps: u32,
    /// What window 0's first tap reads, relative to the input's first position.
    first: i64,
    /// Positions between neighbouring windows; 1 where there is one window.
    stride: i64,
    /// Positions between neighbouring taps; 1 where there is one tap.
    dilation: i64,
    /// Whether taps past the input read on at its other end. Where there are none, it is false.
    circular: bool,
    inverse: OnceLock<Inverse>,
}

/// The taps by what they read. It is made when it is first asked for: a file may name an axis of any length, and a host may never run
/// it.
#[derive(Debug, Clone)]
struct Inverse {
    /// `[input + 1]`: where each input position's entries begin in `taps`.
    starts: Vec<u32>,
    /// `(output position, tap)` pairs that read an input position, by input position and then by output position.
    taps: Vec<[u32; 2]>,
    most: u64,
}

/// A spatial axis as it is asked for. All sizes fit `u32`, so that everything computed here fits `i64`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis<'a> {
    /// Input positions.
    pub(crate) input: u64,
    /// Taps of a window.
    pub(crate) taps: u64,
    /// Positions between neighbouring windows.
    pub(crate) stride: u64,
    /// Positions between neighbouring taps.
    pub(crate) dilation: u64,
    /// What happens at its edges.
    pub(crate) padding: &'a Padding,
    /// Its number among the layer's axes: explicit padding is listed by axis.
    pub(crate) index: usize,
}

impl Axis<'_> {
    /// An axis of one position, for layers with fewer than three axes.
    pub(crate) const MISSING: Axis<'static> =
        Axis { input: 1, taps: 1, stride: 1, dilation: 1, padding: &Padding::Valid, index: 0 };

    /// Positions from a window's first tap to its last.
    fn span(&self) -> u64 {
        (self.taps - 1) * self.dilation + 1
    }

    /// Output positions; may be 0 or negative.
    pub(crate) fn output(&self) -> i64 {
        let windows = |n: u64| {
            if n < self.span() {
                n as i64 - self.span() as i64 + 1
            } else {
                ((n - self.span()) / self.stride + 1) as i64
            }
        };
        match self.padding {
            Padding::Valid => windows(self.input),
            Padding::Explicit(pads) => windows(self.input + pads[self.index].iter().sum::<usize>() as u64),
            Padding::Same | Padding::SameUpper | Padding::Circular => self.input.div_ceil(self.stride) as i64,
        }
    }

    /// Position of window 0's first tap, relative to the input's first position.
    fn origin(&self) -> i64 {
        match self.padding {
            Padding::Valid => 0,
            Padding::Explicit(pads) => -(pads[self.index][0] as i64),
            // Keras's window begins ⌊k/2⌋ left of its centre; with dilation, which Keras lacks, half of the span.
            Padding::Same => -((self.span() / 2) as i64),
            Padding::SameUpper => {
                let covered = (self.output() as u64 - 1) * self.stride + self.span();
                -((covered.saturating_sub(self.input) / 2) as i64)
            }
            Padding::Circular => -(((self.span() - 1) / 2) as i64),
        }
    }
}

/// Equal axes read the same.
impl PartialEq for AxisTaps {
    fn eq(&self, other: &Self) -> bool {
        let numbers = |a: &Self| ([a.input, a.output, a.taps], [a.first, a.stride, a.dilation], a.circular);
        numbers(self) == numbers(other)
    }
}

impl Eq for AxisTaps {}

impl AxisTaps {
    /// An axis with at least one output position.
    pub(crate) fn new(axis: &Axis<'_>) -> Self {
        let (first, output) = (axis.origin(), axis.output());
        let stride = if output == 1 { 1 } else { axis.stride as i64 };
        let dilation = if axis.taps == 1 { 1 } else { axis.dilation as i64 };
        let mut taps = Self {
            input: axis.input as u32,
            output: output as u32,
            taps: axis.taps as u32,
            first,
            stride,
            dilation,
            circular: false,
            inverse: OnceLock::new(),
        };
        taps.circular = *axis.padding == Padding::Circular && !taps.within_input();
        taps
    }

    /// The input position that tap `tap` of window `output` reads; none where there is no such tap.
    #[must_use]
    pub fn tap(&self, output: u32, tap: u32) -> Option<u32> {
        if output >= self.output || tap >= self.taps {
            return None;
        }
        let at = self.first + i64::from(output) * self.stride + i64::from(tap) * self.dilation;
        let at = if self.circular { at.rem_euclid(self.input.into()) } else { at };
        u32::try_from(at).ok().filter(|&at| at < self.input)
    }

    /// What each tap of each window reads, by window and then by tap.
    pub(crate) fn forward(&self) -> impl Iterator<Item = Option<u32>> {
        (0..self.output).flat_map(move |output| (0..self.taps).map(move |tap| self.tap(output, tap)))
    }

    /// Taps that read the input, over all windows.
    pub(crate) fn connected(&self) -> u64 {
        if self.circular {
            return u64::from(self.output) * u64::from(self.taps);
        }
        // The first window whose tap reads position `at` or one after it.
        let from = |at: i64| (at + self.stride - 1).div_euclid(self.stride).clamp(0, self.output.into()) as u64;
        let first_reads = (0..i64::from(self.taps)).map(|tap| self.first + tap * self.dilation);
        first_reads.map(|at| from(i64::from(self.input) - at) - from(-at)).sum()
    }

    /// The `(output position, tap)` pairs that read input position `input`; none where there is no such position.
    #[must_use]
    pub fn readers(&self, input: u32) -> &[[u32; 2]] {
        let (starts, input) = (self.inverse_starts(), input as usize);
        let range = starts.get(input).zip(starts.get(input + 1));
        range.map_or(&[], |(&start, &end)| &self.inverse()[start as usize..end as usize])
    }

    /// The most readers of any input position.
    pub(crate) fn most_readers(&self) -> u64 {
        self.inverted().most
    }

    /// `[input + 1]`: where each input position's readers begin in [`AxisTaps::inverse`].
    pub(crate) fn inverse_starts(&self) -> &[u32] {
        &self.inverted().starts
    }

    /// `(output position, tap)` pairs that read an input position, by input position and then by output position.
    pub(crate) fn inverse(&self) -> &[[u32; 2]] {
        &self.inverted().taps
    }

    /// Makes the table of readers, if it isn't made yet.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) where it doesn't fit; without this call the program would end there.
    pub(crate) fn invert(&self) -> Result<()> {
        if self.inverse.get().is_none() {
            // Positions are counted once more while it is made.
            check_room("the tap tables", 2 * self.connected() + 2 * (u64::from(self.input) + 1))?;
            self.inverted();
        }
        Ok(())
    }

    fn inverted(&self) -> &Inverse {
        self.inverse.get_or_init(|| Inverse::of(self))
    }

    /// Whether no tap leaves the input.
    fn within_input(&self) -> bool {
        let last = i64::from(self.output - 1) * self.stride + i64::from(self.taps - 1) * self.dilation;
        self.first >= 0 && self.first + last < self.input.into()
    }

    /// Whether the windows begin with the input and none leaves it: tap `t` of window `o` then reads where the window begins plus
    /// what tap `t` of window 0 reads.
    pub(crate) fn within(&self) -> bool {
        self.first == 0 && self.within_input()
    }
}

impl Inverse {
    fn of(axis: &AxisTaps) -> Self {
        let mut starts = vec![0u32; axis.input as usize + 1];
        for at in axis.forward().flatten() {
            starts[at as usize + 1] += 1;
        }
        let most = starts.iter().copied().max().unwrap_or(0).into();
        for i in 0..axis.input as usize {
            starts[i + 1] += starts[i];
        }
        // A counting sort by input position. It scans in output order, so each position's entries are ascending.
        let mut next = starts.clone();
        let mut taps = vec![[0u32; 2]; starts[axis.input as usize] as usize];
        for (at, pair) in axis.forward().zip(0..) {
            if let Some(at) = at {
                let slot = &mut next[at as usize];
                taps[*slot as usize] = [pair / axis.taps, pair % axis.taps];
                *slot += 1;
            }
        }
        Self { starts, taps, most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(padding: &Padding, [input, taps, stride, dilation]: [u64; 4]) -> Axis<'_> {
        Axis { input, taps, stride, dilation, padding, index: 0 }
    }

    fn windows(n: u64, k: u64, s: u64, padding: &Padding) -> Vec<(u32, u32)> {
        let axis = AxisTaps::new(&axis(padding, [n, k, s, 1]));
        (0..axis.output)
            .map(|o| {
                let taps: Vec<_> = (0..axis.taps).filter_map(|t| axis.tap(o, t)).collect();
                (taps[0], taps[taps.len() - 1] + 1)
            })
            .collect()
    }

    /// The table of docs/keras-semantics.md §3, observed on Keras 2.15 and TensorFlow.
    #[test]
    fn windows_equal_keras_and_tensorflow() {
        type Windows = &'static [(u32, u32)];
        let table: [((u64, u64, u64), Windows, Windows); 6] = [
            ((5, 2, 1), &[(0, 1), (0, 2), (1, 3), (2, 4), (3, 5)], &[(0, 2), (1, 3), (2, 4), (3, 5), (4, 5)]),
            ((6, 3, 2), &[(0, 2), (1, 4), (3, 6)], &[(0, 3), (2, 5), (4, 6)]),
            ((6, 2, 2), &[(0, 1), (1, 3), (3, 5)], &[(0, 2), (2, 4), (4, 6)]),
            ((6, 5, 2), &[(0, 3), (0, 5), (2, 6)], &[(0, 4), (1, 6), (3, 6)]),
            ((6, 2, 3), &[(0, 1), (2, 4)], &[(0, 2), (3, 5)]),
            ((8, 4, 4), &[(0, 2), (2, 6)], &[(0, 4), (4, 8)]),
        ];
        for ((n, k, s), keras, tensorflow) in table {
            assert_eq!(windows(n, k, s, &Padding::Same), keras, "Keras same of {:?}", (n, k, s));
            assert_eq!(windows(n, k, s, &Padding::SameUpper), tensorflow, "SAME_UPPER of {:?}", (n, k, s));
        }
        for (n, k, s) in [(5, 3, 1), (7, 3, 2), (7, 1, 3), (5, 10, 1)] {
            assert_eq!(windows(n, k, s, &Padding::Same), windows(n, k, s, &Padding::SameUpper), "{:?}", (n, k, s));
        }
    }

    /// conv_utils_test B8: output lengths (n, k, padding, s, d).
    #[test]
    fn output_lengths_equal_keras() {
        let same = &Padding::Same;
        let valid = &Padding::Valid;
        let full = &Padding::Explicit(vec![[1, 1]]);
        for (n, k, padding, s, d, expected) in [
            (4, 2, same, 1, 1, 4),
            (4, 2, same, 2, 1, 2),
            (4, 2, valid, 1, 1, 3),
            (4, 2, valid, 2, 1, 2),
            (4, 2, full, 1, 1, 5),
            (4, 2, full, 2, 1, 3),
            (5, 2, valid, 2, 2, 2),
        ] {
            assert_eq!(axis(padding, [n, k, s, d]).output(), expected, "{:?}", (n, k, padding, s, d));
        }
        assert!(axis(valid, [5, 10, 1, 1]).output() <= 0);
    }

    #[test]
    fn inverse_lists_every_tap_once() {
        for padding in [Padding::Valid, Padding::Same, Padding::Circular, Padding::Explicit(vec![[2, 1]])] {
            for (n, k, s, d) in [(7, 3, 1, 1), (8, 3, 2, 2), (5, 4, 3, 1), (3, 3, 1, 1)] {
                let asked = axis(&padding, [n, k, s, d]);
                if asked.output() <= 0 {
                    continue;
                }
                let axis = AxisTaps::new(&asked);
                let mut seen = 0u64;
                for i in 0..axis.input {
                    for &[o, t] in axis.readers(i) {
                        assert_eq!(axis.tap(o, t), Some(i));
                        seen += 1;
                    }
                }
                assert_eq!(seen, axis.connected());
                assert_eq!(axis.forward().flatten().count() as u64, seen);
            }
        }
    }
}

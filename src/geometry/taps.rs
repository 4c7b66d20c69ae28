//! Tap tables: which input position each tap of each window reads, per spatial axis.

use crate::config::Padding;

/// Stands for a tap outside the input.
pub(crate) const NO_TAP: u32 = u32::MAX;

/// One spatial axis: its windows as tables, forward and inverse, so that kernels know no padding modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxisTaps {
    /// Input positions.
    pub input: u32,
    /// Output positions.
    pub output: u32,
    /// Taps of a window.
    pub taps: u32,
    /// Whether the windows begin with the input and none leaves it: tap `t` of window `o` then reads where the window begins plus
    /// what tap `t` of window 0 reads.
    pub(crate) within: bool,
    /// `[output][tap]`: the input position each tap reads, or `NO_TAP`.
    pub(crate) forward: Vec<u32>,
    /// `[input + 1]`: where each input position's entries begin in `inverse`.
    pub(crate) inverse_starts: Vec<u32>,
    /// `(output position, tap)` pairs that read an input position, by input position and then by output position.
    pub(crate) inverse: Vec<[u32; 2]>,
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

impl AxisTaps {
    /// The tables of an axis with at least one output position.
    pub(crate) fn new(axis: &Axis<'_>) -> Self {
        let Axis { input: n, taps: k, stride: s, dilation: d, padding, .. } = *axis;
        let (first, out) = (axis.origin(), axis.output() as u64);
        let mut forward = Vec::with_capacity((out * k) as usize);
        let mut inverse_starts = vec![0u32; n as usize + 1];
        for o in 0..out {
            for t in 0..k {
                let at = first + (o * s + t * d) as i64;
                let at = match padding {
                    Padding::Circular => at.rem_euclid(n as i64) as u32,
                    _ if (0..n as i64).contains(&at) => at as u32,
                    _ => NO_TAP,
                };
                forward.push(at);
                if at != NO_TAP {
                    inverse_starts[at as usize + 1] += 1;
                }
            }
        }
        for i in 0..n as usize {
            inverse_starts[i + 1] += inverse_starts[i];
        }
        // A counting sort by input position. It scans in output order, so each position's entries are ascending.
        let mut next = inverse_starts.clone();
        let mut inverse = vec![[0u32; 2]; inverse_starts[n as usize] as usize];
        for (at, pair) in forward.iter().zip(0u64..) {
            if *at != NO_TAP {
                let slot = &mut next[*at as usize];
                inverse[*slot as usize] = [(pair / k) as u32, (pair % k) as u32];
                *slot += 1;
            }
        }
        let within = first == 0 && (out - 1) * s + axis.span() <= n;
        Self { input: n as u32, output: out as u32, taps: k as u32, within, forward, inverse_starts, inverse }
    }

    /// The input position that tap `tap` of window `output` reads.
    #[must_use]
    pub fn tap(&self, output: u32, tap: u32) -> Option<u32> {
        let at = self.forward[(output * self.taps + tap) as usize];
        (at != NO_TAP).then_some(at)
    }

    /// The `(output position, tap)` pairs that read input position `input`.
    #[must_use]
    pub fn readers(&self, input: u32) -> &[[u32; 2]] {
        let range = self.inverse_starts[input as usize]..self.inverse_starts[input as usize + 1];
        &self.inverse[range.start as usize..range.end as usize]
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
                let mut seen = 0;
                for i in 0..axis.input {
                    for &[o, t] in axis.readers(i) {
                        assert_eq!(axis.tap(o, t), Some(i));
                        seen += 1;
                    }
                }
                assert_eq!(seen, axis.forward.iter().filter(|&&at| at != NO_TAP).count());
            }
        }
    }
}

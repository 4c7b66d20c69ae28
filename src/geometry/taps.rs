//! Which input position each tap of each window reads, per spatial axis.

use crate::config::Padding;

/// Stands for a tap outside the input.
pub(crate) const NO_TAP: u32 = u32::MAX;

/// One spatial axis: which input positions its windows read, and which windows read an input position, so that kernels know no
/// padding modes.
///
/// It is some numbers, whatever the axis's length: tables are made of it where they are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Pairs of a window and a tap that read the input.
    connected: u64,
    most_readers: u64,
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
    /// An axis of one position, which is all of a window.
    #[cfg(feature = "cpu")]
    pub(crate) const MISSING: Self = Self {
        input: 1,
        output: 1,
        taps: 1,
        first: 0,
        stride: 1,
        dilation: 1,
        circular: false,
        connected: 1,
        most_readers: 1,
    };

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
            connected: 0,
            most_readers: 0,
        };
        taps.circular = *axis.padding == Padding::Circular && !taps.is_unclipped();
        let pairs = Pairs { first, output: taps.output.into(), stride, taps: taps.taps.into(), dilation };
        (taps.connected, taps.most_readers) = if taps.circular {
            (u64::from(taps.output) * u64::from(taps.taps), taps.most_readers_around())
        } else {
            (pairs.within(taps.input), pairs.most_readers(taps.input))
        };
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
        self.connected
    }

    /// The `(output position, tap)` pairs that read input position `input`, by output position and then by tap; none where there is no
    /// such position. They are computed, in time linear in the windows near the position; where padding is circular, in all windows.
    pub fn readers(&self, input: u32) -> impl Iterator<Item = [u32; 2]> {
        let (stride, dilation, around) = (self.stride, self.dilation, i64::from(self.input));
        // From a window's first tap to its last, and from window 0's first tap to the position.
        let last = i64::from(self.taps - 1) * dilation;
        let to = i64::from(input) - self.first;
        let (circular, all) = (self.circular, i64::from(self.output));
        let (from, end) = if input >= self.input {
            (0, 0)
        } else if circular {
            (0, all)
        } else {
            ((to - last + stride - 1).div_euclid(stride).max(0), all.min(to.div_euclid(stride) + 1))
        };
        (from..end).flat_map(move |output| {
            let to = to - output * stride;
            // Taps once around the input read the same position.
            let (to, next) = if circular { (to.rem_euclid(around), around) } else { (to, last + 1) };
            let taps = (to..=last).step_by(next as usize).filter(move |at| at % dilation == 0);
            taps.map(move |at| [output as u32, (at / dilation) as u32])
        })
    }

    /// The most readers of any input position. Where circular padding has windows around a length that isn't a multiple of their
    /// distance, it may be one more for each time that a window goes around.
    pub(crate) fn most_readers(&self) -> u64 {
        self.most_readers
    }

    /// [`AxisTaps::most_readers`] where windows go around the input.
    fn most_readers_around(&self) -> u64 {
        // A window alone is its own neighbour, once around.
        let stride = if self.output == 1 { i64::from(self.input) } else { self.stride };
        let (taps, apart) = (u64::from(self.taps), (stride / gcd(stride, self.dilation)) as u64);
        // A position is as far from each window as some tap is, or none. Among neighbouring taps, every `apart`th is a window's; past the
        // input's end they are counted anew.
        let times = match i64::from(self.input) % stride {
            0 => 1,
            _ => (taps - 1) * self.dilation as u64 / u64::from(self.input) + 2,
        };
        let times = times.min(taps);
        (taps - times) / apart + times
    }

    /// Whether no tap leaves the input.
    fn is_unclipped(&self) -> bool {
        let last = i64::from(self.output - 1) * self.stride + i64::from(self.taps - 1) * self.dilation;
        self.first >= 0 && self.first + last < self.input.into()
    }

    /// Whether windows lie as with padding `valid`: they begin with the input and none leaves it. Tap `t` of window `o` then reads where
    /// the window begins plus what tap `t` of window 0 reads.
    pub(crate) fn is_unpadded(&self) -> bool {
        self.first == 0 && self.is_unclipped()
    }

    /// Positions between neighbouring windows.
    pub(crate) fn stride(&self) -> u32 {
        self.stride as u32
    }

    /// Positions of window 0 in front of the input; as with all padding there is none behind its first position.
    pub(crate) fn before(&self) -> u32 {
        (-self.first) as u32
    }

    /// Whether the taps of each window that read the input read neighbouring positions.
    pub(crate) fn reads_neighbours(&self) -> bool {
        self.dilation == 1 && !self.circular
    }
}

/// The pairs of some windows and taps of an axis without circular padding.
struct Pairs {
    first: i64,
    output: i64,
    stride: i64,
    taps: i64,
    dilation: i64,
}

impl Pairs {
    /// How many read one of `input` positions. It goes through the windows or the taps, whichever are fewer: axes with many of both are
    /// refused, so these are some thousands at most.
    fn within(&self, input: u32) -> u64 {
        let &Self { first, output, stride, taps, dilation } = self;
        let ([few, step], [many, apart]) =
            if taps <= output { ([taps, dilation], [output, stride]) } else { ([output, stride], [taps, dilation]) };
        // The first of the many that reads position `at` or one after it.
        let from = |at: i64| (at + apart - 1).div_euclid(apart).clamp(0, many) as u64;
        let first_reads = (0..few).map(|number| first + number * step);
        first_reads.map(|at| from(i64::from(input) - at) - from(-at)).sum()
    }

    /// The most that read one position.
    fn most_readers(&self, input: u32) -> u64 {
        let &Self { first, output, stride, taps, dilation } = self;
        // The readers of a position are so many windows, and so many taps, apart.
        let common = gcd(stride, dilation);
        let [windows_apart, taps_apart] = [dilation / common, stride / common];
        // Of the readers of one position, the last window with its tap is a pair of a smaller axis: one that has as many windows
        // before it, and as many taps after its own, as the other readers are.
        let is_read_by = |readers: i64| {
            let others = readers - 1;
            let (output, taps) = (output - others * windows_apart, taps - others * taps_apart);
            let pairs = Self { first: first + others * windows_apart * stride, output, stride, taps, dilation };
            output > 0 && taps > 0 && pairs.within(input) > 0
        };
        let most = ((output - 1) / windows_apart).min((taps - 1) / taps_apart) + 1;
        if is_read_by(most) {
            return most as u64;
        }
        let (mut known, mut beyond) = (0, most);
        while beyond - known > 1 {
            let readers = known + (beyond - known) / 2;
            if is_read_by(readers) { known = readers } else { beyond = readers }
        }
        known as u64
    }
}

/// The greatest number that divides both.
fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::super::reader_table::ReaderTable;
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
    fn readers_are_all_taps_by_what_they_read() -> crate::Result<()> {
        let mut exact = 0;
        for padding in
            [Padding::Valid, Padding::Same, Padding::SameUpper, Padding::Circular, Padding::Explicit(vec![[7, 1]])]
        {
            let sizes = (1..9)
                .flat_map(|n| (1..7).flat_map(move |k| (1..5).flat_map(move |s| (1..4).map(move |d| [n, k, s, d]))));
            for sizes in sizes {
                let asked = axis(&padding, sizes);
                if asked.output() <= 0 {
                    continue;
                }
                let axis = AxisTaps::new(&asked);
                let mut expected = vec![Vec::new(); axis.input as usize];
                for (output, tap) in (0..axis.output).flat_map(|output| (0..axis.taps).map(move |tap| (output, tap))) {
                    if let Some(at) = axis.tap(output, tap) {
                        expected[at as usize].push([output, tap]);
                    }
                }
                let table = ReaderTable::new(&axis)?;
                for (input, expected) in (0..).zip(&expected) {
                    assert_eq!(&axis.readers(input).collect::<Vec<_>>(), expected, "of {input} in {axis:?}");
                    assert_eq!(table.of(input), expected, "of {input} in {axis:?}");
                }
                assert!(axis.readers(axis.input).next().is_none() && table.of(axis.input).is_empty());
                assert_eq!(axis.connected(), expected.iter().map(|of_one| of_one.len() as u64).sum::<u64>());
                assert_eq!(ReaderTable::bytes(&axis), 4 * table.starts().len() as u64 + 8 * table.pairs().len() as u64);
                let most = expected.iter().map(|of_one| of_one.len() as u64).max().unwrap_or(0);
                assert_eq!(table.most(), most);
                let found = axis.most_readers();
                if axis.circular && !sizes[0].is_multiple_of(sizes[2]) {
                    assert!((most..=u64::from(axis.taps)).contains(&found), "{found}, not {most}, of {axis:?}");
                } else {
                    assert_eq!(found, most, "of {axis:?}");
                    exact += 1;
                }
            }
        }
        assert!(exact > 1000, "{exact}");
        Ok(())
    }

    /// What a file may name: it takes no memory, and no time to speak of.
    #[test]
    fn long_axes_are_some_numbers() {
        for [input, taps, stride, dilation] in [
            [4_700, 4_700, 1, 1],
            [4_700, 4_700, 3, 2],
            [1, 22_000_000, 1, 1],
            [22_000_000, 1, 1, 1],
            [5_000_000, 4, 1, 900_000],
        ] {
            let axis = AxisTaps::new(&axis(&Padding::Same, [input, taps, stride, dilation]));
            assert!(axis.connected() <= u64::from(axis.output) * taps);
            let most = [0, input as u32 / 2, input as u32 - 1].map(|at| axis.readers(at).count() as u64);
            assert!(most.iter().all(|&readers| readers <= axis.most_readers()), "{most:?} of {axis:?}");
        }
    }
}

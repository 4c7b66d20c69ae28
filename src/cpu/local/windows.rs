//! What each cell reads, as runs: inputs that lie side by side, and whose rows of weights do, too.

use crate::Result;
use crate::geometry::{AxisTaps, Connectivity, Geometry, Pattern};
use crate::room::{reserve, room};
use std::ops::Range;

/// What is said where the runs don't fit.
const WHAT: &str = "the runs of a layer's windows";

/// Inputs side by side, with the rows of weights that they are multiplied by. Offsets are within a sample in
/// channels_last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cpu) struct Run {
    /// Where the first input is in its sample.
    pub(in crate::cpu) input: usize,
    /// The first input's row of weights, counted from the cell's first row.
    pub(in crate::cpu) row: usize,
    /// How many inputs.
    pub(in crate::cpu) length: usize,
}

impl Run {
    /// The part of it whose inputs are among these.
    pub(in crate::cpu) fn within(self, inputs: &Range<usize>) -> Option<Self> {
        let (first, end) = (self.input.max(inputs.start), (self.input + self.length).min(inputs.end));
        (first < end).then(|| Self { input: first, row: self.row + first - self.input, length: end - first })
    }
}

/// A run as tables store it.
type Packed = [u32; 3];

/// Locations of the inner axis that read all taps as one run, equally far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cpu) struct Even {
    /// The first such location, and the first after them.
    pub(in crate::cpu) locations: (usize, usize),
    /// Where the first location's input is.
    pub(in crate::cpu) input: usize,
    /// Distance between neighbouring locations' inputs.
    pub(in crate::cpu) step: usize,
    /// How many inputs each location reads.
    pub(in crate::cpu) length: usize,
}

/// Neighbouring locations of the inner axis with the same runs, `step` inputs apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cpu) struct Band {
    /// The first location.
    pub(in crate::cpu) first: usize,
    /// How many locations.
    pub(in crate::cpu) count: usize,
    /// Distance between neighbouring locations' inputs.
    pub(in crate::cpu) step: usize,
}

/// The runs of a layer's cells. A cell's runs are those of its location along the inner axis, with offsets added for
/// its location along the outer axes. What padding clips is in none of them.
#[derive(Debug)]
pub(in crate::cpu) struct Windows {
    /// The two outer axes.
    outer: Outer,
    inner: Inner,
    even: Option<Even>,
    /// Locations along the inner axis.
    width: usize,
    groups: usize,
    group_channels: usize,
}

/// The runs of the locations of the inner axis, or of the rows of a user's connectivity.
#[derive(Debug)]
enum Inner {
    /// One run for each location, `step` inputs apart: the first location's, of `length`, and where the next one's begins.
    Even { first: Packed, step: usize },
    /// The runs of location `i` are `starts[i]..starts[i + 1]`.
    Listed { starts: Vec<u32>, runs: Vec<Packed> },
}

/// What the taps of the two outer axes add to the inner axis's runs, the second axis's taps for each of the first's.
#[derive(Debug)]
struct Outer {
    /// The offsets of location `i` of the two axes are `starts[i]..starts[i + 1]`.
    starts: Vec<u32>,
    /// What is added to the input and to the row of weights.
    offsets: Vec<[u32; 2]>,
}

impl Outer {
    /// Two axes, whose neighbouring positions and taps are so far apart, in inputs and in rows of weights.
    fn new([a, b]: [&AxisTaps; 2], [apart_a, apart_b]: [[u32; 2]; 2]) -> Result<Self> {
        let (locations, count) = Self::sizes([a, b]);
        let (mut starts, mut offsets) = (room(WHAT, locations + 1)?, room(WHAT, count)?);
        starts.push(0);
        for (o_a, o_b) in (0..a.output).flat_map(|o_a| (0..b.output).map(move |o_b| (o_a, o_b))) {
            for (t_a, at_a) in (0..a.taps).filter_map(|tap| Some((tap, a.tap(o_a, tap)?))) {
                let [input, row] = [at_a * apart_a[0], t_a * apart_a[1]];
                let taps = (0..b.taps).filter_map(|tap| Some((tap, b.tap(o_b, tap)?)));
                offsets.extend(taps.map(|(t_b, at_b)| [input + at_b * apart_b[0], row + t_b * apart_b[1]]));
            }
            starts.push(offsets.len() as u32);
        }
        Ok(Self { starts, offsets })
    }

    /// Axes of one position, which add nothing.
    fn missing() -> Result<Self> {
        Self::new([&AxisTaps::MISSING; 2], [[0; 2]; 2])
    }

    /// How many locations there are, and how many offsets.
    fn sizes([a, b]: [&AxisTaps; 2]) -> (u64, u64) {
        (u64::from(a.output) * u64::from(b.output), a.connected().saturating_mul(b.connected()))
    }

    fn bytes(axes: [&AxisTaps; 2]) -> u64 {
        let (locations, count) = Self::sizes(axes);
        count.saturating_mul(8).saturating_add(4 * (locations + 1))
    }

    #[inline]
    fn of(&self, location: usize) -> &[[u32; 2]] {
        &self.offsets[self.starts[location] as usize..self.starts[location + 1] as usize]
    }
}

impl Inner {
    /// See [`Windows::even`].
    fn even(&self, axis: &AxisTaps, layer: &Geometry) -> Option<Even> {
        let (starts, runs) = match self {
            &Self::Even { first: [.., length], step } => {
                return Some(Even { locations: (0, axis.output as usize), input: 0, step, length: length as usize });
            }
            Self::Listed { starts, runs } => (starts, runs),
        };
        let length = axis.taps * layer.group_channels();
        let of = |location: usize| match &runs[starts[location] as usize..starts[location + 1] as usize] {
            &[[input, 0, all]] if all == length => Some(input),
            _ => None,
        };
        let width = axis.output as usize;
        let first = (0..width).find(|&location| of(location).is_some())?;
        let input = of(first)?;
        let step = of(first + 1 - usize::from(first + 1 == width)).map_or(0, |next| next.saturating_sub(input));
        let follows = |&location: &usize| of(location) == Some(input + step * (location - first) as u32);
        let end = (first..width).find(|location| !follows(location)).unwrap_or(width);
        let even =
            Even { locations: (first, end), input: input as usize, step: step as usize, length: length as usize };
        (step > 0 && 2 * (end - first) > width).then_some(even)
    }
}

impl Windows {
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub(in crate::cpu) fn new(layer: &Geometry) -> Result<Self> {
        let (groups, row) = (layer.groups() as usize, layer.group_channels());
        let [a, b, c] = match layer.connectivity() {
            Connectivity::Windows(axes) => &**axes,
            Connectivity::Pattern(pattern) => {
                let (outer, inner) = (Outer::missing()?, of_pattern(pattern)?);
                let (width, group_channels) = (pattern.rows() as usize, row as usize);
                return Ok(Self { outer, inner, even: None, width, groups, group_channels });
            }
        };
        let inner = of_axis(c, layer)?;
        let even = inner.even(c, layer);
        // Elements of a sample, and rows of weights of a cell, fit 32 bits.
        let [line, rows] = [layer.channels() * c.input, row * c.taps];
        let outer = Outer::new([a, b], [[line * b.input, rows * b.taps], [line, rows]])?;
        Ok(Self { outer, inner, even, width: c.output as usize, groups, group_channels: row as usize })
    }

    /// Bytes of the tables of a layer with these axes, without making them.
    pub(in crate::cpu) fn bytes(layer: &Geometry, [a, b, c]: &[AxisTaps; 3]) -> u64 {
        let listed = || 4 * (u64::from(c.output) + 1) + size_of::<Packed>() as u64 * most_runs(c, layer);
        let inner = if is_even(c, layer) { 0 } else { listed() };
        Outer::bytes([a, b]).saturating_add(inner)
    }

    /// The locations of the inner axis that read all taps as one run, equally far apart; none unless most locations are
    /// so.
    pub(in crate::cpu) fn even(&self) -> Option<Even> {
        self.even
    }

    /// The locations of the inner axis in bands of at most `most` locations with the same runs, equally far apart.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub(in crate::cpu) fn bands(&self, most: usize) -> Result<Vec<Band>> {
        let (mut bands, mut first) = (Vec::new(), 0);
        while first < self.width {
            let apart = |[input, row, length]: &Packed, [other, other_row, other_length]: &Packed| {
                ([row, length] == [other_row, other_length]).then(|| other.checked_sub(*input)).flatten()
            };
            // The distance to the next location's runs, if these are otherwise the same.
            let step = |location: usize| {
                let next = (location + 1 < self.width).then(|| self.of_location(location + 1))?;
                let own = self.of_location(location);
                let mut steps = own.runs().iter().zip(next.runs()).map(|(run, other)| apart(run, other));
                let step = steps.next().flatten()?;
                (next.runs().len() == own.runs().len() && steps.all(|other| other == Some(step))).then_some(step)
            };
            let even = step(first);
            let mut end = first + 1;
            while even.is_some() && step(end - 1) == even {
                end += 1;
            }
            let step = even.unwrap_or(0) as usize;
            let parts = (end - first).div_ceil(most);
            reserve(WHAT, &mut bands, parts)?;
            for left in (1..=parts).rev() {
                let count = (end - first).div_ceil(left);
                bands.push(Band { first, count, step });
                first += count;
            }
        }
        Ok(bands)
    }

    /// The runs of a band's first location, and what is added to their inputs.
    pub(in crate::cpu) fn of_band(&self, band: &Band) -> (usize, &[Packed]) {
        match &self.inner {
            Inner::Even { first, step } => (band.first * step, std::slice::from_ref(first)),
            Inner::Listed { starts, runs } => (0, &runs[starts[band.first] as usize..starts[band.first + 1] as usize]),
        }
    }

    fn of_location(&self, inner: usize) -> OfLocation<'_> {
        match &self.inner {
            &Inner::Even { first: [.., length], step } => OfLocation::One([(inner * step) as u32, 0, length]),
            Inner::Listed { starts, runs } => {
                OfLocation::Several(&runs[starts[inner] as usize..starts[inner + 1] as usize])
            }
        }
    }

    /// For a location of the two outer axes: the offsets of input and row that are added to the inner axis's runs.
    #[inline]
    pub(in crate::cpu) fn outer(&self, location: usize) -> &[[u32; 2]] {
        self.outer.of(location)
    }

    /// The runs of a cell, in the order of its rows of weights.
    pub(in crate::cpu) fn runs(&self, cell: usize) -> Runs<'_> {
        let (location, group) = (cell / self.groups, cell % self.groups);
        let (outer, inner) = (location / self.width, location % self.width);
        let inner = self.of_location(inner);
        Runs { outer: self.outer(outer), inner, first: group * self.group_channels, at: 0, rest: None }
    }
}

/// The inner axis's runs of one location.
enum OfLocation<'a> {
    One(Packed),
    Several(&'a [Packed]),
}

impl OfLocation<'_> {
    #[inline]
    fn runs(&self) -> &[Packed] {
        match self {
            OfLocation::One(run) => std::slice::from_ref(run),
            OfLocation::Several(runs) => runs,
        }
    }
}

/// The runs of a cell.
pub(in crate::cpu) struct Runs<'a> {
    outer: &'a [[u32; 2]],
    inner: OfLocation<'a>,
    /// The first channel of the group.
    first: usize,
    /// How many inner runs are done for the first of `outer`.
    at: usize,
    /// The rest of a run that a block had no room for.
    rest: Option<Run>,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if let Some(rest) = self.rest.take() {
            return Some(rest);
        }
        let inner = self.inner.runs();
        if self.at == inner.len() {
            self.outer = self.outer.get(1..)?;
            self.at = 0;
        }
        let &[input, row] = self.outer.first()?;
        let &[at, rows, length] = inner.get(self.at)?;
        self.at += 1;
        let (input, row) = ((input + at) as usize + self.first, (row + rows) as usize);
        Some(Run { input, row, length: length as usize })
    }
}

impl Runs<'_> {
    /// Puts the next runs into `block`: as many as have `most` rows, the last one cut if need be. None at the end.
    pub(in crate::cpu) fn block<'b>(&mut self, most: usize, block: &'b mut Block) -> Option<&'b [Run]> {
        let (mut count, mut rows) = (0, 0);
        while count < block.len() && rows < most {
            let Some(run) = self.next() else { break };
            let length = run.length.min(most - rows);
            block[count] = Run { length, ..run };
            (count, rows) = (count + 1, rows + length);
            let rest = Run { input: run.input + length, row: run.row + length, length: run.length - length };
            self.rest = (rest.length > 0).then_some(rest);
        }
        (count > 0).then(|| &block[..count])
    }
}

/// Room for the runs of a block.
pub(in crate::cpu) type Block = [Run; 64];

/// A block without runs.
pub(in crate::cpu) const BLOCK: Block = [Run { input: 0, row: 0, length: 0 }; 64];

/// Whether taps side by side are one run: with groups, only the channels of a group are.
fn joins_taps(layer: &Geometry) -> bool {
    layer.groups() == 1
}

/// Whether each location has one run of all taps, equally far apart, of which the first begins with the input.
fn is_even(axis: &AxisTaps, layer: &Geometry) -> bool {
    axis.is_unpadded() && (axis.taps == 1 || axis.reads_neighbours() && joins_taps(layer))
}

/// At least as many as all locations of the inner axis have.
fn most_runs(axis: &AxisTaps, layer: &Geometry) -> u64 {
    if axis.reads_neighbours() && joins_taps(layer) { axis.output.into() } else { axis.connected() }
}

/// The runs of the inner axis.
fn of_axis(axis: &AxisTaps, layer: &Geometry) -> Result<Inner> {
    let (channels, row) = (layer.channels(), layer.group_channels());
    if is_even(axis, layer) {
        let length = axis.taps * row;
        // A location alone is as far from a next one as it is long.
        let step = axis.tap(1, 0).map_or(length, |next| next * channels) as usize;
        return Ok(Inner::Even { first: [0, 0, length], step });
    }
    let (mut starts, mut runs) = (room(WHAT, u64::from(axis.output) + 1)?, room(WHAT, most_runs(axis, layer))?);
    starts.push(0);
    for o in 0..axis.output {
        let first = runs.len();
        for t in 0..axis.taps {
            let Some(at) = axis.tap(o, t) else { continue };
            let (input, rows) = (at * channels, t * row);
            match runs[first..].last_mut() {
                Some::<&mut Packed>(last)
                    if joins_taps(layer) && [last[0] + last[2], last[1] + last[2]] == [input, rows] =>
                {
                    last[2] += row
                }
                _ => runs.push([input, rows, row]),
            }
        }
        starts.push(runs.len() as u32);
    }
    Ok(Inner::Listed { starts, runs })
}

/// The runs of the rows of a connectivity. Rows differ in their number of weights, so they can't be `Even`.
fn of_pattern(pattern: &Pattern) -> Result<Inner> {
    let mut starts = room(WHAT, u64::from(pattern.rows()) + 1)?;
    let mut runs = room(WHAT, pattern.connections().into())?;
    starts.push(0);
    for row in pattern.starts().windows(2) {
        let first = runs.len();
        for (&input, entry) in pattern.columns()[row[0] as usize..row[1] as usize].iter().zip(0..) {
            match runs[first..].last_mut() {
                Some::<&mut Packed>(last) if last[0] + last[2] == input => last[2] += 1,
                _ => runs.push([input, entry, 1]),
            }
        }
        starts.push(runs.len() as u32);
    }
    Ok(Inner::Listed { starts, runs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Padding};

    fn runs(windows: &Windows, cell: usize) -> Vec<[usize; 3]> {
        windows.runs(cell).map(|run| [run.input, run.row, run.length]).collect()
    }

    #[test]
    fn neighbouring_taps_are_one_run() -> crate::Result<()> {
        let valid = Windows::new(&Geometry::new(&Config::new(4, [3, 2]), &[5, 6, 7])?)?;
        assert_eq!(valid.even(), Some(Even { locations: (0, 5), input: 0, step: 7, length: 14 }));
        assert_eq!(runs(&valid, 6), [[49, 0, 14], [91, 14, 14], [133, 28, 14]]);
        let same = Windows::new(&Geometry::new(&Config::new(4, [3]).padding(Padding::Same), &[3, 2])?)?;
        assert_eq!(same.even(), None);
        assert_eq!([runs(&same, 0), runs(&same, 1)], [[[0, 2, 4]], [[0, 0, 6]]]);
        let strides =
            Windows::new(&Geometry::new(&Config::new(4, [4]).strides([2]).padding(Padding::Same), &[20, 2])?)?;
        assert_eq!(strides.even(), Some(Even { locations: (1, 10), input: 0, step: 4, length: 8 }));
        let groups = Windows::new(&Geometry::new(&Config::new(4, [2]).groups(2), &[3, 6])?)?;
        assert_eq!(runs(&groups, 3), [[9, 0, 3], [15, 3, 3]]);
        Ok(())
    }

    #[test]
    fn bands_are_of_even_windows() -> crate::Result<()> {
        let same = Windows::new(&Geometry::new(&Config::new(4, [3]).padding(Padding::Same), &[9, 2])?)?;
        let bands = same.bands(4)?;
        let sizes: Vec<_> = bands.iter().map(|band| [band.first, band.count]).collect();
        assert_eq!(sizes, [[0, 1], [1, 4], [5, 3], [8, 1]]);
        assert_eq!((bands[2].step, same.of_band(&bands[2])), (2, (0, &[[8, 0, 6]][..])));
        let apart = Config::new(4, [2]).dilation_rate([2]).strides([3]);
        let apart = Windows::new(&Geometry::new(&apart, &[12, 5])?)?;
        let bands = apart.bands(96)?;
        assert_eq!(bands, [Band { first: 0, count: 4, step: 15 }]);
        assert_eq!(apart.of_band(&bands[0]), (0, &[[0, 0, 5], [10, 5, 5]][..]));
        let valid = Windows::new(&Geometry::new(&Config::new(4, [2]), &[9, 3])?)?;
        let bands = valid.bands(5)?;
        assert_eq!((bands.len(), bands[1].first, valid.of_band(&bands[1])), (2, 4, (12, &[[0, 0, 6]][..])));
        Ok(())
    }

    #[test]
    fn blocks_have_all_rows_once() -> crate::Result<()> {
        let config = Config::new(4, [3, 3]).dilation_rate([1, 2]).padding(Padding::Circular);
        let windows = Windows::new(&Geometry::new(&config, &[9, 30, 5])?)?;
        let rows = |run: &Run| (0..run.length).map(|i| (run.row + i, run.input + i)).collect::<Vec<_>>();
        let expected: Vec<_> = windows.runs(11).flat_map(|run| rows(&run)).collect();
        assert_eq!(expected.len(), 45);
        for most in [1, 4, 7, 100] {
            let (mut found, mut runs, mut block) = (Vec::new(), windows.runs(11), BLOCK);
            while let Some(runs) = runs.block(most, &mut block) {
                assert!(runs.iter().map(|run| run.length).sum::<usize>() <= most);
                found.extend(runs.iter().flat_map(rows));
            }
            assert_eq!(found, expected);
        }
        Ok(())
    }
}

//! The rows of a convolution's product: locations of a sample whose windows are equally far apart or, for a location
//! alone, the samples.

use crate::cpu::local::layer::Layer;
use crate::cpu::local::windows::{Band, Run};
use crate::cpu::shared::Shared;
use std::ops::Range;

/// Most samples in a piece of rows at one location.
const SAMPLES: usize = 96;
/// A band of this many locations has its locations as rows; a shorter one has the samples.
const ALONG: usize = 8;

/// Rows of the product that are equally far apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// How many rows there are.
    pub(super) count: usize,
    /// Where the first row's sample begins in the inputs, plus what is added to the offsets of `band`'s runs.
    pub(super) input: usize,
    /// Distance between the inputs of neighbouring rows.
    pub(super) input_step: usize,
    /// Where the first row's first output is.
    pub(super) output: usize,
    /// Distance between the outputs of neighbouring rows.
    pub(super) output_step: usize,
    /// The first row's location.
    pub(super) location: usize,
    /// Filters of the layer.
    filters: usize,
    /// The location along the two outer axes.
    outer: usize,
    band: &'a Band,
}

/// All rows of some samples, in pieces.
#[derive(Debug, Clone, Copy)]
pub(super) struct AllRows<'a> {
    layer: &'a Layer,
    /// The first of the samples.
    first: usize,
    samples: usize,
}

impl<'a> AllRows<'a> {
    /// The rows of `samples` samples from number `first` on.
    pub(super) fn new(layer: &'a Layer, first: usize, samples: usize) -> Self {
        Self { layer, first, samples }
    }

    fn along(&self, band: &Band) -> bool {
        band.count >= ALONG.min(self.samples)
    }

    /// How many pieces a band has on one line.
    fn of_band(&self, band: &Band) -> usize {
        if self.along(band) { self.samples } else { band.count * self.samples.div_ceil(SAMPLES) }
    }

    fn of_line(&self) -> usize {
        self.layer.bands.iter().map(|band| self.of_band(band)).sum()
    }

    fn lines(&self) -> usize {
        (self.layer.geometry.locations() / self.layer.geometry.line()) as usize
    }

    /// How many pieces there are.
    pub(super) fn count(&self) -> usize {
        self.lines() * self.of_line()
    }

    /// How many rows a piece has, about.
    pub(super) fn of_piece(&self) -> usize {
        let rows = self.layer.geometry.locations() as usize * self.samples;
        rows.div_ceil(self.count().max(1))
    }

    /// Piece number `index`. Where rows are locations, pieces are ordered by sample, then by line, then by band.
    pub(super) fn piece(&self, index: usize) -> Option<Rows<'a>> {
        let (geometry, of_line) = (&self.layer.geometry, self.of_line());
        let (inputs, outputs) = (geometry.inputs() as usize, geometry.outputs() as usize);
        let (filters, width) = (geometry.filters() as usize, geometry.line() as usize);
        let (line, mut index) = (index / of_line, index % of_line);
        for band in &self.layer.bands {
            let count = self.of_band(band);
            if index >= count {
                index -= count;
                continue;
            }
            let (sample, along, rows) = if self.along(band) {
                (index, 0, band.count)
            } else {
                let (along, part) = (index % band.count, index / band.count);
                (part * SAMPLES, along, SAMPLES.min(self.samples - part * SAMPLES))
            };
            let location = line * width + band.first + along;
            let place = self.first + sample;
            let [input_step, output_step] = if self.along(band) { [band.step, filters] } else { [inputs, outputs] };
            return Some(Rows {
                count: rows,
                input: place * inputs + along * band.step,
                input_step,
                output: place * outputs + location * filters,
                output_step,
                location,
                filters,
                outer: line,
                band,
            });
        }
        None
    }
}

impl Rows<'_> {
    /// Puts a bias per location where the sums of some filters will be.
    #[inline(always)]
    pub(super) fn put_bias(&self, bias: &[f32], output: Shared<'_>, some: Range<usize>) {
        // Rows that are samples have one location, rows that are locations have one each.
        let next = if self.output_step == self.filters { self.filters } else { 0 };
        for row in 0..self.count {
            let own = &bias[self.location * self.filters + row * next..][some.clone()];
            // SAFETY: rows are their task's alone, and no tile of it is being computed.
            unsafe { output.part(self.output + row * self.output_step + some.start, some.len()) }.copy_from_slice(own);
        }
    }

    /// The runs of a group's inputs that use the rows `met` of the weights, in their order.
    #[inline(always)]
    pub(super) fn runs(&self, layer: &Layer, group: usize, met: Range<usize>) -> impl Iterator<Item = Run> {
        let (first, runs) = layer.windows.of_band(self.band);
        let first = first + group * layer.geometry.group_channels() as usize;
        let outer = layer.windows.outer(self.outer).iter().map(|offsets| offsets.map(|offset| offset as usize));
        let runs = outer.flat_map(move |[outer, row]| runs.iter().map(move |run| (outer + first, row, run)));
        runs.filter_map(move |(outer, outer_row, run)| {
            let [input, row, length] = run.map(|value| value as usize);
            let (input, row) = (outer + input, outer_row + row);
            let (from, to) = (row.max(met.start), (row + length).min(met.end));
            (from < to).then(|| Run { input: input + from - row, row: from, length: to - from })
        })
    }
}

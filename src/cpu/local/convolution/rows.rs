//! The rows of a convolution's product: locations of a sample whose windows lie evenly, or samples at a location that is alone.

use crate::cpu::local::layer::Layer;
use crate::cpu::local::windows::{Band, Run};
use crate::cpu::shared::Shared;
use std::ops::Range;

/// Most samples of some rows at one location.
const SAMPLES: usize = 96;
/// Locations from which on a band's rows are its locations rather than the samples.
const ALONG: usize = 8;

/// Evenly lying rows of the product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// How many.
    pub(super) count: usize,
    /// Place of the first one's sample in the inputs, and what is added to the offsets of `band`'s runs.
    pub(super) input: usize,
    /// From one row's input to the next one's.
    pub(super) input_step: usize,
    /// Place of the first row's first output.
    pub(super) output: usize,
    /// From one row's output to the next one's.
    pub(super) output_step: usize,
    /// The first row's location.
    pub(super) location: usize,
    /// Of the layer.
    filters: usize,
    /// Of the two outer axes.
    outer: usize,
    band: &'a Band,
}

/// All rows of a batch, in pieces.
#[derive(Debug, Clone, Copy)]
pub(super) struct AllRows<'a> {
    layer: &'a Layer,
    /// The samples.
    first: usize,
    samples: usize,
}

impl<'a> AllRows<'a> {
    /// Those of `samples` samples from number `first` on.
    pub(super) fn new(layer: &'a Layer, first: usize, samples: usize) -> Self {
        Self { layer, first, samples }
    }

    fn along(&self, band: &Band) -> bool {
        band.count >= ALONG.min(self.samples)
    }

    /// Pieces of a band on one line.
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

    /// Rows of a piece, about.
    pub(super) fn of_piece(&self) -> usize {
        let rows = self.layer.geometry.locations() as usize * self.samples;
        rows.div_ceil(self.count().max(1))
    }

    /// Piece number `index`: a sample's, a line's, and a band's follow each other in this order where rows are locations.
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
    /// Puts a bias per location where the sums of some filters are to be.
    #[inline(always)]
    pub(super) fn put_bias(&self, bias: &[f32], output: Shared<'_>, some: Range<usize>) {
        // Rows of samples have one location, those of locations one each.
        let next = if self.output_step == self.filters { self.filters } else { 0 };
        for row in 0..self.count {
            let own = &bias[self.location * self.filters + row * next..][some.clone()];
            // SAFETY: rows are their task's alone, and no tile of it is being computed.
            unsafe { output.part(self.output + row * self.output_step + some.start, some.len()) }.copy_from_slice(own);
        }
    }

    /// The runs of a group's inputs that meet some rows of weights, in their order.
    #[inline(always)]
    pub(super) fn runs(&self, layer: &Layer, group: usize, met: Range<usize>) -> impl Iterator<Item = Run> {
        let band = self.band;
        let channel = group * layer.geometry.group_channels() as usize;
        let outer = layer.windows.outer(self.outer).iter();
        let runs = outer.flat_map(move |&[outer, row]| band.runs.iter().map(move |run| (outer + channel, row, run)));
        runs.filter_map(move |(outer, outer_row, &[input, row, length])| {
            let (input, row) = (outer + input, outer_row + row);
            let (from, to) = (row.max(met.start), (row + length).min(met.end));
            (from < to).then(|| Run { input: input + from - row, row: from, length: to - from })
        })
    }
}

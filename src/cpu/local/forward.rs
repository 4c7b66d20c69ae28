//! `LocalForward`: a product for each cell, a row for each sample, on the weights as they lie.

use super::convolution;
use super::layer::{BLOCK_WEIGHTS, Layer};
use super::narrow::{self, Narrow};
use super::tile::{self, Begin, Sums, Terms, load};
use super::windows::{BLOCK, Run};
use crate::config::{Activation, Bias};
use crate::cpu::functions;
use crate::cpu::shared::Shared;
use crate::cpu::team::{Span, Team};
use crate::cpu::weights::View;
use pulp::{Simd, WithSimd};

/// Cells from which on there are enough for all threads: of fewer, filters are shared out, too.
const MANY_CELLS: usize = 64;
/// Filters of a piece of a cell then.
const FILTERS: usize = 64;
/// Samples up to which the weights are a stream that is hardly computed with.
const FEW_SAMPLES: usize = 2;
/// Filters of a piece then: as many as a tile has, so that rows are read in long stretches.
const MANY_FILTERS: usize = 256;
/// Rows of weights that are fetched ahead where a tile reads a part of each.
const ROWS_AHEAD: usize = 8;

/// `[batch][inputs]` to `[batch][outputs]`, both in channels_last; the bias lies as a sample of the output does, or is one of
/// filters.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Operands<'a> {
    pub(in crate::cpu) batch: usize,
    pub(in crate::cpu) input: &'a [f32],
    pub(in crate::cpu) weights: View<'a>,
    pub(in crate::cpu) bias: Option<&'a [f32]>,
}

/// `output = activation(weights · window of input + bias)`.
pub(in crate::cpu) fn forward(
    team: &Team,
    layer: &Layer,
    operands: Operands<'_>,
    activation: Activation,
    output: &mut [f32],
) {
    if let Some((one, batch)) = layer.as_one_location(operands.batch) {
        return forward(team, one, Operands { batch, ..operands }, activation, output);
    }
    if layer.geometry.shares_weights() {
        return convolution::forward(team, layer, operands, activation, output);
    }
    if let (Some(narrow), View::F32(weights)) = (Narrow::of(layer, operands.batch), operands.weights) {
        return narrow::forward(team, narrow, (operands.input, weights, operands.bias), activation, output);
    }
    let (cells, filters) = (layer.geometry.cells() as usize, layer.geometry.group_filters() as usize);
    let some = if operands.batch <= FEW_SAMPLES { MANY_FILTERS } else { FILTERS };
    let together = if cells < MANY_CELLS { some.min(filters) } else { filters };
    let pieces = filters.div_ceil(together);
    let output = Shared::new(output);
    let nanoseconds = layer.nanoseconds(operands.batch) / pieces as u64;
    team.each(cells * pieces, nanoseconds, |span| Pieces {
        team,
        layer,
        operands,
        activation,
        output,
        span,
        pieces,
        together,
    });
}

/// Pieces of cells: all filters of a cell, or some of them.
struct Pieces<'a> {
    team: &'a Team,
    layer: &'a Layer,
    operands: Operands<'a>,
    activation: Activation,
    output: Shared<'a>,
    span: Span,
    /// Of a cell.
    pieces: usize,
    /// Filters of a piece.
    together: usize,
}

impl WithSimd for Pieces<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { team, layer, operands, activation, .. } = self;
        let filters = layer.geometry.group_filters() as usize;
        let (inputs, outputs) = (layer.geometry.inputs() as usize, layer.geometry.outputs() as usize);
        let mut room = team.room();
        for index in self.span.first..self.span.end {
            let (cell, filter) = (index / self.pieces, index % self.pieces * self.together);
            let first = layer.output_of(cell) + filter;
            let columns = self.together.min(filters - filter);
            let sums = Sums { values: self.output, first, stride: outputs, rows: operands.batch, columns };
            let mut begin = self.begin(first, columns);
            let (mut runs, mut block) = (layer.windows.runs(cell), BLOCK);
            let weights = operands.weights.from(layer.weights_of(cell));
            // Where they lie, only the piece's filters are read of them.
            let most = match weights {
                View::F32(_) => (BLOCK_WEIGHTS / columns).max(1),
                View::F16(_) => layer.block_rows(),
            };
            while let Some(runs) = runs.block(most, &mut block) {
                let mut narrow = BLOCK;
                let (weights, runs) = widened(weights, runs, filters, &mut room.floats, &mut narrow);
                let products = Products { input: operands.input, inputs, weights, filters, filter, runs };
                tile::all(simd, sums, begin, &products);
                begin = Begin::Held;
            }
            if !matches!(begin, Begin::Held) {
                // It reads nothing.
                tile::all(simd, sums, begin, &Nothing);
            }
            if activation != Activation::Linear {
                for sample in 0..operands.batch {
                    // SAFETY: pieces of cells are apart, and this one's tiles are done.
                    functions::activate(unsafe { self.output.part(sample * outputs + first, columns) }, activation);
                }
            }
        }
    }
}

impl Pieces<'_> {
    fn begin(&self, first: usize, columns: usize) -> Begin<'_> {
        match (self.operands.bias, self.layer.geometry.config().bias) {
            (None, _) | (_, Bias::None) => Begin::Zero,
            (Some(bias), Bias::PerLocation) => Begin::Row(&bias[first..][..columns]),
            (Some(bias), Bias::PerFilter) => {
                Begin::Row(&bias[first % self.layer.geometry.filters() as usize..][..columns])
            }
        }
    }
}

/// The weights of a block's runs as f32: where they lie, or widened one after the other into `room`, with the runs' rows there.
#[inline]
fn widened<'a>(
    weights: View<'a>,
    runs: &'a [Run],
    filters: usize,
    room: &'a mut [f32],
    narrow: &'a mut [Run],
) -> (&'a [f32], &'a [Run]) {
    let values = match weights {
        View::F32(values) => return (values, runs),
        View::F16(_) => room,
    };
    let mut row = 0;
    for (run, to) in runs.iter().zip(narrow.iter_mut()) {
        weights.from(run.row * filters).wide(run.length * filters, &mut values[row * filters..]);
        *to = Run { row, ..*run };
        row += run.length;
    }
    (values, &narrow[..runs.len()])
}

/// The products of a block of rows of weights with the samples' inputs.
pub(super) struct Products<'a> {
    pub(super) input: &'a [f32],
    /// From one row of sums to the next: of a sample.
    pub(super) inputs: usize,
    /// Of the cell.
    pub(super) weights: &'a [f32],
    pub(super) filters: usize,
    /// The first that is asked for.
    pub(super) filter: usize,
    pub(super) runs: &'a [Run],
}

impl<S: Simd> Terms<S> for Products<'_> {
    #[inline(always)]
    fn add<const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        sums: &mut [[S::f32s; VECTORS]; ROWS],
    ) {
        let column = self.filter + column;
        let width = (VECTORS * S::F32_LANES).min(self.filters - column);
        // The first tile over these weights fetches those of the next block. One alone reads rows as they lie, which the
        // processor foresees, unless it reads some filters only of each.
        let alone = ROWS == 1 && VECTORS >= 8;
        let ahead = row == 0 && (!alone || width < self.filters);
        let distance = if alone { ROWS_AHEAD * self.filters } else { BLOCK_WEIGHTS };
        for run in self.runs {
            let samples: [&[f32]; ROWS] =
                std::array::from_fn(|m| &self.input[(row + m) * self.inputs + run.input..][..run.length]);
            let mut rest = &self.weights[run.row * self.filters + column..];
            for k in 0..run.length {
                let weights = load::<S, VECTORS, TAIL>(simd, &rest[..width]);
                if ahead {
                    prefetch::<VECTORS>(rest, distance, S::F32_LANES);
                }
                for (sums, sample) in sums.iter_mut().zip(samples) {
                    let input = simd.splat_f32s(sample[k]);
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = simd.mul_add_e_f32s(input, weight, *sum);
                    }
                }
                rest = rest.get(self.filters..).unwrap_or(&[]);
            }
        }
    }
}

/// Fetches the weights so many further on.
#[inline(always)]
fn prefetch<const VECTORS: usize>(weights: &[f32], distance: usize, lanes: usize) {
    #[cfg(target_arch = "x86_64")]
    for vector in 0..VECTORS {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let place = weights.as_ptr().wrapping_add(distance + vector * lanes);
        // SAFETY: a prefetch of any place, within memory or not, is allowed and changes nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (weights, distance, lanes);
}

/// No terms.
struct Nothing;

impl<S: Simd> Terms<S> for Nothing {
    #[inline(always)]
    fn add<const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
        &self,
        _: S,
        _: usize,
        _: usize,
        _: &mut [[S::f32s; VECTORS]; ROWS],
    ) {
    }
}

//! `LocalForward`: for each cell a product with a row for each sample, on the weights where they are.

use super::block::BLOCK_WEIGHTS;
use super::convolution;
use super::layer::Layer;
use super::narrow::{self, Narrow};
use super::operands::ForwardOperands as Operands;
use super::products::{Ahead, Products};
use super::tile::{self, Begin, Sums, Terms};
use super::windows::{BLOCK, Run};
use crate::config::{Activation, Bias};
use crate::cpu::functions;
use crate::cpu::shared::Shared;
use crate::cpu::team::{Span, Team};
use crate::cpu::weights::View;
use pulp::{Simd, WithSimd};

/// Enough cells for each thread to keep all busy. If there are fewer, a cell's filters are divided among tasks, too: rows of
/// weights are then read piece by piece, which memory gives more slowly.
const MANY_CELLS: usize = 8;
/// Filters of a task if filters are divided.
const FILTERS: usize = 64;
/// With at most this many samples, nearly all time goes into reading the weights.
const FEW_SAMPLES: usize = 2;
/// Filters of a task with so few samples: as many as a tile has, so that rows are read in long stretches.
const MANY_FILTERS: usize = 256;

/// `output = activation(weights · window of input + bias)`.
pub(in crate::cpu) fn forward(team: &Team, layer: &Layer, operands: Operands<'_>, output: &mut [f32]) {
    if let Some((one, batch)) = layer.as_one_location(operands.batch) {
        return forward(team, one, Operands { batch, ..operands }, output);
    }
    if layer.geometry.shares_weights() {
        return convolution::forward(team, layer, operands, output);
    }
    if let (Some(narrow), View::F32(weights)) = (Narrow::of(layer, operands.batch), operands.weights) {
        let Operands { input, bias, activation, .. } = operands;
        return narrow::forward(team, narrow, narrow::ForwardOperands { input, weights, bias, activation }, output);
    }
    let (cells, filters) = (layer.geometry.cells() as usize, layer.geometry.group_filters() as usize);
    let some = if operands.batch <= FEW_SAMPLES { MANY_FILTERS } else { FILTERS };
    let together = if cells < MANY_CELLS * team.threads() { some.min(filters) } else { filters };
    let pieces = filters.div_ceil(together);
    let output = Shared::new(output);
    let nanoseconds = layer.nanoseconds(operands.batch) / pieces as u64;
    team.each(cells * pieces, nanoseconds, |span| Pieces { team, layer, operands, output, span, pieces, together });
}

/// Pieces of cells: all filters of a cell, or some of them.
struct Pieces<'a> {
    team: &'a Team,
    layer: &'a Layer,
    operands: Operands<'a>,
    output: Shared<'a>,
    span: Span,
    /// How many pieces a cell is divided into.
    pieces: usize,
    /// How many filters a piece has.
    together: usize,
}

impl WithSimd for Pieces<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { team, layer, operands, .. } = self;
        let filters = layer.geometry.group_filters() as usize;
        let (inputs, outputs) = (layer.geometry.inputs() as usize, layer.geometry.outputs() as usize);
        let mut room = team.room();
        for index in self.span.first..self.span.end {
            let (cell, filter) = (index / self.pieces, index % self.pieces * self.together);
            let first = layer.output_of(cell) + filter;
            let columns = self.together.min(filters - filter);
            let begin = self.begin(first, columns);
            let mut sums = Sums { values: self.output, first, stride: outputs, rows: operands.batch, columns, begin };
            let (mut runs, mut block) = (layer.windows.runs(cell), BLOCK);
            let weights = operands.weights.from(layer.weights_of(cell));
            // Of 32-bit weights only the piece's filters are read; 16-bit weights are widened with all filters.
            let most = match weights {
                View::F32(_) => (BLOCK_WEIGHTS / columns).max(1),
                View::F16(_) => layer.block_rows(),
            };
            while let Some(runs) = runs.block(most, &mut block) {
                let mut there = BLOCK;
                let (weights, runs) = widened(weights, runs, filters, (&mut room.floats, &mut there));
                let ahead = match columns < filters {
                    true => Ahead::Weights { further: BLOCK_WEIGHTS },
                    false => Ahead::Block { further: BLOCK_WEIGHTS, rows: operands.batch },
                };
                let products = Products { input: operands.input, inputs, weights, filters, filter, runs, ahead };
                tile::all(simd, sums, &products);
                sums.begin = Begin::Held;
            }
            if !matches!(sums.begin, Begin::Held) {
                // A cell that reads nothing has the bias alone.
                tile::all(simd, sums, &Nothing);
            }
            if operands.activation != Activation::Linear {
                for sample in 0..operands.batch {
                    // SAFETY: pieces of cells are apart, and this one's tiles are done.
                    let outputs = unsafe { self.output.part(sample * outputs + first, columns) };
                    functions::activate(outputs, operands.activation);
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

/// The weights of a block's runs as f32: where they are, or widened one after the other into `room`, with the rows that
/// the runs have there.
#[inline]
fn widened<'a>(
    weights: View<'a>,
    runs: &'a [Run],
    filters: usize,
    (values, there): (&'a mut [f32], &'a mut [Run]),
) -> (&'a [f32], &'a [Run]) {
    if let View::F32(values) = weights {
        return (values, runs);
    }
    let mut row = 0;
    for (run, to) in runs.iter().zip(there.iter_mut()) {
        weights.from(run.row * filters).wide(run.length * filters, &mut values[row * filters..]);
        *to = Run { row, ..*run };
        row += run.length;
    }
    (values, &there[..runs.len()])
}

/// A sum without terms.
struct Nothing;

impl<S: Simd> Terms<S> for Nothing {
    #[inline(always)]
    fn add<const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
        &self,
        _: S,
        _: [usize; 2],
        _: &mut [[S::f32s; VECTORS]; ROWS],
    ) {
    }
}

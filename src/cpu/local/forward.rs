//! `LocalForward`: for each cell a product with a row for each sample, on the weights where they are or, with many samples, on copies of them.

use super::block::{BLOCK_WEIGHTS, COPIED_WEIGHTS, PANEL};
use super::convolution;
use super::layer::Layer;
use super::narrow::{self, Narrow};
use super::operands::ForwardOperands as Operands;
use super::products::{Ahead, Products};
use super::tile::{self, Begin, Sums};
use super::turn::aligned;
use super::windows::{BLOCK, Run};
use crate::config::{Activation, Bias};
use crate::cpu::functions;
use crate::cpu::shared::Shared;
use crate::cpu::team::{Span, Team};
use crate::cpu::weights::View;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Enough cells for each thread to keep all busy. If there are fewer, a cell's filters are divided among tasks, too: rows of
/// weights are then read piece by piece, which memory gives more slowly.
const MANY_CELLS: usize = 8;
/// Filters of a task if filters are divided.
const FILTERS: usize = 64;
/// With at most this many samples, nearly all time goes into reading the weights.
const FEW_SAMPLES: usize = 2;
/// Filters of a task with so few samples: as many as a tile has, so that rows are read in long stretches.
const MANY_FILTERS: usize = 256;
/// With so many samples it pays to copy weights: each is then read by three tiles and more.
const MANY_SAMPLES: usize = 16;

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
        let outputs = layer.geometry.outputs() as usize;
        let mut room = team.room();
        for index in self.span.first..self.span.end {
            let (cell, filter) = (index / self.pieces, index % self.pieces * self.together);
            let first = layer.output_of(cell) + filter;
            let columns = self.together.min(filters - filter);
            let weights = operands.weights.from(layer.weights_of(cell));
            self.sum(simd, Own { cell, first, weights, filters: filter..filter + columns }, aligned(&mut room.floats));
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

/// A piece's own: its cell, its first output, its cell's weights, and the filters that it has.
struct Own<'a> {
    cell: usize,
    first: usize,
    weights: View<'a>,
    filters: Range<usize>,
}

impl Pieces<'_> {
    /// Sums a piece's products: all filters at once, with the weights where they are, or a panel of filters after the other, with weights
    /// that are copied into `room`.
    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, own: Own<'_>, room: &mut [f32]) {
        let Operands { input, batch, .. } = self.operands;
        let geometry = &self.layer.geometry;
        let (filters, columns) = (geometry.group_filters() as usize, own.filters.len());
        let (inputs, outputs) = (geometry.inputs() as usize, geometry.outputs() as usize);
        let many = batch >= MANY_SAMPLES && columns > PANEL;
        let panel = if many { PANEL } else { columns };
        let most = match own.weights {
            View::F32(_) if !many => BLOCK_WEIGHTS,
            _ => COPIED_WEIGHTS,
        };
        let most = (most / panel).max(1);
        let (mut runs, mut block, mut held) = (self.layer.windows.runs(own.cell), BLOCK, false);
        loop {
            let runs = runs.block(most, &mut block).unwrap_or_default();
            if runs.is_empty() && held {
                return;
            }
            let terms: usize = runs.iter().map(|run| run.length).sum();
            for first in (0..columns).step_by(panel) {
                let (first_output, width) = (own.first + first, panel.min(columns - first));
                let begin = if held { Begin::Held } else { self.begin(first_output, width) };
                let sums = Sums {
                    values: self.output,
                    first: first_output,
                    stride: outputs,
                    rows: batch,
                    columns: width,
                    begin,
                };
                let filter = own.filters.start + first;
                let mut there = BLOCK;
                let products = match own.weights {
                    View::F32(weights) if !many => {
                        let ahead = match columns < filters {
                            true => Ahead::Weights { further: BLOCK_WEIGHTS },
                            false => Ahead::Block { rows: batch },
                        };
                        Products { input, inputs, weights, filters, filter, runs, ahead }
                    }
                    weights => {
                        let ahead = match weights {
                            View::F32(weights) => {
                                let next = (runs.first().map_or(0, |run| run.row) + most) * filters + terms * first;
                                Ahead::Copied { next: weights.get(next..).unwrap_or(&[]), rows: batch }
                            }
                            View::F16(_) => Ahead::Nothing,
                        };
                        let runs = copy(weights, filters, (runs, filter..filter + width), (room, &mut there));
                        Products { input, inputs, weights: room, filters: width, filter: 0, runs, ahead }
                    }
                };
                // A cell that reads nothing has the bias alone, which sums of no terms are.
                tile::all(simd, sums, &products);
            }
            held = true;
        }
    }

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

/// Copies the weights of a block's runs, of some of the filters, side by side into `room`, as f32. Gives the runs with the rows that
/// they have there.
#[inline(always)]
fn copy<'a>(
    weights: View<'_>,
    filters: usize,
    (runs, own): (&[Run], Range<usize>),
    (room, there): (&mut [f32], &'a mut [Run]),
) -> &'a [Run] {
    let mut row = 0;
    for (run, to) in runs.iter().zip(there.iter_mut()) {
        let places = &mut room[row * own.len()..][..run.length * own.len()];
        weights.from(run.row * filters).copy_columns(filters, own.clone(), places);
        *to = Run { row, ..*run };
        row += run.length;
    }
    &there[..runs.len()]
}

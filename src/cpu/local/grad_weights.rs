//! `LocalGradWeights`: for each cell the product of its window's inputs with its outputs' gradients, a row for each row
//! of weights.

use super::convolution;
use super::gradient::{Gradient, Kept};
use super::layer::Layer;
use super::narrow::{self, Narrow};
use super::operands::GradWeightsOperands as Operands;
use super::products::GradProducts;
use super::tile::{self, Begin, Sums};
use super::turn::aligned;
use crate::cpu::stream;
use crate::cpu::team::{Room, Span, TASKS, Team};
use pulp::{Simd, WithSimd};

/// Enough cells to keep all threads busy. If there are fewer, a cell's rows of weights are divided among tasks, too.
const MANY_CELLS: usize = 64;
/// The fewest rows of a task if rows are divided.
const TASK_ROWS: usize = 64;
/// Rows whose gradients are computed before those of the next rows: in tiles of some filters each, they would else be written a
/// part of each row at a time, over and over all of a cell's memory.
const BLOCK_ROWS: usize = 24;
/// With this many samples at most, much of the time goes into writing the gradients: tiles have one row, as long as possible.
const FEW_SAMPLES: usize = 8;
/// Filters of the longest rows that are written past the caches: gradients of longer ones, which all rows read, leave the first-level cache.
const MOST_STREAMED: usize = 256;
/// With this many samples their gradients are copied side by side.
const SAMPLES: usize = 4;

/// Each weight's gradient, 0 at clipped taps: a sum over the batch of its input times its output's gradient. It is
/// kept, or the weights are updated by it.
pub(in crate::cpu) fn grad_weights(team: &Team, layer: &Layer, operands: Operands<'_>, gradient: Gradient<'_>) {
    if let Some((one, batch)) = layer.as_one_location(operands.batch) {
        return self::grad_weights(team, one, Operands { batch, ..operands }, gradient);
    }
    match gradient {
        Gradient::Kept(kept) if layer.geometry.shares_weights() => {
            return convolution::grad_weights(team, layer, operands, kept);
        }
        _ => {}
    }
    if let Some(narrow) = Narrow::of(layer, operands.batch) {
        return narrow::grad_weights(team, narrow, operands, gradient);
    }
    let filters = layer.geometry.group_filters() as usize;
    let cells = layer.geometry.cells() as usize;
    let most = layer.geometry.most_entries() as usize;
    let together = if cells < MANY_CELLS { most.div_ceil(TASKS.div_ceil(cells)).max(TASK_ROWS) } else { most };
    let together = together.min(most).min(gradient.most_rows(filters)).max(1);
    let pieces = most.div_ceil(together);
    let nanoseconds = layer.nanoseconds(operands.batch) / pieces.max(1) as u64;
    let streamed = matches!(gradient, Gradient::Kept(Kept { accumulate: false, .. }))
        && operands.batch <= FEW_SAMPLES
        && filters <= MOST_STREAMED
        && team.streams(layer.geometry.weights() as usize);
    team.each(cells * pieces, nanoseconds, |span| Pieces {
        team,
        layer,
        operands,
        gradient,
        streamed,
        span,
        pieces,
        together,
    });
}

/// Pieces of cells: all rows of weights of a cell, or some of them.
struct Pieces<'a> {
    team: &'a Team,
    layer: &'a Layer,
    operands: Operands<'a>,
    gradient: Gradient<'a>,
    /// Whether the gradient is written past the caches.
    streamed: bool,
    span: Span,
    /// How many pieces a cell is divided into.
    pieces: usize,
    /// How many rows a piece has.
    together: usize,
}

impl WithSimd for Pieces<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { team, layer, operands, gradient, streamed, .. } = self;
        let filters = layer.geometry.group_filters() as usize;
        let most = (layer.geometry.most_entries() as usize).max(1);
        let (inputs, outputs) = (layer.geometry.inputs() as usize, layer.geometry.outputs() as usize);
        let few = operands.batch <= FEW_SAMPLES;
        let begin = match gradient {
            _ if gradient.accumulates() => Begin::Held,
            Gradient::Kept(_) if !streamed => Begin::Unfetched,
            _ => Begin::Zero,
        };
        let block = match filters / S::F32_LANES {
            16.. if few => 1,
            // Rows are written whole: a line in two parts would take memory twice.
            5.. if streamed => 1,
            5.. => BLOCK_ROWS,
            _ => most,
        };
        let mut room = team.room();
        let Room { floats, gradient: own, .. } = &mut *room;
        let beside = aligned(floats);
        let copies = operands.batch >= SAMPLES && operands.batch * filters <= beside.len();
        let mut copied = usize::MAX;
        for index in self.span.first..self.span.end {
            let (cell, row) = (index / self.pieces, index % self.pieces * self.together);
            let first = layer.weights_of(cell);
            let end = (row + self.together).min((layer.weights_of(cell + 1) - first) / filters);
            if row >= end {
                continue;
            }
            let place = gradient.place(first + row * filters, (end - row) * filters, own);
            let grads = operands.grad_output.get(layer.output_of(cell)..).unwrap_or(&[]);
            if copies && cell != copied {
                copy_side_by_side(grads, [filters, outputs], &mut beside[..operands.batch * filters]);
                copied = cell;
            }
            let (grads, apart) = if copies { (&*beside, filters) } else { (grads, outputs) };
            // Rows before this one are done.
            let mut done = row;
            let clear = |from: usize, to: usize| {
                if !gradient.accumulates() && from < to {
                    let from_first = place.first + (from - row) * filters;
                    // SAFETY: pieces of cells are apart, and these rows are in no tile: padding clips them.
                    unsafe { place.values.part(from_first, (to - from) * filters) }.fill(0.0);
                }
            };
            for run in layer.windows.runs(cell) {
                let (from, to) = (run.row.max(row), (run.row + run.length).min(end));
                if from >= to {
                    continue;
                }
                clear(done, from);
                done = to;
                for from in (from..to).step_by(block) {
                    let sums = Sums {
                        values: place.values,
                        first: place.first + (from - row) * filters,
                        stride: filters,
                        rows: block.min(to - from),
                        columns: filters,
                        begin,
                    };
                    let products = GradProducts {
                        batch: operands.batch,
                        input: operands.input.get(run.input + from - run.row..).unwrap_or(&[]),
                        inputs,
                        grad_output: grads,
                        apart,
                        filters,
                        streamed,
                    };
                    tile::all(simd, sums, &products);
                }
            }
            clear(done, end);
            if streamed {
                stream::fence();
            }
            // SAFETY: pieces of cells are apart, and all tiles of this one are done.
            unsafe { place.finish(simd) };
        }
    }
}

/// Copies a cell's gradients side by side into `room`: each is read for all rows of weights, and values far apart would evict each
/// other from the cache.
#[inline(always)]
fn copy_side_by_side(grads: &[f32], [filters, outputs]: [usize; 2], room: &mut [f32]) {
    for (sample, to) in room.chunks_exact_mut(filters).enumerate() {
        to.copy_from_slice(&grads[sample * outputs..][..filters]);
    }
}

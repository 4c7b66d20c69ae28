//! Input gradients of several samples: a thread has some neighbouring inputs, keeps their sums for all samples side by
//! side, and adds what each cell contributes.
//!
//! A row of weights is multiplied by its cell's gradients, which are transposed so that a filter's samples lie side by
//! side. So no sum is spread over a vector, weights are read in order, and the products are like those of a forward
//! pass. Each sum is taken cell by cell and filter by filter, whatever the pieces and vectors.

use super::Operands;
use super::room::{GRADS, SAMPLES, SUMS, VECTOR};
use crate::cpu::instructions::Instructions;
use crate::cpu::local::block::BLOCK_WEIGHTS;
use crate::cpu::local::guess::products;
use crate::cpu::local::layer::Layer;
use crate::cpu::local::products::{Ahead, Products};
use crate::cpu::local::tile::{self, Begin, Sums};
use crate::cpu::local::turn::{Rows, aligned, turn};
use crate::cpu::local::windows::Run;
use crate::cpu::shared::Shared;
use crate::cpu::team::{Span, Team};
use crate::cpu::weights::View;
use crate::geometry::AxisTaps;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Enough pieces of a sample's inputs to keep all threads busy.
const PIECES: usize = 32;
/// A piece should have this many inputs, to make up for the transposing. Layers that have few have smaller pieces, so
/// that each thread gets some.
const ENOUGH: usize = 512;
/// How many pieces such a layer has.
const SOME_PIECES: usize = 6;

/// Gradients by the output of so many numbers come from memory, and processors foresee what is read of so many samples, not of twice as many.
const FAR: usize = 1 << 23;
const FORESEEN: usize = 32;

/// A layer whose cells read windows, with its inner axis.
#[derive(Clone, Copy)]
pub(super) struct Windowed<'a> {
    pub(super) layer: &'a Layer,
    pub(super) inner: &'a AxisTaps,
}

/// Each input element's gradient.
pub(super) fn grad_input(team: &Team, of: Windowed<'_>, operands: Operands<'_>, grad_input: &mut [f32]) {
    let Windowed { layer, inner } = of;
    let geometry = &layer.geometry;
    let inputs = geometry.inputs() as usize;
    let is_far = operands.batch * geometry.outputs() as usize >= FAR;
    let blocks = operands.batch.div_ceil(if is_far { FORESEEN } else { SAMPLES });
    let together = operands.batch.div_ceil(blocks).next_multiple_of(VECTOR);
    let line = inner.input as usize * geometry.channels() as usize;
    let piece = piece(inputs, [line, geometry.channels() as usize], SUMS / together);
    let pieces = inputs.div_ceil(piece);
    let nanoseconds = 20 + products(geometry.connected_weights() / pieces as u64, operands.batch);
    let grad_input = Shared::new(grad_input);
    team.each(pieces, nanoseconds, |span| Pieces { team, layer, inner, operands, grad_input, span, piece, together });
}

/// Inputs of a piece, at most `most`: whole lines, or whole positions, where that is possible.
fn piece(inputs: usize, [line, channels]: [usize; 2], most: usize) -> usize {
    let wanted = inputs.div_ceil(PIECES).max(ENOUGH.min(inputs.div_ceil(SOME_PIECES))).min(most);
    // The nearest multiple that isn't too large.
    let whole = |unit: usize| ((wanted + unit / 2) / unit).clamp(1, most / unit) * unit;
    let piece = match wanted {
        _ if 2 * wanted >= line && line <= most => whole(line),
        _ if 2 * wanted >= channels && channels <= most => whole(channels),
        _ => wanted,
    };
    piece.clamp(1, inputs.max(1))
}

/// Pieces of neighbouring inputs, each for all samples.
struct Pieces<'a> {
    team: &'a Team,
    layer: &'a Layer,
    inner: &'a AxisTaps,
    operands: Operands<'a>,
    grad_input: Shared<'a>,
    span: Span,
    /// How many inputs a piece has.
    piece: usize,
    /// How many samples a block has.
    together: usize,
}

impl WithSimd for Pieces<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // A vector of half the length holds all samples then, and its sums half the memory.
        if S::F32_LANES == VECTOR && self.operands.batch <= VECTOR / 2 {
            return Instructions::Avx2.run(self);
        }
        let inputs = self.layer.geometry.inputs() as usize;
        let mut room = self.team.room();
        let room = aligned(&mut room.floats);
        for index in self.span.first..self.span.end {
            let owned = index * self.piece..inputs.min((index + 1) * self.piece);
            for first in (0..self.operands.batch).step_by(self.together) {
                let count = self.together.min(self.operands.batch - first);
                let samples = Samples { first, count, filled: count.next_multiple_of(S::F32_LANES) };
                self.compute(simd, Part { owned: owned.clone(), samples }, room);
            }
        }
    }
}

/// Some samples of the batch.
#[derive(Clone, Copy)]
struct Samples {
    first: usize,
    count: usize,
    /// Their number rounded up to whole vectors.
    filled: usize,
}

/// Inputs of some samples.
struct Part {
    owned: Range<usize>,
    samples: Samples,
}

impl Pieces<'_> {
    /// The gradients of some inputs for some samples.
    #[inline(always)]
    fn compute<S: Simd>(&self, simd: S, Part { owned, samples }: Part, room: &mut [f32]) {
        let geometry = &self.layer.geometry;
        let (inputs, outputs) = (geometry.inputs() as usize, geometry.outputs() as usize);
        let (groups, width) = (geometry.groups() as usize, self.inner.output as usize);
        let filters = geometry.group_filters() as usize;
        let line = self.inner.input as usize * geometry.channels() as usize;
        // Decided by the number of samples alone, so that sums have the same order whatever the length of vectors.
        let together = GRADS / samples.count.next_multiple_of(VECTOR);
        let (sums, room) = room.split_at_mut(owned.len() * samples.filled);
        let (grads, widened) = room.split_at_mut(GRADS);
        sums.fill(0.0);
        let sums = Shared::new(sums);
        let along = self.along(&owned);
        for outer in 0..geometry.locations() as usize / width {
            let reads = |&[input, _]: &[u32; 2]| (input as usize) < owned.end && input as usize + line > owned.start;
            if !self.layer.windows.outer(outer).iter().any(reads) {
                continue;
            }
            for cell in (outer * width + along.start) * groups..(outer * width + along.end) * groups {
                let from = samples.first * outputs + self.layer.output_of(cell);
                for filter in (0..filters).step_by(together) {
                    let some = together.min(filters - filter);
                    let mut runs = self.layer.windows.runs(cell).filter_map(|run| run.within(&owned)).peekable();
                    let Some(&Run { row: first_row, .. }) = runs.peek() else { continue };
                    let of_cell = Rows { values: self.operands.grad_output, first: from + filter, apart: outputs };
                    turn_grads::<S>(samples, some, of_cell, grads);
                    while let Some(run) = runs.next() {
                        let next = runs.peek().map_or((cell + 1, first_row), |next| (cell, next.row));
                        let rows = OwnedRows {
                            cell,
                            first: run.row,
                            count: run.length,
                            filter,
                            filters: some,
                            grads,
                            sums,
                            place: run.input - owned.start,
                            samples: samples.filled,
                            next,
                        };
                        self.add(simd, rows, widened);
                    }
                }
            }
        }
        // SAFETY: all tiles are done, and this part is only read.
        let sums = &*unsafe { sums.part(0, owned.len() * samples.filled) };
        let from = Rows { values: sums, first: 0, apart: samples.filled };
        let first = samples.first * inputs + owned.start;
        // SAFETY: pieces of inputs are apart.
        unsafe {
            turn::<S>([owned.len(), samples.count], from, Rows { values: self.grad_input, first, apart: inputs });
        }
    }

    /// The locations along the inner axis that may read the inputs `owned`.
    fn along(&self, owned: &Range<usize>) -> Range<usize> {
        let inner = self.inner;
        let channels = self.layer.geometry.channels() as usize;
        let (first, last) = (owned.start / channels, (owned.end - 1) / channels);
        let line = inner.input as usize;
        if first / line != last / line {
            return 0..inner.output as usize;
        }
        let readers =
            (first % line..=last % line).flat_map(|i| self.layer.readers.of_inner(i as u32)).map(|[o, _]| *o as usize);
        readers.fold(inner.output as usize..0, |range, o| range.start.min(o)..range.end.max(o + 1))
    }

    /// Adds the products of rows of weights with transposed gradients.
    #[inline(always)]
    fn add<S: Simd>(&self, simd: S, rows: OwnedRows<'_>, widened: &mut [f32]) {
        let (samples, grads) = (rows.samples, rows.grads);
        let filters = self.layer.geometry.group_filters() as usize;
        let weights_of = |cell: usize| self.layer.weights_of(self.layer.geometry.weight_cell(cell as u32) as usize);
        let weights = weights_of(rows.cell);
        let runs = &[Run { input: 0, row: 0, length: rows.filters }];
        let first = weights + rows.first * filters + rows.filter;
        let (mut done, most) = match self.operands.weights {
            View::F32(_) => (0, rows.count),
            View::F16(_) => (0, (BLOCK_WEIGHTS / rows.filters).max(1)),
        };
        while done < rows.count {
            let count = most.min(rows.count - done);
            let (input, inputs, ahead) = match self.operands.weights {
                View::F32(values) => {
                    let (cell, row) = rows.next;
                    let next = values.get(weights_of(cell) + row * filters + rows.filter..).unwrap_or(&[]);
                    (&values[first + done * filters..], filters, Ahead::Inputs { rows: count, next })
                }
                half @ View::F16(_) => {
                    let half = half.from(first + done * filters);
                    half.copy_columns(filters, 0..rows.filters, &mut widened[..count * rows.filters]);
                    (&*widened, rows.filters, Ahead::Nothing)
                }
            };
            let products = Products { input, inputs, weights: grads, filters: samples, filter: 0, runs, ahead };
            let sums = Sums {
                values: rows.sums,
                first: (rows.place + done) * samples,
                stride: samples,
                rows: count,
                columns: samples,
                begin: Begin::Held,
            };
            tile::all(simd, sums, &products);
            done += count;
        }
    }
}

/// Rows of a cell's weights whose inputs are in the piece.
#[derive(Clone, Copy)]
struct OwnedRows<'a> {
    cell: usize,
    first: usize,
    count: usize,
    /// The first filter, and how many filters are multiplied.
    filter: usize,
    filters: usize,
    /// The cell's transposed gradients, `[filters][samples]`.
    grads: &'a [f32],
    /// The piece's sums, `[inputs][samples]`.
    sums: Shared<'a>,
    /// The first row's input, counted from the piece's first input.
    place: usize,
    /// The number of samples rounded up to whole vectors.
    samples: usize,
    /// The cell and the row of weights that are read next.
    next: (usize, usize),
}

/// Transposes the gradients of some of a cell's filters to `[filters][samples]`, with zeroes that fill the last vector.
#[inline(always)]
fn turn_grads<S: Simd>(samples: Samples, filters: usize, of_cell: Rows<&[f32]>, to: &mut [f32]) {
    let to = &mut to[..filters * samples.filled];
    if samples.count < samples.filled {
        to.fill(0.0);
    }
    // SAFETY: they are borrowed for this.
    unsafe {
        turn::<S>([samples.count, filters], of_cell, Rows { values: Shared::new(to), first: 0, apart: samples.filled })
    };
}

//! The products that tiles sum: of locations with their own weights, and of those that share them.

use super::block::BLOCK_WEIGHTS;
use super::fetch::{FETCHES, fetch, fetch_near};
use super::tile::{Terms, load};
use super::windows::Run;
use crate::cpu::stream::{LINE, STREAMS};
use pulp::Simd;

/// How many rows of weights are fetched ahead where a tile reads a part of each row.
const ROWS_AHEAD: usize = 8;
/// How many inputs are fetched ahead, at least, where inputs are what is read once.
const INPUTS_AHEAD: usize = 1024;
/// Rows of so many inputs are fetched line by line, with the terms; shorter ones at once, before them.
const LONG_ROW: usize = 64;
/// Tiles of so many vectors fetch a line with each term without taking longer.
const WIDE_TILE: usize = 4;

/// What is fetched from memory while products are taken.
#[derive(Clone, Copy)]
pub(super) enum Ahead<'a> {
    /// Nothing: the weights are in place, and so are inputs.
    Nothing,
    /// The weights of the same filters that lie so much further on, a block's size.
    Weights { further: usize },
    /// The next block of whole rows of weights, [`BLOCK_WEIGHTS`] further on, by tiles for so many rows of sums.
    Block { rows: usize },
    /// As much of the next block, by tiles for so many rows of sums, where the weights themselves were copied from elsewhere.
    Copied { next: &'a [f32], rows: usize },
    /// The inputs: those of later rows, of so many rows in all, and then those that are read next.
    Inputs { rows: usize, next: &'a [f32] },
}

/// The products of a block of rows of weights with the samples' inputs.
pub(super) struct Products<'a> {
    pub(super) input: &'a [f32],
    /// Distance between the inputs of neighbouring rows of sums.
    pub(super) inputs: usize,
    /// The cell's weights.
    pub(super) weights: &'a [f32],
    pub(super) filters: usize,
    /// The first filter that is computed.
    pub(super) filter: usize,
    pub(super) runs: &'a [Run],
    pub(super) ahead: Ahead<'a>,
}

/// What a tile fetches with each of its terms.
#[derive(Clone, Copy)]
enum Fetch {
    Nothing,
    /// A line, each time so many numbers further on.
    Line {
        from: *const f32,
        step: usize,
    },
    /// As much of a row of weights as the tile reads, so many numbers further on.
    Row {
        further: usize,
    },
}

impl Products<'_> {
    /// What a tile of so many rows and columns fetches, which begins at a row and a column.
    #[inline(always)]
    fn fetch(&self, [row, column]: [usize; 2], [count, vectors]: [usize; 2], width: usize) -> Fetch {
        match self.ahead {
            Ahead::Nothing => Fetch::Nothing,
            // A single tile that reads whole rows needs nothing: the processor foresees it. One that reads parts of them does.
            Ahead::Weights { .. } | Ahead::Block { .. } if count == 1 && vectors >= 8 => match width < self.filters {
                true if row == 0 => Fetch::Row { further: ROWS_AHEAD * self.filters },
                _ => Fetch::Nothing,
            },
            // All tiles together fetch it, in the order in which it lies.
            Ahead::Block { rows } | Ahead::Copied { rows, .. }
                if vectors >= WIDE_TILE && (width * count).div_ceil(rows) <= LINE =>
            {
                let terms: usize = self.runs.iter().map(|run| run.length).sum();
                let next = match self.ahead {
                    Ahead::Copied { next, .. } => next.as_ptr(),
                    _ => {
                        let first = self.runs.first().map_or(0, |run| run.row * self.filters);
                        self.weights.as_ptr().wrapping_add(first + BLOCK_WEIGHTS)
                    }
                };
                let from = next.wrapping_add(terms * (column + width * row / rows));
                Fetch::Line { from, step: (width * count).div_ceil(rows) }
            }
            // The first tile does.
            Ahead::Weights { further } if row == 0 => Fetch::Row { further },
            Ahead::Block { .. } if row == 0 => Fetch::Row { further: BLOCK_WEIGHTS },
            Ahead::Weights { .. } | Ahead::Block { .. } | Ahead::Copied { .. } => Fetch::Nothing,
            Ahead::Inputs { rows, next } => {
                if column > 0 {
                    return Fetch::Nothing;
                }
                let further = row + (INPUTS_AHEAD / self.inputs).max(ROWS_AHEAD);
                let from = match further.checked_sub(rows) {
                    None => self.input.as_ptr().wrapping_add(further * self.inputs),
                    Some(after) => next.as_ptr().wrapping_add(after * self.inputs),
                };
                if self.inputs >= LONG_ROW {
                    return Fetch::Line { from, step: count };
                }
                for line in (0..count * self.inputs).step_by(LINE) {
                    fetch(from.wrapping_add(line));
                }
                Fetch::Nothing
            }
        }
    }
}

/// A tile, and what it fetches.
#[derive(Clone, Copy)]
struct Tile<'a> {
    of: &'a Products<'a>,
    row: usize,
    /// Its first filter.
    column: usize,
    from: *const f32,
    step: usize,
}

impl Tile<'_> {
    /// Adds the terms to a tile's sums, and fetches with each of them what `FETCH` says: nothing, a line or a row.
    // Loops count: with iterators, a tile of one row by one vector loaded and stored its sum at each term, six times as
    // slow. Bounds are checked once a run: at each term they took as long as the products.
    #[inline(always)]
    fn add<S: Simd, const ROWS: usize, const VECTORS: usize, const TAIL: bool, const FETCH: usize>(
        self,
        simd: S,
        sums: &mut [[S::f32s; VECTORS]; ROWS],
    ) {
        let Self { of: products, row, column, mut from, step } = self;
        let filters = products.filters;
        let width = (VECTORS * S::F32_LANES).min(filters - column);
        for run in products.runs {
            // No `from_fn`: it isn't compiled in place.
            let mut samples: [&[f32]; ROWS] = [&[]; ROWS];
            for (m, inputs) in samples.iter_mut().enumerate() {
                *inputs = &products.input[(row + m) * products.inputs + run.input..][..run.length];
            }
            let rows = run.length.saturating_sub(1) * filters + width;
            let rows = &products.weights[run.row * filters + column..][..rows];
            for k in 0..run.length {
                // SAFETY: `rows` has the `width` weights of each of the run's rows.
                let row = unsafe { rows.get_unchecked(k * filters..k * filters + width) };
                let weights = load::<S, VECTORS, TAIL>(simd, row);
                if FETCH == LINES {
                    fetch(from);
                    from = from.wrapping_add(step);
                }
                if FETCH == ROW {
                    for vector in 0..VECTORS {
                        fetch(row.as_ptr().wrapping_add(step + vector * S::F32_LANES));
                    }
                }
                for m in 0..ROWS {
                    // SAFETY: `samples` has the run's inputs, of each row.
                    let input = simd.splat_f32s(unsafe { *samples[m].get_unchecked(k) });
                    for v in 0..VECTORS {
                        sums[m][v] = simd.mul_add_e_f32s(input, weights[v], sums[m][v]);
                    }
                }
            }
        }
    }
}

/// See [`Tile::add`].
const NOTHING: usize = 0;
const LINES: usize = 1;
const ROW: usize = 2;

impl<S: Simd> Terms<S> for Products<'_> {
    #[inline(always)]
    fn add<const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
        &self,
        simd: S,
        [row, column]: [usize; 2],
        sums: &mut [[S::f32s; VECTORS]; ROWS],
    ) {
        let column = self.filter + column;
        let width = (VECTORS * S::F32_LANES).min(self.filters - column);
        let tile = Tile { of: self, row, column, from: std::ptr::null(), step: 0 };
        let fetched = if FETCHES { self.fetch([row, column], [ROWS, VECTORS], width) } else { Fetch::Nothing };
        match fetched {
            Fetch::Line { from, step } => {
                Tile { from, step, ..tile }.add::<S, ROWS, VECTORS, TAIL, LINES>(simd, sums);
            }
            Fetch::Row { further } => {
                Tile { step: further, ..tile }.add::<S, ROWS, VECTORS, TAIL, ROW>(simd, sums);
            }
            Fetch::Nothing => tile.add::<S, ROWS, VECTORS, TAIL, NOTHING>(simd, sums),
        }
    }
}

/// The products of a run of inputs with the gradients of a cell's outputs.
pub(super) struct GradProducts<'a> {
    /// Samples: the terms of a sum.
    pub(super) batch: usize,
    /// The inputs, from the run's first on.
    pub(super) input: &'a [f32],
    /// Distance between the inputs of neighbouring samples.
    pub(super) inputs: usize,
    /// The gradients, from those of the cell's first output on.
    pub(super) grad_output: &'a [f32],
    /// Distance between the gradients of neighbouring samples.
    pub(super) apart: usize,
    pub(super) filters: usize,
    /// Whether the sums are written past the caches.
    pub(super) streamed: bool,
}

impl<S: Simd> Terms<S> for GradProducts<'_> {
    const SIDE_BY_SIDE: bool = true;

    #[inline(always)]
    fn streamed(&self) -> bool {
        STREAMS && self.streamed
    }

    // Loops count: with iterators, a tile of one row by one vector loaded and stored its sum at each term, six times as
    // slow.
    #[inline(always)]
    fn add<const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
        &self,
        simd: S,
        [row, column]: [usize; 2],
        sums: &mut [[S::f32s; VECTORS]; ROWS],
    ) {
        let width = (VECTORS * S::F32_LANES).min(self.filters - column);
        // Bounds are checked once: with each term they took a fifth of the time.
        let Some(last) = self.batch.checked_sub(1) else { return };
        let all_grads = &self.grad_output[column..][..last * self.apart + width];
        let all_inputs = &self.input[row..][..last * self.inputs + ROWS];
        for sample in 0..self.batch {
            // SAFETY: `all_grads` has those of the last sample.
            let grads = unsafe { all_grads.get_unchecked(sample * self.apart..sample * self.apart + width) };
            let grads = load::<S, VECTORS, TAIL>(simd, grads);
            // SAFETY: `all_inputs` has those of the last sample.
            let inputs = unsafe { all_inputs.get_unchecked(sample * self.inputs..sample * self.inputs + ROWS) };
            if VECTORS == 1 {
                fetch_near(inputs.as_ptr().wrapping_add(ROWS));
            }
            for m in 0..ROWS {
                let input = simd.splat_f32s(inputs[m]);
                for v in 0..VECTORS {
                    sums[m][v] = simd.mul_add_e_f32s(input, grads[v], sums[m][v]);
                }
            }
        }
    }
}

//! The products that tiles sum: of locations with their own weights, and of those that share them.

use super::fetch::fetch;
use super::tile::{Terms, load};
use super::windows::Run;
use pulp::Simd;

/// How many rows of weights are fetched ahead where a tile reads a part of each row.
const ROWS_AHEAD: usize = 8;
/// How many inputs are fetched ahead, at least, where inputs are what is read once.
const INPUTS_AHEAD: usize = 1024;

/// What is fetched from memory while products are taken.
#[derive(Clone, Copy)]
pub(super) enum Ahead<'a> {
    /// Nothing: the weights are in place, and so are inputs.
    Nothing,
    /// The weights that lie so much further on, a block's size.
    Weights { further: usize },
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

impl Products<'_> {
    /// Fetches the inputs that lie some rows further on than those of `count` rows from `row` on.
    #[inline(always)]
    fn fetch_inputs(&self, row: usize, count: usize) {
        let Ahead::Inputs { rows, next } = self.ahead else { return };
        let further = row + (INPUTS_AHEAD / self.inputs).max(ROWS_AHEAD);
        let from = match further.checked_sub(rows) {
            None => self.input.as_ptr().wrapping_add(further * self.inputs),
            Some(after) => next.as_ptr().wrapping_add(after * self.inputs),
        };
        for line in (0..count * self.inputs).step_by(16) {
            fetch(from.wrapping_add(line));
        }
    }
}

impl<S: Simd> Terms<S> for Products<'_> {
    // Loops count: with iterators, a tile of one row by one vector loaded and stored its sum at each term, six times as
    // slow. Bounds are checked once a run: at each term they took as long as the products.
    #[inline(always)]
    fn add<const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
        &self,
        simd: S,
        [row, column]: [usize; 2],
        sums: &mut [[S::f32s; VECTORS]; ROWS],
    ) {
        let column = self.filter + column;
        let width = (VECTORS * S::F32_LANES).min(self.filters - column);
        // The first tile over these weights fetches the next block's. A single tile that reads whole rows doesn't need
        // that: the processor foresees it.
        let alone = ROWS == 1 && VECTORS >= 8;
        let (ahead, further) = match self.ahead {
            Ahead::Weights { further } => (row == 0 && (!alone || width < self.filters), further),
            Ahead::Nothing | Ahead::Inputs { .. } => (false, 0),
        };
        let distance = if alone { ROWS_AHEAD * self.filters } else { further };
        if column == 0 {
            self.fetch_inputs(row, ROWS);
        }
        for run in self.runs {
            // No `from_fn`: it isn't compiled in place.
            let mut samples: [&[f32]; ROWS] = [&[]; ROWS];
            for (m, inputs) in samples.iter_mut().enumerate() {
                *inputs = &self.input[(row + m) * self.inputs + run.input..][..run.length];
            }
            let rows = run.length.saturating_sub(1) * self.filters + width;
            let rows = &self.weights[run.row * self.filters + column..][..rows];
            for k in 0..run.length {
                // SAFETY: `rows` has the `width` weights of each of the run's rows.
                let row = unsafe { rows.get_unchecked(k * self.filters..k * self.filters + width) };
                let weights = load::<S, VECTORS, TAIL>(simd, row);
                if ahead {
                    prefetch::<VECTORS>(row, distance, S::F32_LANES);
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

/// Fetches the weights that are `distance` further on.
#[inline(always)]
fn prefetch<const VECTORS: usize>(weights: &[f32], distance: usize, lanes: usize) {
    for vector in 0..VECTORS {
        fetch(weights.as_ptr().wrapping_add(distance + vector * lanes));
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
}

impl<S: Simd> Terms<S> for GradProducts<'_> {
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
        for sample in 0..self.batch {
            let grads = load::<S, VECTORS, TAIL>(simd, &self.grad_output[sample * self.apart + column..][..width]);
            let inputs = &self.input[sample * self.inputs + row..][..ROWS];
            for m in 0..ROWS {
                let input = simd.splat_f32s(inputs[m]);
                for v in 0..VECTORS {
                    sums[m][v] = simd.mul_add_e_f32s(input, grads[v], sums[m][v]);
                }
            }
        }
    }
}

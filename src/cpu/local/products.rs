//! Products that tiles sum up, of locations with weights of their own and of those that share them.

use super::block::BLOCK_WEIGHTS;
use super::tile::{Terms, load};
use super::windows::Run;
use pulp::Simd;

/// Rows of weights that are fetched ahead where a tile reads a part of each.
const ROWS_AHEAD: usize = 8;

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
    /// Whether weights that are read next lie behind these.
    pub(super) ahead: bool,
}

impl<S: Simd> Terms<S> for Products<'_> {
    // Counted loops: with iterators the one sum of a tile of one row by one vector was loaded and stored at each term, six times as slow.
    #[inline(always)]
    fn add<const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
        &self,
        simd: S,
        [row, column]: [usize; 2],
        sums: &mut [[S::f32s; VECTORS]; ROWS],
    ) {
        let column = self.filter + column;
        let width = (VECTORS * S::F32_LANES).min(self.filters - column);
        // The first tile over these weights fetches those of the next block. One alone reads rows as they lie, which the
        // processor foresees, unless it reads some filters only of each.
        let alone = ROWS == 1 && VECTORS >= 8;
        let ahead = self.ahead && row == 0 && (!alone || width < self.filters);
        let distance = if alone { ROWS_AHEAD * self.filters } else { BLOCK_WEIGHTS };
        for run in self.runs {
            let samples: [&[f32]; ROWS] =
                std::array::from_fn(|m| &self.input[(row + m) * self.inputs + run.input..][..run.length]);
            let mut rest = &self.weights[run.row * self.filters + column..];
            #[expect(clippy::needless_range_loop, reason = "counted, as all loops here")]
            for k in 0..run.length {
                let weights = load::<S, VECTORS, TAIL>(simd, &rest[..width]);
                if ahead {
                    prefetch::<VECTORS>(rest, distance, S::F32_LANES);
                }
                for m in 0..ROWS {
                    let input = simd.splat_f32s(samples[m][k]);
                    for v in 0..VECTORS {
                        sums[m][v] = simd.mul_add_e_f32s(input, weights[v], sums[m][v]);
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

/// The products of a run of inputs with the gradients of a cell's outputs.
pub(super) struct GradProducts<'a> {
    /// Terms of a sum: samples.
    pub(super) batch: usize,
    /// From the run's first on.
    pub(super) input: &'a [f32],
    /// From one sample's to the next one's.
    pub(super) inputs: usize,
    /// From the cell's first on.
    pub(super) grad_output: &'a [f32],
    /// From one sample's to the next one's.
    pub(super) apart: usize,
    pub(super) filters: usize,
}

impl<S: Simd> Terms<S> for GradProducts<'_> {
    // Counted loops: with iterators the one sum of a tile of one row by one vector was loaded and stored at each term, six times as slow.
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

//! Weights of neighbouring locations by tap, where neighbouring windows begin at neighbouring inputs: vectors then go along locations. The
//! numbers are added in the same order as in [`sums`](super::sums), so that the bits are the same.

use super::sums::{PARTS, multiply_add};
use pulp::Simd;

/// Samples that pay for moving the weights.
const SAMPLES: usize = 4;
/// Locations whose partial sums are kept at a time.
const BLOCK: usize = 64;

/// For each row of weights those of all locations.
pub(super) struct Planes<'a> {
    values: &'a mut [f32],
    locations: usize,
}

impl<'a> Planes<'a> {
    /// Whether moving weights pays, where neighbouring windows begin a step apart.
    pub(super) fn pay(step: usize, batch: usize) -> bool {
        step == 1 && batch >= SAMPLES
    }

    /// Those of `weights`, which has a location's rows side by side; none if there is no room for them.
    pub(super) fn of(room: &'a mut [f32], weights: &[f32], rows: usize) -> Option<Self> {
        let locations = weights.len() / rows.max(1);
        let values = room.get_mut(..rows * locations)?;
        for (row, plane) in values.chunks_exact_mut(locations.max(1)).enumerate() {
            for (value, weights) in plane.iter_mut().zip(weights.chunks_exact(rows)) {
                *value = weights[row];
            }
        }
        Some(Self { values, locations })
    }

    /// Moves them to where a location's rows are side by side.
    pub(super) fn put(&self, weights: &mut [f32], rows: usize) {
        for (row, plane) in self.values.chunks_exact(self.locations.max(1)).enumerate() {
            for (value, weights) in plane.iter().zip(weights.chunks_exact_mut(rows)) {
                weights[row] = *value;
            }
        }
    }

    #[inline(always)]
    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.locations..][..self.locations]
    }

    /// Adds to the sums of locations the products of their inputs and weights: of `length` taps, from a row on.
    #[inline(always)]
    pub(super) fn dots<S: Simd>(&self, sums: &mut [f32], input: &[f32], [row, length]: [usize; 2]) {
        for (block, at) in sums.chunks_mut(BLOCK).zip((0..).step_by(BLOCK)) {
            let count = block.len();
            let taps = (0..length).map(|tap| (&input[at + tap..][..count], &self.row(row + tap)[at..][..count]));
            if length <= PARTS {
                taps.for_each(|(inputs, weights)| products::<S>(block, inputs, weights));
                continue;
            }
            let mut parts = [[0.0; BLOCK]; PARTS];
            for (tap, (inputs, weights)) in taps.enumerate() {
                products::<S>(&mut parts[tap % PARTS][..count], inputs, weights);
            }
            let [a, b, c, d] = &parts;
            for (i, sum) in block.iter_mut().enumerate() {
                *sum += (a[i] + c[i]) + (b[i] + d[i]);
            }
        }
    }

    /// Adds to what is here, from a row on, the products of the locations' inputs and factors.
    #[inline(always)]
    pub(super) fn add<S: Simd>(&mut self, input: &[f32], factors: &[f32], [row, length]: [usize; 2]) {
        for tap in 0..length {
            let sums = &mut self.values[(row + tap) * self.locations..][..factors.len()];
            products::<S>(sums, &input[tap..][..factors.len()], factors);
        }
    }

    /// Adds to the sums of inputs the products of the weights and factors of all locations that read them, in the locations' order: the
    /// first location's window begins with the first sum.
    #[inline(always)]
    pub(super) fn spread<S: Simd>(&self, sums: &mut [f32], factors: &[f32], length: usize) {
        for tap in (0..length).rev() {
            products::<S>(&mut sums[tap..][..factors.len()], &self.row(tap)[..factors.len()], factors);
        }
    }
}

/// Adds products number by number.
#[inline(always)]
fn products<S: Simd>(sums: &mut [f32], a: &[f32], b: &[f32]) {
    for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
        *sum = multiply_add::<S>(*a, *b, *sum);
    }
}

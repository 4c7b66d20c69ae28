//! Weights of neighbouring locations by tap, where neighbouring windows begin at neighbouring inputs: vectors then go along locations. The
//! numbers are added in the same order as in [`sums`](super::sums), so that the bits are the same.

use super::sums::{PARTS, multiply_add};
use pulp::Simd;
use std::ops::Range;

/// Samples that pay for moving the weights.
const SAMPLES: usize = 4;
/// Locations whose partial sums are kept at a time.
const BLOCK: usize = 64;
const SMALL_BLOCK: usize = 16;
const SMALLEST_BLOCK: usize = 4;

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

    /// Adds to the sums of locations, from one on, the products of their inputs and weights: of `length` taps, from a row on.
    #[inline(always)]
    pub(super) fn dots<S: Simd>(&self, sums: &mut [f32], input: &[f32], [location, row, length]: [usize; 3]) {
        let of = [location, row, length];
        let left = self.dots_of::<S, BLOCK>((sums, 0), input, of);
        let left = self.dots_of::<S, SMALL_BLOCK>(left, input, of);
        let left = self.dots_of::<S, SMALLEST_BLOCK>(left, input, of);
        self.dots_of::<S, 1>(left, input, of);
    }

    /// [`Planes::dots`] of the sums, from one on, that make whole blocks. Gives the others, and where they begin.
    #[inline(always)]
    fn dots_of<'s, S: Simd, const BLOCK: usize>(
        &self,
        (sums, first): (&'s mut [f32], usize),
        input: &[f32],
        [location, row, length]: [usize; 3],
    ) -> (&'s mut [f32], usize) {
        let (blocks, rest) = sums.as_chunks_mut::<BLOCK>();
        let end = first + blocks.len() * BLOCK;
        for (block, at) in blocks.iter_mut().zip((first..).step_by(BLOCK)) {
            // An array of its own stays in registers.
            let mut sums = *block;
            if length <= PARTS {
                for tap in 0..length {
                    block_products::<S, BLOCK>(&mut sums, &input[at + tap..], &self.row(row + tap)[location + at..]);
                }
            } else {
                let mut parts = [[0.0; BLOCK]; PARTS];
                for some in (0..length).step_by(PARTS) {
                    for (part, tap) in parts.iter_mut().zip(some..length) {
                        block_products::<S, BLOCK>(part, &input[at + tap..], &self.row(row + tap)[location + at..]);
                    }
                }
                let [a, b, c, d] = &parts;
                for i in 0..BLOCK {
                    sums[i] += (a[i] + c[i]) + (b[i] + d[i]);
                }
            }
            *block = sums;
        }
        (rest, end)
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
        let count = factors.len();
        // Inputs that all taps reach are summed a block at a time, others by one tap after the other.
        let first = length - 1;
        let blocks = count.saturating_sub(first) / BLOCK;
        let behind = first + blocks * BLOCK;
        let of_locations = |sums: &mut [f32], tap: usize, locations: Range<usize>| {
            let sums = &mut sums[tap..][locations.clone()];
            products::<S>(sums, &self.row(tap)[locations.clone()], &factors[locations]);
        };
        if blocks > 0 {
            for tap in (0..length).rev() {
                of_locations(sums, tap, 0..first - tap);
            }
        }
        for (sums, at) in sums[first..behind].as_chunks_mut::<BLOCK>().0.iter_mut().zip((first..).step_by(BLOCK)) {
            let mut own = *sums;
            for tap in (0..length).rev() {
                block_products::<S, BLOCK>(&mut own, &self.row(tap)[at - tap..], &factors[at - tap..]);
            }
            *sums = own;
        }
        for tap in (0..length).rev() {
            of_locations(sums, tap, if blocks > 0 { behind - tap } else { 0 }..count);
        }
    }
}

/// Adds products number by number, as many as there are sums.
#[inline(always)]
fn block_products<S: Simd, const BLOCK: usize>(sums: &mut [f32; BLOCK], a: &[f32], b: &[f32]) {
    let (a, b) = (&a[..BLOCK], &b[..BLOCK]);
    for i in 0..BLOCK {
        sums[i] = multiply_add::<S>(a[i], b[i], sums[i]);
    }
}

/// Adds products number by number.
#[inline(always)]
fn products<S: Simd>(sums: &mut [f32], a: &[f32], b: &[f32]) {
    for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
        *sum = multiply_add::<S>(*a, *b, *sum);
    }
}

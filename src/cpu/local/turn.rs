//! Moves numbers to where products need them.

use super::super::shared::Shared;
use super::super::stream::LINE;
use pulp::Simd;

/// Rows and columns of a block that is transposed at once.
pub(super) const SIDE: usize = 8;

/// Rows of numbers, the next row `apart` from one, from number `first` on.
#[derive(Clone, Copy)]
pub(super) struct Rows<T> {
    pub(super) values: T,
    pub(super) first: usize,
    pub(super) apart: usize,
}

/// Transposes `[rows][columns]` to `[columns][rows]`.
///
/// # Safety
/// No part of what is written lives.
#[inline(always)]
pub(super) unsafe fn turn<S: Simd>([rows, columns]: [usize; 2], from: Rows<&[f32]>, to: Rows<Shared<'_>>) {
    let (whole_rows, whole_columns) = (rows - rows % SIDE, columns - columns % SIDE);
    for row in (0..whole_rows).step_by(SIDE) {
        for column in (0..whole_columns).step_by(SIDE) {
            let mut block = [&[0.0; SIDE]; SIDE];
            for (m, of) in block.iter_mut().enumerate() {
                let first = from.first + (row + m) * from.apart + column;
                // Beyond the end it fails here; the block never keeps its zeroes.
                if let Some(values) = from.values[first..first + SIDE].first_chunk() {
                    *of = values;
                }
            }
            for (m, values) in turned::<S>(block).iter().enumerate() {
                // SAFETY: the caller vouches for it.
                unsafe { to.values.part(to.first + (column + m) * to.apart + row, SIDE) }.copy_from_slice(values);
            }
        }
    }
    for row in 0..rows {
        let done = if row < whole_rows { whole_columns } else { 0 };
        let values = &from.values[from.first + row * from.apart..][..columns];
        for (column, value) in values.iter().enumerate().skip(done) {
            // SAFETY: the caller vouches for it.
            unsafe { to.values.part(to.first + column * to.apart + row, 1) }.copy_from_slice(&[*value]);
        }
    }
}

/// A block, transposed.
#[inline(always)]
pub(super) fn turned<S: Simd>(block: [&[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
    #[cfg(target_arch = "x86_64")]
    if S::F32_LANES >= SIDE {
        // SAFETY: so many numbers at a time are AVX's.
        return unsafe { avx::turned(block) };
    }
    let mut turned = [[0.0; SIDE]; SIDE];
    for (m, values) in block.iter().enumerate() {
        for (i, value) in values.iter().enumerate() {
            turned[i][m] = *value;
        }
    }
    turned
}

#[cfg(target_arch = "x86_64")]
mod avx {
    use super::SIDE;
    use std::arch::x86_64::{__m256, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_storeu_ps};
    use std::arch::x86_64::{_mm256_unpackhi_ps, _mm256_unpacklo_ps};

    /// In three steps: numbers of two rows, of four, of eight come together. Compilers make 64 single moves of the plain loop, of a
    /// cycle each.
    #[target_feature(enable = "avx")]
    #[inline]
    pub(super) fn turned(block: [&[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
        // SAFETY: each row has eight numbers.
        let row = |m: usize| unsafe { _mm256_loadu_ps(block[m].as_ptr()) };
        let two = |m: usize| (_mm256_unpacklo_ps(row(m), row(m + 1)), _mm256_unpackhi_ps(row(m), row(m + 1)));
        let four = |m: usize| -> [__m256; 4] {
            let ((a, b), (c, d)) = (two(m), two(m + 2));
            let [low, high] = [[a, c], [b, d]];
            [
                _mm256_shuffle_ps::<0b01_00_01_00>(low[0], low[1]),
                _mm256_shuffle_ps::<0b11_10_11_10>(low[0], low[1]),
                _mm256_shuffle_ps::<0b01_00_01_00>(high[0], high[1]),
                _mm256_shuffle_ps::<0b11_10_11_10>(high[0], high[1]),
            ]
        };
        let (upper, lower) = (four(0), four(4));
        let mut turned = [[0.0; SIDE]; SIDE];
        for i in 0..4 {
            let halves = [
                _mm256_permute2f128_ps::<0x20>(upper[i], lower[i]),
                _mm256_permute2f128_ps::<0x31>(upper[i], lower[i]),
            ];
            // SAFETY: each row has eight numbers.
            unsafe {
                _mm256_storeu_ps(turned[i].as_mut_ptr(), halves[0]);
                _mm256_storeu_ps(turned[i + 4].as_mut_ptr(), halves[1]);
            }
        }
        turned
    }
}

/// The part of `room` that begins at a line of the cache, so that no vector lies across two lines.
pub(super) fn aligned(room: &mut [f32]) -> &mut [f32] {
    let skipped = room.as_ptr().align_offset(LINE * size_of::<f32>()).min(room.len());
    &mut room[skipped..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::instructions::Instructions;
    use pulp::WithSimd;

    struct Turn<'a> {
        sides: [usize; 2],
        values: &'a [f32],
        turned: Shared<'a>,
    }

    impl WithSimd for Turn<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let [rows, columns] = self.sides;
            let from = Rows { values: self.values, first: 2, apart: columns + 3 };
            // SAFETY: nothing else has them.
            unsafe { turn::<S>(self.sides, from, Rows { values: self.turned, first: 1, apart: rows + 1 }) };
        }
    }

    #[test]
    fn columns_become_rows() {
        for instructions in Instructions::available() {
            for sides in [[1, 1], [8, 8], [7, 9], [17, 3], [3, 20], [24, 16], [9, 8]] {
                let [rows, columns] = sides;
                let values: Vec<f32> = (0..2 + rows * (columns + 3)).map(|i| i as f32).collect();
                let mut turned = vec![-1.0; 1 + columns * (rows + 1)];
                instructions.run(Turn { sides, values: &values, turned: Shared::new(&mut turned) });
                let place = |c: usize, r: usize| if r < rows { (2 + r * (columns + 3) + c) as f32 } else { -1.0 };
                let expected = (0..columns).flat_map(|c| (0..=rows).map(move |r| place(c, r)));
                assert!(turned[1..].iter().copied().eq(expected), "{rows} by {columns}, {instructions:?}");
            }
        }
    }
}

//! Tiles of sums in registers: some rows (samples, or rows of weights) by some vectors of filters.
//!
//! Each sum is taken term by term in one order, whatever tile it is in, and however often it is stored and loaded again
//! between two blocks of terms. So the sizes of tiles, blocks and vectors change no bits.

use super::super::shared::Shared;
use super::super::stream;
use super::fetch::{WRITTEN_AHEAD, fetch_to_write};
use pulp::Simd;

/// `rows` by `columns` sums in memory, row `m` from `first + m · stride` on, and their initial values.
#[derive(Clone, Copy)]
pub(super) struct Sums<'a> {
    pub(super) values: Shared<'a>,
    pub(super) first: usize,
    pub(super) stride: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) begin: Begin<'a>,
}

/// Initial values of sums.
#[derive(Clone, Copy)]
pub(super) enum Begin<'a> {
    /// Zero.
    Zero,
    /// Zero; lines of the cache that sums somewhat further on will be written to are fetched while the terms are added.
    Unfetched,
    /// For each row of sums the same row of numbers, one for each column.
    Row(&'a [f32]),
    /// The values that are in memory.
    Held,
    /// Zero; the sums are added to what is in memory in the end. That keeps the parts of a long sum short.
    Apart,
}

/// The terms of sums that tiles compute.
pub(super) trait Terms<S: Simd> {
    /// Whether a row's numbers lie beside those of the next row, so that tiles of one vector may be as high as registers allow.
    const SIDE_BY_SIDE: bool = false;

    /// Whether the sums are written past the caches, which [`stream::fence`] ends.
    #[inline(always)]
    fn streamed(&self) -> bool {
        false
    }

    /// Adds the terms to the sums of the tile that begins at a row and a column. In a tile with a `TAIL` the last
    /// vector has fewer columns than numbers.
    fn add<const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
        &self,
        simd: S,
        at: [usize; 2],
        sums: &mut [[S::f32s; VECTORS]; ROWS],
    );
}

/// Loads `VECTORS` vectors; with a `TAIL` only as many numbers as there are.
#[inline(always)]
pub(super) fn load<S: Simd, const VECTORS: usize, const TAIL: bool>(simd: S, values: &[f32]) -> [S::f32s; VECTORS] {
    let mut vectors = [simd.splat_f32s(0.0); VECTORS];
    if TAIL {
        for (vector, part) in vectors.iter_mut().zip(values.chunks(S::F32_LANES)) {
            *vector = simd.partial_load_f32s(part);
        }
    } else {
        let (whole, _) = S::as_simd_f32s(&values[..VECTORS * S::F32_LANES]);
        for (vector, whole) in vectors.iter_mut().zip(whole) {
            *vector = *whole;
        }
    }
    vectors
}

/// Stores vectors; with a `TAIL` only as many numbers as there is place for.
#[inline(always)]
fn store<S: Simd, const VECTORS: usize, const TAIL: bool>(simd: S, sums: &[S::f32s; VECTORS], place: &mut [f32]) {
    if TAIL {
        for (part, sum) in place.chunks_mut(S::F32_LANES).zip(sums) {
            simd.partial_store_f32s(part, *sum);
        }
    } else {
        let (whole, _) = S::as_mut_simd_f32s(place);
        for (place, sum) in whole.iter_mut().zip(sums) {
            *place = *sum;
        }
    }
}

/// Computes all sums, tile by tile.
#[inline(always)]
pub(super) fn all<S: Simd, T: Terms<S>>(simd: S, sums: Sums<'_>, terms: &T) {
    let mut column = 0;
    while column < sums.columns {
        let vectors = (sums.columns - column) / S::F32_LANES;
        let few = sums.rows;
        // As many sums at a time as registers hold. With few rows there are more vectors instead, so that weights are
        // read in order.
        column += S::F32_LANES
            * match (S::F32_LANES, vectors, few) {
                (16, 16.., ..=1) => rows::<S, 16, 1, false>(simd, sums, column, terms),
                (8 | 16, 8.., ..=1) | (16, 8.., 2) => rows::<S, 8, 2, false>(simd, sums, column, terms),
                (16, 4.., _) => rows::<S, 4, 6, false>(simd, sums, column, terms),
                (_, 4.., ..=2) => rows::<S, 4, 2, false>(simd, sums, column, terms),
                (16, 2.., _) => rows::<S, 2, 8, false>(simd, sums, column, terms),
                (_, 2.., _) => rows::<S, 2, 6, false>(simd, sums, column, terms),
                (16, 1.., _) if T::SIDE_BY_SIDE => rows::<S, 1, 16, false>(simd, sums, column, terms),
                (_, 1.., _) => rows::<S, 1, 8, false>(simd, sums, column, terms),
                _ => rows::<S, 1, 8, true>(simd, sums, column, terms),
            };
    }
}

/// Computes tiles below each other, as evenly high as possible; gives `VECTORS`.
#[inline(always)]
fn rows<S: Simd, const VECTORS: usize, const MOST: usize, const TAIL: bool>(
    simd: S,
    sums: Sums<'_>,
    column: usize,
    terms: &impl Terms<S>,
) -> usize {
    let tiles = sums.rows.div_ceil(MOST);
    let mut row = 0;
    for left in (1..=tiles).rev() {
        let count = (sums.rows - row).div_ceil(left);
        // More than MOST is never asked for, so no code is made for it.
        match count {
            1 => tile::<S, 1, VECTORS, TAIL>(simd, sums, [row, column], terms),
            2 if MOST >= 2 => tile::<S, 2, VECTORS, TAIL>(simd, sums, [row, column], terms),
            3 if MOST >= 3 => tile::<S, 3, VECTORS, TAIL>(simd, sums, [row, column], terms),
            4 if MOST >= 4 => tile::<S, 4, VECTORS, TAIL>(simd, sums, [row, column], terms),
            5 if MOST >= 5 => tile::<S, 5, VECTORS, TAIL>(simd, sums, [row, column], terms),
            6 if MOST >= 6 => tile::<S, 6, VECTORS, TAIL>(simd, sums, [row, column], terms),
            7 if MOST >= 7 => tile::<S, 7, VECTORS, TAIL>(simd, sums, [row, column], terms),
            8 if MOST >= 8 => tile::<S, 8, VECTORS, TAIL>(simd, sums, [row, column], terms),
            9 if MOST >= 9 => tile::<S, 9, VECTORS, TAIL>(simd, sums, [row, column], terms),
            10 if MOST >= 10 => tile::<S, 10, VECTORS, TAIL>(simd, sums, [row, column], terms),
            11 if MOST >= 11 => tile::<S, 11, VECTORS, TAIL>(simd, sums, [row, column], terms),
            12 if MOST >= 12 => tile::<S, 12, VECTORS, TAIL>(simd, sums, [row, column], terms),
            13 if MOST >= 13 => tile::<S, 13, VECTORS, TAIL>(simd, sums, [row, column], terms),
            14 if MOST >= 14 => tile::<S, 14, VECTORS, TAIL>(simd, sums, [row, column], terms),
            15 if MOST >= 15 => tile::<S, 15, VECTORS, TAIL>(simd, sums, [row, column], terms),
            _ if MOST >= 16 => tile::<S, 16, VECTORS, TAIL>(simd, sums, [row, column], terms),
            _ => {}
        }
        row += count;
    }
    VECTORS
}

/// [`compute`]; without optimisation in a frame of its own. The tiles of an operation would else share one that has the variables of all
/// of them, most of a MB, and threads may have no more stack.
#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
    simd: S,
    sums: Sums<'_>,
    at: [usize; 2],
    terms: &impl Terms<S>,
) {
    #[cfg(debug_assertions)]
    simd.vectorize(Tile::<S, _, ROWS, VECTORS, TAIL> { simd, sums, at, terms });
    #[cfg(not(debug_assertions))]
    compute::<S, ROWS, VECTORS, TAIL>(simd, sums, at, terms);
}

#[cfg(debug_assertions)]
struct Tile<'a, S, T, const ROWS: usize, const VECTORS: usize, const TAIL: bool> {
    simd: S,
    sums: Sums<'a>,
    at: [usize; 2],
    terms: &'a T,
}

#[cfg(debug_assertions)]
impl<S: Simd, T: Terms<S>, const ROWS: usize, const VECTORS: usize, const TAIL: bool> pulp::WithSimd
    for Tile<'_, S, T, ROWS, VECTORS, TAIL>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<R: Simd>(self, _: R) {
        compute::<S, ROWS, VECTORS, TAIL>(self.simd, self.sums, self.at, self.terms);
    }
}

#[inline(always)]
fn compute<S: Simd, const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
    simd: S,
    sums: Sums<'_>,
    [row, column]: [usize; 2],
    terms: &impl Terms<S>,
) {
    let width = (VECTORS * S::F32_LANES).min(sums.columns - column);
    // SAFETY: tiles are apart, and one thread computes those of a piece one after the other. Other threads have other pieces:
    // other cells, or other rows or filters of one, as the operations share them out.
    let place = |m: usize| unsafe { sums.values.part(sums.first + (row + m) * sums.stride + column, width) };
    let mut tile = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    match sums.begin {
        Begin::Zero | Begin::Apart => {}
        Begin::Unfetched => {
            for m in 0..ROWS {
                fetch_to_write::<VECTORS>(place(m).as_ptr().wrapping_add(WRITTEN_AHEAD), S::F32_LANES);
            }
        }
        Begin::Row(values) => tile = [load::<S, VECTORS, TAIL>(simd, &values[column..][..width]); ROWS],
        Begin::Held => {
            for (m, sums) in tile.iter_mut().enumerate() {
                *sums = load::<S, VECTORS, TAIL>(simd, place(m));
            }
        }
    }
    terms.add::<ROWS, VECTORS, TAIL>(simd, [row, column], &mut tile);
    if matches!(sums.begin, Begin::Apart) {
        for (m, sums) in tile.iter_mut().enumerate() {
            for (sum, held) in sums.iter_mut().zip(load::<S, VECTORS, TAIL>(simd, place(m))) {
                *sum = simd.add_f32s(held, *sum);
            }
        }
    }
    if terms.streamed() && !TAIL {
        // By way of memory: where stores past the caches take the tile's vectors themselves, the compiler keeps all of it in memory, at
        // each term.
        let mut room = [[[0.0; stream::LINE]; VECTORS]; ROWS];
        for (room, sums) in room.iter_mut().zip(&tile) {
            store::<S, VECTORS, TAIL>(simd, sums, &mut room.as_flattened_mut()[..width]);
        }
        for (m, room) in room.iter().enumerate() {
            stream::store(&room.as_flattened()[..width], place(m));
        }
        return;
    }
    for (m, sums) in tile.iter().enumerate() {
        store::<S, VECTORS, TAIL>(simd, sums, place(m));
    }
}

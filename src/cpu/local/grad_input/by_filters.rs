//! Input gradients of a few samples: a thread has some input positions, and sums for each of their channels over all
//! cells that read it.
//!
//! A sum goes along filters, in sixteen partial sums that are added in the end. They are sixteen whatever the length of
//! vectors, so that bits don't depend on the processor.

use crate::cpu::local::GradInputOperands as Operands;
use crate::cpu::local::fetch::fetch;
use crate::cpu::local::guess::products;
use crate::cpu::local::layer::{CHANNELS, Layer};
use crate::cpu::local::readers::Reader;
use crate::cpu::local::tile::load;
use crate::cpu::local::turn::{SIDE, turned};
use crate::cpu::shared::Shared;
use crate::cpu::team::{Room, Span, Team};
use crate::cpu::weights::View;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Partial sums of a sum.
const PARTS: usize = 2 * SIDE;
/// Channels of a tile of one sample, where those of other tiles are [`CHANNELS`] at most.
const MANY_CHANNELS: usize = 16;
/// Channels of a tile where fewer are left.
const FEW_CHANNELS: usize = 4;
/// So many weights stay in a core's own caches.
const CACHED: u64 = 1 << 18;
/// Enough positions to keep all threads busy. If there are fewer, channels are divided among tasks, too.
const MANY_POSITIONS: usize = 64;

/// Each input element's gradient.
pub(super) fn grad_input(team: &Team, layer: &Layer, operands: Operands<'_>, grad_input: &mut [f32]) {
    let grad_input = Shared::new(grad_input);
    let geometry = &layer.geometry;
    let (positions, channels) = (geometry.positions() as usize, geometry.group_channels() as usize);
    let groups = geometry.groups() as usize;
    let together = if positions * groups < MANY_POSITIONS { CHANNELS.min(channels) } else { channels };
    let pieces = channels.div_ceil(together);
    let weights = geometry.connected_weights() / u64::from(geometry.positions());
    let nanoseconds = 20 + products(weights, operands.batch) / (groups * pieces) as u64;
    let count = positions * groups * pieces;
    team.each(count, nanoseconds, |span| Pieces { team, layer, operands, grad_input, span, pieces, together });
}

/// Pieces of positions: the channels of a group at a position, or some of them.
struct Pieces<'a> {
    team: &'a Team,
    layer: &'a Layer,
    operands: Operands<'a>,
    grad_input: Shared<'a>,
    span: Span,
    /// How many pieces the channels of a group at a position are divided into.
    pieces: usize,
    /// How many channels a piece has.
    together: usize,
}

impl WithSimd for Pieces<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums at a time as registers hold.
        match S::F32_LANES {
            16 if self.reads_at_once() => self.compute::<S, 1, 1, MANY_CHANNELS>(simd),
            16 => self.compute::<S, 1, 3, CHANNELS>(simd),
            8 => self.compute::<S, 2, 3, 2>(simd),
            4 => self.compute::<S, 4, 2, 2>(simd),
            _ => self.compute::<S, 16, 1, 1>(simd),
        }
    }
}

impl Pieces<'_> {
    /// Whether a tile is of one sample by many channels: where their rows of weights are short they are one stretch of memory, and each
    /// reader's is read at once. Reading it in parts, after those of all other readers, took up to half as long again. (16-bit weights
    /// are widened in a room that is for fewer.)
    fn reads_at_once(&self) -> bool {
        let Operands { batch, weights, .. } = self.operands;
        batch == 1 && matches!(weights, View::F32(_)) && self.layer.geometry.group_filters() as usize <= PARTS
    }

    /// Works through tiles of up to `SAMPLES` by up to `WIDTH` channels, whose partial sums are `VECTORS` vectors.
    #[inline(always)]
    fn compute<S: Simd, const VECTORS: usize, const SAMPLES: usize, const WIDTH: usize>(self, simd: S) {
        let Self { layer, operands, .. } = self;
        let geometry = &*layer.geometry;
        let (groups, channels) = (geometry.groups() as usize, geometry.group_channels() as usize);
        let (filters, group_weights) =
            (geometry.group_filters() as usize, geometry.window() as usize * geometry.group_filters() as usize);
        let mut room = self.team.room();
        let Room { floats, readers, .. } = &mut *room;
        let mut listed = usize::MAX;
        for index in self.span.first..self.span.end {
            let (place, piece) = (index / self.pieces, index % self.pieces);
            let (position, group) = (place / groups, place % groups);
            if position != listed {
                layer.readers.list(geometry, position, readers);
                listed = position;
            }
            let end = channels.min((piece + 1) * self.together);
            let mut channel = piece * self.together;
            while channel < end {
                let width = match end - channel {
                    MANY_CHANNELS.. if WIDTH == MANY_CHANNELS => MANY_CHANNELS,
                    CHANNELS.. if WIDTH >= CHANNELS => CHANNELS,
                    left => left.min(WIDTH).min(FEW_CHANNELS),
                };
                let first = group * group_weights + channel * filters;
                let sums = Sums {
                    readers,
                    terms: Terms::of(operands.weights, readers, first..first + width * filters, floats),
                    grad_output: operands.grad_output.get(group * filters..).unwrap_or(&[]),
                    outputs: geometry.outputs() as usize,
                    filters,
                    fetched: geometry.weights() > CACHED && matches!(operands.weights, View::F32(_)),
                    grad_input: self.grad_input,
                    first: position * channels * groups + group * channels + channel,
                    inputs: geometry.inputs() as usize,
                };
                match width {
                    1 => sums.all::<S, VECTORS, SAMPLES, 1>(simd, operands.batch),
                    2 if WIDTH >= 2 => sums.all::<S, VECTORS, SAMPLES, 2>(simd, operands.batch),
                    3 if WIDTH >= 3 => sums.all::<S, VECTORS, SAMPLES, 3>(simd, operands.batch),
                    FEW_CHANNELS if WIDTH >= FEW_CHANNELS => {
                        sums.all::<S, VECTORS, SAMPLES, FEW_CHANNELS>(simd, operands.batch);
                    }
                    CHANNELS if WIDTH >= CHANNELS => {
                        sums.all::<S, VECTORS, SAMPLES, CHANNELS>(simd, operands.batch);
                    }
                    _ if WIDTH == MANY_CHANNELS => {
                        sums.all::<S, VECTORS, SAMPLES, MANY_CHANNELS>(simd, operands.batch);
                    }
                    _ => {}
                }
                channel += width;
            }
        }
    }
}

/// The weights of a tile's readers.
#[derive(Clone, Copy)]
enum Terms<'a> {
    /// All weights, where they are.
    InPlace(&'a [f32]),
    /// The readers' rows, widened one after the other.
    Widened(&'a [f32]),
}

impl<'a> Terms<'a> {
    /// For each reader the weights `own`, counted from the reader's first weight.
    #[inline]
    fn of(weights: View<'a>, readers: &[Reader], own: Range<usize>, room: &'a mut [f32]) -> Self {
        match weights {
            View::F32(values) => Self::InPlace(values.get(own.start..).unwrap_or(&[])),
            View::F16(_) => {
                for (reader, to) in readers.iter().zip(room.chunks_exact_mut(own.len())) {
                    weights.from(reader.weight + own.start).copy(to);
                }
                Self::Widened(room)
            }
        }
    }
}

/// What gives the sums of some channels of a position.
#[derive(Clone, Copy)]
struct Sums<'a> {
    readers: &'a [Reader],
    terms: Terms<'a>,
    /// The gradient by the output, from the group's first filter on.
    grad_output: &'a [f32],
    outputs: usize,
    filters: usize,
    /// Whether the weights of the next channels, which lie behind each reader's, are fetched.
    fetched: bool,
    grad_input: Shared<'a>,
    /// Where the first channel is in a sample.
    first: usize,
    inputs: usize,
}

impl Sums<'_> {
    #[inline(always)]
    fn all<S: Simd, const VECTORS: usize, const MOST: usize, const WIDTH: usize>(self, simd: S, batch: usize) {
        let tiles = batch.div_ceil(MOST);
        let mut sample = 0;
        for left in (1..=tiles).rev() {
            let count = (batch - sample).div_ceil(left);
            match count {
                1 => self.tile::<S, VECTORS, 1, WIDTH>(simd, sample),
                2 if MOST >= 2 => self.tile::<S, VECTORS, 2, WIDTH>(simd, sample),
                3 if MOST >= 3 => self.tile::<S, VECTORS, 3, WIDTH>(simd, sample),
                _ => {}
            }
            sample += count;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const VECTORS: usize, const SAMPLES: usize, const WIDTH: usize>(self, simd: S, sample: usize) {
        let mut sums = [[[simd.splat_f32s(0.0); VECTORS]; WIDTH]; SAMPLES];
        let whole = self.filters - self.filters % PARTS;
        for (reader, number) in self.readers.iter().zip(0..) {
            let weights = match self.terms {
                Terms::InPlace(weights) => &weights[reader.weight..][..WIDTH * self.filters],
                Terms::Widened(weights) => &weights[number * WIDTH * self.filters..][..WIDTH * self.filters],
            };
            // Loops: neither `from_fn` nor `map` is compiled in place, and calls took more than half of the time.
            let mut grads: [&[f32]; SAMPLES] = [&[]; SAMPLES];
            for (m, of_sample) in grads.iter_mut().enumerate() {
                *of_sample = &self.grad_output[(sample + m) * self.outputs + reader.output..][..self.filters];
            }
            let mut filter = 0;
            while filter < whole {
                if self.fetched {
                    for channel in WIDTH..2 * WIDTH {
                        fetch(weights.as_ptr().wrapping_add(channel * self.filters + filter));
                    }
                }
                add::<S, VECTORS, SAMPLES, WIDTH, false>(
                    simd,
                    &mut sums,
                    (weights, self.filters),
                    (&grads, filter..filter + PARTS),
                );
                filter += PARTS;
            }
            if filter < self.filters {
                add::<S, VECTORS, SAMPLES, WIDTH, true>(
                    simd,
                    &mut sums,
                    (weights, self.filters),
                    (&grads, filter..self.filters),
                );
            }
        }
        let mut totals = [[0.0; WIDTH]; SAMPLES];
        let mut halves = [[[0.0; SIDE]; WIDTH]; SAMPLES];
        for (halves, sums) in halves.iter_mut().zip(&sums) {
            for (half, sum) in halves.iter_mut().zip(sums) {
                *half = self::half::<S, VECTORS>(sum);
            }
        }
        for (totals, halves) in totals.as_flattened_mut().chunks_mut(SIDE).zip(halves.as_flattened().chunks(SIDE)) {
            totals.copy_from_slice(&total::<S>(halves)[..totals.len()]);
        }
        for (totals, m) in totals.iter().zip(0..) {
            // SAFETY: pieces of positions are apart, and this one's tiles come one after the other.
            let place = unsafe { self.grad_input.part((sample + m) * self.inputs + self.first, WIDTH) };
            place.copy_from_slice(totals);
        }
    }
}

/// Adds the products of some filters' weights, in rows so far `apart`, and gradients.
#[inline(always)]
fn add<S: Simd, const VECTORS: usize, const SAMPLES: usize, const WIDTH: usize, const TAIL: bool>(
    simd: S,
    sums: &mut [[[S::f32s; VECTORS]; WIDTH]; SAMPLES],
    (weights, apart): (&[f32], usize),
    (of_samples, filters): (&[&[f32]; SAMPLES], Range<usize>),
) {
    let mut grads = [[simd.splat_f32s(0.0); VECTORS]; SAMPLES];
    for (grads, of_sample) in grads.iter_mut().zip(of_samples) {
        *grads = load::<S, VECTORS, TAIL>(simd, &of_sample[filters.clone()]);
    }
    for c in 0..WIDTH {
        let weights = load::<S, VECTORS, TAIL>(simd, &weights[c * apart..][filters.clone()]);
        for m in 0..SAMPLES {
            for v in 0..VECTORS {
                sums[m][c][v] = simd.mul_add_e_f32s(weights[v], grads[m][v], sums[m][c][v]);
            }
        }
    }
}

/// The partial sums of a sum, the first half added to the second.
#[inline(always)]
fn half<S: Simd, const VECTORS: usize>(parts: &[S::f32s; VECTORS]) -> [f32; SIDE] {
    let mut sums: [f32; PARTS] = [0.0; PARTS];
    for (sums, part) in sums.chunks_exact_mut(S::F32_LANES).zip(parts) {
        sums.copy_from_slice(bytemuck::cast_slice(std::slice::from_ref(part)));
    }
    let mut halves = [0.0; SIDE];
    for i in 0..SIDE {
        halves[i] = sums[i] + sums[i + SIDE];
    }
    halves
}

/// The partial sums of several sums, added in pairs: for all sums at once, which are transposed for it.
#[inline(always)]
fn total<S: Simd>(halves: &[[f32; SIDE]]) -> [f32; SIDE] {
    let mut rows = [&[0.0; SIDE]; SIDE];
    for (row, half) in rows.iter_mut().zip(halves) {
        *row = half;
    }
    let [a, b, c, d, e, f, g, h] = turned::<S>(rows);
    let mut totals = [0.0; SIDE];
    for i in 0..SIDE {
        totals[i] = ((a[i] + e[i]) + (c[i] + g[i])) + ((b[i] + f[i]) + (d[i] + h[i]));
    }
    totals
}

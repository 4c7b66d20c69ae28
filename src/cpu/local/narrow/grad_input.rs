//! Input gradients of layers of one filter.

use super::planes::Planes;
use super::strips::Narrow;
use super::sums::{add, spread};
use crate::cpu::local::windows::Even;
use crate::cpu::shared::Shared;
use crate::cpu::stream;
use crate::cpu::team::{Span, Team};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// How many pieces the inputs of a sample should be divided into, each for one thread.
const PIECES: usize = 16;
/// The least inputs of a piece, and the most.
const LEAST: usize = 1024;
const MOST: usize = 8192;
/// Moved weights of a piece.
const PLANES: usize = 4096;

/// Each input's gradient, for layers of one axis: a sum over the locations that read it, of weights times gradients.
pub(in crate::cpu::local) fn grad_input(
    team: &Team,
    narrow: Narrow<'_>,
    (weights, grad_output): (&[f32], &[f32]),
    grad_input: &mut [f32],
) {
    let grad_input = Shared::new(grad_input);
    let inputs = narrow.layer.geometry.inputs() as usize;
    // Moved weights of a piece stay in the first-level cache.
    let most = if narrow.has_planes() { (PLANES / narrow.window()).clamp(LEAST, MOST) } else { MOST };
    let piece = inputs.div_ceil(PIECES).clamp(LEAST, most);
    let pieces = inputs.div_ceil(piece);
    let products = narrow.layer.geometry.connections() * narrow.batch as u64 / pieces as u64;
    let nanoseconds = 2 * products / narrow.each_nanosecond() + (piece * narrow.batch / 4) as u64;
    team.each(pieces, nanoseconds, |span| GradInput { team, narrow, weights, grad_output, grad_input, piece, span });
}

struct GradInput<'a> {
    team: &'a Team,
    narrow: Narrow<'a>,
    weights: &'a [f32],
    grad_output: &'a [f32],
    grad_input: Shared<'a>,
    /// How many inputs a piece has.
    piece: usize,
    span: Span,
}

impl WithSimd for GradInput<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { narrow, .. } = self;
        let geometry = &narrow.layer.geometry;
        let (inputs, outputs) = (geometry.inputs() as usize, geometry.outputs() as usize);
        let mut room = self.team.room();
        // Sums that are streamed are taken here: a piece is no longer than the room for it (`grad_input/room.rs`).
        let streamed = if self.team.streams(inputs * narrow.batch) { self.piece } else { 0 };
        let (own, floats) = room.floats.split_at_mut(streamed);
        for piece in self.span.first..self.span.end {
            let owned = piece * self.piece..inputs.min((piece + 1) * self.piece);
            let readers = self.readers(&owned, floats);
            for sample in 0..narrow.batch {
                // SAFETY: pieces of inputs are apart.
                let place = unsafe { self.grad_input.part(sample * inputs + owned.start, owned.len()) };
                let sums = if streamed == 0 { &mut *place } else { &mut own[..owned.len()] };
                sums.fill(0.0);
                let grads = &self.grad_output[sample * outputs..][..outputs];
                self.piece::<S>(Owned { sums, inputs: owned.clone() }, &readers, grads);
                if streamed > 0 {
                    stream::copy(&own[..owned.len()], place);
                }
            }
        }
    }
}

/// Some inputs of a sample, and their sums.
struct Owned<'a> {
    sums: &'a mut [f32],
    inputs: Range<usize>,
}

/// The locations that read the inputs of a piece.
struct Readers<'a> {
    /// Those whose windows are equally far apart and lie within the piece: they are added whole.
    whole: Range<usize>,
    /// Others before and after these, which are added as far as they lie within the piece.
    before: Range<usize>,
    behind: Range<usize>,
    /// The weights of the whole ones, where they are moved.
    planes: Option<Planes<'a>>,
}

impl GradInput<'_> {
    fn readers<'r>(&self, owned: &Range<usize>, room: &'r mut [f32]) -> Readers<'r> {
        let Even { locations: (first, end), input, step, length } = self.narrow.even;
        let begin_at = |input_at: usize| first + input_at.saturating_sub(input).div_ceil(step);
        let whole = begin_at(owned.start).clamp(first, end);
        let past = begin_at((owned.end + 1).saturating_sub(length)).clamp(whole, end);
        let before = whole.saturating_sub(length.div_ceil(step)).max(first)..whole;
        let behind = past..(past + length.div_ceil(step)).min(end);
        let window = self.narrow.window();
        let weights = &self.weights[whole * window..past * window];
        Readers { whole: whole..past, before, behind, planes: self.narrow.planes(room, weights) }
    }

    /// Adds to the sums of some inputs what each location contributes, in the locations' order.
    #[inline(always)]
    fn piece<S: Simd>(&self, mut owned: Owned<'_>, readers: &Readers<'_>, grads: &[f32]) {
        let Even { locations: (first, end), step, length, .. } = self.narrow.even;
        let Readers { whole, before, behind, planes } = readers;
        for location in (0..first).chain(before.clone()) {
            self.clipped::<S>(&mut owned, location, grads[location]);
        }
        if !whole.is_empty() {
            let sums = &mut owned.sums[self.narrow.input(whole.start) - owned.inputs.start..];
            let factors = &grads[whole.clone()];
            let window = self.narrow.window();
            let weights = (&self.weights[whole.start * window..], window);
            match (planes, length) {
                (Some(planes), _) => planes.spread::<S>(sums, factors, length),
                (None, 1) => spread::<S, 1>((sums, step), weights, factors, 1),
                (None, 2) => spread::<S, 2>((sums, step), weights, factors, 2),
                (None, 3) => spread::<S, 3>((sums, step), weights, factors, 3),
                (None, 4) => spread::<S, 4>((sums, step), weights, factors, 4),
                (None, _) => spread::<S, 0>((sums, step), weights, factors, length),
            }
        }
        for location in behind.clone().chain(end..grads.len()) {
            self.clipped::<S>(&mut owned, location, grads[location]);
        }
    }

    /// Adds what one location contributes to the inputs of the piece.
    #[inline(always)]
    fn clipped<S: Simd>(&self, owned: &mut Owned<'_>, location: usize, grad: f32) {
        let Owned { sums, inputs } = owned;
        for run in self.narrow.layer.windows.runs(location) {
            let (first, end) = (run.input.max(inputs.start), (run.input + run.length).min(inputs.end));
            if first < end {
                let weights = &self.weights[location * self.narrow.window() + run.row + first - run.input..];
                add::<S, 0>(&mut sums[first - inputs.start..end - inputs.start], &weights[..end - first], grad);
            }
        }
    }
}

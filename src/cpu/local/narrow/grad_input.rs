//! Input gradients of layers of one filter.

use super::strips::Narrow;
use super::sums::{add, spread};
use crate::cpu::local::windows::Even;
use crate::cpu::shared::Shared;
use crate::cpu::team::{Span, Team};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// How many pieces the inputs of a sample should be divided into, each for one thread.
const PIECES: usize = 64;
/// The least and the most inputs of a piece.
const PIECE: std::ops::RangeInclusive<usize> = 1024..=8192;

/// Each input's gradient, for layers of one axis: a sum over the locations that read it, of weights times gradients.
pub(in crate::cpu::local) fn grad_input(
    team: &Team,
    narrow: Narrow<'_>,
    (weights, grad_output): (&[f32], &[f32]),
    grad_input: &mut [f32],
) {
    let grad_input = Shared::new(grad_input);
    let inputs = narrow.layer.geometry.inputs() as usize;
    let piece = inputs.div_ceil(PIECES).clamp(*PIECE.start(), *PIECE.end());
    let pieces = inputs.div_ceil(piece);
    let products = narrow.layer.geometry.connections() * narrow.batch as u64 / pieces as u64;
    team.each(pieces, products + (piece * narrow.batch / 4) as u64, |span| GradInput {
        narrow,
        weights,
        grad_output,
        grad_input,
        piece,
        span,
    });
}

struct GradInput<'a> {
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
        for piece in self.span.first..self.span.end {
            let owned = piece * self.piece..inputs.min((piece + 1) * self.piece);
            for sample in 0..narrow.batch {
                // SAFETY: pieces of inputs are apart.
                let sums = unsafe { self.grad_input.part(sample * inputs + owned.start, owned.len()) };
                sums.fill(0.0);
                let grads = &self.grad_output[sample * outputs..][..outputs];
                self.piece::<S>(Owned { sums, inputs: owned.clone() }, grads);
            }
        }
    }
}

/// Some inputs of a sample, and their sums.
struct Owned<'a> {
    sums: &'a mut [f32],
    inputs: Range<usize>,
}

impl GradInput<'_> {
    /// Adds to the sums of some inputs what each location contributes, in the locations' order.
    #[inline(always)]
    fn piece<S: Simd>(&self, mut owned: Owned<'_>, grads: &[f32]) {
        let Even { locations: (first, end), input, step, length } = self.narrow.even;
        let window = self.narrow.window();
        // Windows of even distance that lie within the piece are added whole, the others as far as they do.
        let begin_at = |input_at: usize| first + input_at.saturating_sub(input).div_ceil(step);
        let whole = begin_at(owned.inputs.start).clamp(first, end);
        let past = begin_at((owned.inputs.end + 1).saturating_sub(length)).clamp(whole, end);
        let before = whole.saturating_sub(length.div_ceil(step)).max(first);
        let behind = (past + length.div_ceil(step)).min(end);
        for location in (0..first).chain(before..whole) {
            self.clipped::<S>(&mut owned, location, grads[location]);
        }
        if whole < past {
            let sums = (&mut owned.sums[self.narrow.input(whole) - owned.inputs.start..], step);
            let weights = (&self.weights[whole * window..], window);
            let grads = &grads[whole..past];
            match length {
                1 => spread::<S, 1>(sums, weights, grads, 1),
                2 => spread::<S, 2>(sums, weights, grads, 2),
                3 => spread::<S, 3>(sums, weights, grads, 3),
                4 => spread::<S, 4>(sums, weights, grads, 4),
                _ => spread::<S, 0>(sums, weights, grads, length),
            }
        }
        for location in (past..behind).chain(end..grads.len()) {
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

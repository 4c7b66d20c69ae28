//! Input gradients of layers of one filter.

use super::planes::Planes;
use super::strips::Narrow;
use super::sums::{add, spread};
use crate::cpu::local::fetch::fetch_lines_to_write;
use crate::cpu::local::windows::Even;
use crate::cpu::shared::Shared;
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
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { narrow, .. } = self;
        let geometry = &narrow.layer.geometry;
        let (inputs, outputs) = (geometry.inputs() as usize, geometry.outputs() as usize);
        let mut room = self.team.room();
        for piece in self.span.first..self.span.end {
            let owned = piece * self.piece..inputs.min((piece + 1) * self.piece);
            let readers = self.readers(&owned, &mut room.floats);
            for sample in 0..narrow.batch {
                // SAFETY: pieces of inputs are apart.
                let sums = unsafe { self.grad_input.part(sample * inputs + owned.start, owned.len()) };
                let grads = &self.grad_output[sample * outputs..][..outputs];
                self.piece(simd, Owned { sums, inputs: owned.clone(), sample, grads }, &readers);
            }
        }
    }
}

/// Some inputs of a sample, and their sums.
struct Owned<'a> {
    sums: &'a mut [f32],
    inputs: Range<usize>,
    sample: usize,
    /// The gradients by the sample's outputs.
    grads: &'a [f32],
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

    /// Sums what each location contributes to some inputs.
    #[inline(always)]
    fn piece<S: Simd>(&self, simd: S, mut owned: Owned<'_>, readers: &Readers<'_>) {
        let Even { locations: (first, end), step, length, .. } = self.narrow.even;
        let Readers { whole, before, behind, planes } = readers;
        let written = self.written(whole, owned.inputs.start);
        // Where windows lie side by side the whole ones write sums, and others are added afterwards: windows that wrap reach these, too.
        let apart = step == length && planes.is_none();
        if apart {
            owned.sums[..written.start].fill(0.0);
            owned.sums[written.end..].fill(0.0);
            self.spread::<S, false>(simd, &mut owned, whole);
        } else {
            owned.sums.fill(0.0);
        }
        for location in (0..first).chain(before.clone()) {
            self.clipped(simd, &mut owned, location);
        }
        match planes {
            Some(planes) => planes.spread::<S>(&mut owned.sums[written], &owned.grads[whole.clone()], length),
            None if apart => {}
            None => self.spread::<S, true>(simd, &mut owned, whole),
        }
        for location in behind.clone().chain(end..owned.grads.len()) {
            self.clipped(simd, &mut owned, location);
        }
    }

    /// The sums, counted from the piece's first input, that the windows of some locations reach.
    fn written(&self, whole: &Range<usize>, first: usize) -> Range<usize> {
        let Even { length, .. } = self.narrow.even;
        match whole.end.checked_sub(1) {
            Some(last) if last >= whole.start => {
                self.narrow.input(whole.start) - first..self.narrow.input(last) + length - first
            }
            _ => 0..0,
        }
    }

    /// Adds what the locations contribute whose windows lie within the piece, or writes it where nothing is `HELD`.
    #[inline(always)]
    fn spread<S: Simd, const HELD: bool>(&self, simd: S, owned: &mut Owned<'_>, whole: &Range<usize>) {
        let Owned { sums, inputs, sample, grads } = owned;
        let Even { step, length, .. } = self.narrow.even;
        let window = self.narrow.window();
        for some in self.narrow.between_fetches(whole.clone()) {
            let sums = &mut sums[self.narrow.input(some.start) - inputs.start..];
            let factors = &grads[some.clone()];
            let weights = (&self.weights[some.start * window..], window);
            if self.narrow.fetches() {
                let of_sample = self.narrow.layer.geometry.inputs() as usize;
                let next = self.narrow.next(sums.as_ptr(), *sample, [of_sample, inputs.len()]);
                fetch_lines_to_write(next, some.len() * step);
            }
            let sums = (sums, step);
            match length {
                1 => spread::<S, 1, HELD>(simd, sums, weights, (factors, 1)),
                2 => spread::<S, 2, HELD>(simd, sums, weights, (factors, 2)),
                3 => spread::<S, 3, HELD>(simd, sums, weights, (factors, 3)),
                4 => spread::<S, 4, HELD>(simd, sums, weights, (factors, 4)),
                _ => spread::<S, 0, HELD>(simd, sums, weights, (factors, length)),
            }
        }
    }

    /// Adds what one location contributes to the inputs of the piece.
    #[inline(always)]
    fn clipped<S: Simd>(&self, simd: S, Owned { sums, inputs, grads, .. }: &mut Owned<'_>, location: usize) {
        for run in self.narrow.layer.windows.runs(location) {
            let (first, end) = (run.input.max(inputs.start), (run.input + run.length).min(inputs.end));
            if first < end {
                let weights = &self.weights[location * self.narrow.window() + run.row + first - run.input..];
                let sums = &mut sums[first - inputs.start..end - inputs.start];
                add::<S, true>(simd, sums, &weights[..end - first], grads[location]);
            }
        }
    }
}

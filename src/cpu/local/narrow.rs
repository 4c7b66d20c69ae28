//! Layers of one filter: a vector of filters would hold one number, so these go along locations and samples instead.
//!
//! Most of a layer's windows lie evenly, each some inputs after the one before; those at padded edges are done one by one. Sums
//! are taken in the same order as elsewhere.

use super::layer::Layer;
use super::windows::{Even, Run};
use crate::config::{Activation, Bias};
use crate::cpu::functions;
use crate::cpu::shared::Shared;
use crate::cpu::team::{Span, Team};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Most windows at padded edges of a layer that is gone along.
const UNEVEN: usize = 64;
/// Weights of the locations that one thread does together: in the first cache for all samples.
const TOGETHER: usize = 2048;
/// Inputs whose gradients one thread owns, as many as make this many pieces of a sample, or so many.
const PIECES: usize = 64;
/// See [`PIECES`].
const PIECE: std::ops::RangeInclusive<usize> = 1024..=8192;
/// Locations whose sums are under way at once.
const AT_ONCE: usize = 8;

/// Partial sums of a sum along a window: as many on every processor.
const PARTS: usize = 4;

/// `a · b + c`, rounded once where the instructions round once.
#[inline(always)]
fn multiply_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if S::IS_SCALAR || cfg!(target_family = "wasm") { a * b + c } else { a.mul_add(b, c) }
}

/// A layer of one filter, with what its operations read.
#[derive(Clone, Copy)]
pub(super) struct Narrow<'a> {
    layer: &'a Layer,
    even: Even,
    batch: usize,
}

/// Neighbouring locations along the inner axis.
struct Strip {
    /// The first of them among all locations.
    first: usize,
    /// Of the outer axes.
    outer: usize,
    /// Along the inner axis.
    along: Range<usize>,
}

impl<'a> Narrow<'a> {
    /// What computes a layer of one filter, where its windows lie evenly but for a few.
    pub(super) fn of(layer: &'a Layer, batch: usize) -> Option<Self> {
        let even = layer.windows.even().filter(|_| layer.geometry.filters() == 1)?;
        let others = layer.geometry.axes()[2].output as usize - (even.locations.1 - even.locations.0);
        (others <= UNEVEN).then_some(Self { layer, even, batch })
    }

    fn width(&self) -> usize {
        self.layer.geometry.axes()[2].output as usize
    }

    /// Locations of a strip.
    fn together(&self) -> usize {
        TOGETHER.div_ceil(self.window()).min(self.width())
    }

    fn strips(&self) -> usize {
        self.layer.geometry.locations() as usize / self.width() * self.width().div_ceil(self.together())
    }

    fn strip(&self, index: usize) -> Strip {
        let together = self.together();
        let strips = self.width().div_ceil(together);
        let (outer, first) = (index / strips, index % strips * together);
        let along = first..self.width().min(first + together);
        Strip { first: outer * self.width() + first, outer, along }
    }

    /// A guess of the nanoseconds of a strip.
    fn nanoseconds(&self) -> u64 {
        let window = u64::from(self.layer.geometry.window());
        (self.together() as u64 * (window + 1) * self.batch as u64 / 2).max(1)
    }

    fn window(&self) -> usize {
        self.layer.geometry.window() as usize
    }

    /// Those of a strip that lie evenly, and the others.
    fn parts(&self, strip: &Strip) -> (Range<usize>, impl Iterator<Item = usize> + Clone + use<>) {
        let first = strip.along.start.max(self.even.locations.0).min(strip.along.end);
        let end = strip.along.end.min(self.even.locations.1).max(first);
        (first..end, (strip.along.start..first).chain(end..strip.along.end))
    }

    /// Place in a sample of the first input of an even window.
    fn input(&self, along: usize) -> usize {
        self.even.input + (along - self.even.locations.0) * self.even.step
    }
}

/// `output = activation(weights · window of input + bias)`.
pub(super) fn forward(
    team: &Team,
    narrow: Narrow<'_>,
    operands: (&[f32], &[f32], Option<&[f32]>),
    activation: Activation,
    output: &mut [f32],
) {
    let output = Shared::new(output);
    let (input, weights, bias) = operands;
    team.each(narrow.strips(), narrow.nanoseconds(), |span| Forward {
        narrow,
        input,
        weights,
        bias,
        activation,
        output,
        span,
    });
}

struct Forward<'a> {
    narrow: Narrow<'a>,
    input: &'a [f32],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    activation: Activation,
    output: Shared<'a>,
    span: Span,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { narrow, weights, .. } = self;
        let geometry = &narrow.layer.geometry;
        let (inputs, outputs, window) = (geometry.inputs() as usize, geometry.outputs() as usize, narrow.window());
        for index in self.span.first..self.span.end {
            let strip = narrow.strip(index);
            let (even, others) = narrow.parts(&strip);
            // Where an inner location lies among all.
            let place = |along: usize| strip.first + along - strip.along.start;
            for sample in 0..narrow.batch {
                let input = &self.input[sample * inputs..][..inputs];
                // SAFETY: strips are apart.
                let output = unsafe { self.output.part(sample * outputs + strip.first, strip.along.len()) };
                match (self.bias, geometry.config().bias) {
                    (None, _) | (_, Bias::None) => output.fill(0.0),
                    (Some(bias), Bias::PerLocation) => output.copy_from_slice(&bias[strip.first..][..output.len()]),
                    (Some(bias), Bias::PerFilter) => output.fill(bias[0]),
                }
                for along in others.clone() {
                    let sum = &mut output[along - strip.along.start];
                    for Run { input: first, row, length } in narrow.layer.windows.runs(place(along)) {
                        let weights = &weights[place(along) * window + row..][..length];
                        for (weight, input) in weights.iter().zip(&input[first..][..length]) {
                            *sum = multiply_add::<S>(*input, *weight, *sum);
                        }
                    }
                }
                if !even.is_empty() {
                    let sums = &mut output[even.start - strip.along.start..][..even.len()];
                    for &[offset, row] in narrow.layer.windows.outer(strip.outer) {
                        let input = &input[offset + narrow.input(even.start)..];
                        let weights = &weights[place(even.start) * window + row..];
                        let Even { step, length, .. } = narrow.even;
                        match length {
                            1 => dots::<S, 1>(sums, (input, step), (weights, window), length),
                            2 => dots::<S, 2>(sums, (input, step), (weights, window), length),
                            3 => dots::<S, 3>(sums, (input, step), (weights, window), length),
                            4 => dots::<S, 4>(sums, (input, step), (weights, window), length),
                            _ => dots::<S, 0>(sums, (input, step), (weights, window), length),
                        }
                    }
                }
                functions::activate(output, self.activation);
            }
        }
    }
}

/// Adds to each sum the products of its inputs and weights, each sum's some steps after those of the sum before. `LENGTH` is
/// `length` where it is known when this is compiled, else 0.
#[inline(always)]
fn dots<S: Simd, const LENGTH: usize>(
    sums: &mut [f32],
    (inputs, step): (&[f32], usize),
    (weights, window): (&[f32], usize),
    length: usize,
) {
    if LENGTH == 0 {
        for (sum, at) in sums.iter_mut().zip(0..) {
            *sum += dot::<S>(&inputs[at * step..][..length], &weights[at * window..][..length]);
        }
        return;
    }
    let mut blocks = sums.chunks_exact_mut(AT_ONCE);
    let mut first = 0;
    for block in &mut blocks {
        let mut sums: [f32; AT_ONCE] = std::array::from_fn(|j| block[j]);
        let inputs: [&[f32]; AT_ONCE] = std::array::from_fn(|j| &inputs[(first + j) * step..][..LENGTH]);
        let weights: [&[f32]; AT_ONCE] = std::array::from_fn(|j| &weights[(first + j) * window..][..LENGTH]);
        for k in 0..LENGTH {
            for j in 0..AT_ONCE {
                sums[j] = multiply_add::<S>(inputs[j][k], weights[j][k], sums[j]);
            }
        }
        block.copy_from_slice(&sums);
        first += AT_ONCE;
    }
    for sum in blocks.into_remainder() {
        for (input, weight) in inputs[first * step..][..LENGTH].iter().zip(&weights[first * window..][..LENGTH]) {
            *sum = multiply_add::<S>(*input, *weight, *sum);
        }
        first += 1;
    }
}

/// The sum of products, in [`PARTS`] sums that are added in pairs.
#[inline(always)]
fn dot<S: Simd>(inputs: &[f32], weights: &[f32]) -> f32 {
    let mut parts = [0.0; PARTS];
    let (inputs, last_inputs) = inputs.as_chunks::<PARTS>();
    let (weights, last_weights) = weights.as_chunks::<PARTS>();
    for (inputs, weights) in inputs.iter().zip(weights) {
        for i in 0..PARTS {
            parts[i] = multiply_add::<S>(inputs[i], weights[i], parts[i]);
        }
    }
    for (part, (input, weight)) in parts.iter_mut().zip(last_inputs.iter().zip(last_weights)) {
        *part = multiply_add::<S>(*input, *weight, *part);
    }
    let [a, b, c, d] = parts;
    (a + c) + (b + d)
}

/// Each weight's sum over the batch of its input times its output's gradient.
pub(super) fn grad_weights(
    team: &Team,
    narrow: Narrow<'_>,
    (input, grad_output): (&[f32], &[f32]),
    accumulate: bool,
    grad_weights: &mut [f32],
) {
    let grad_weights = Shared::new(grad_weights);
    team.each(narrow.strips(), narrow.nanoseconds(), |span| GradWeights {
        narrow,
        input,
        grad_output,
        accumulate,
        grad_weights,
        span,
    });
}

struct GradWeights<'a> {
    narrow: Narrow<'a>,
    input: &'a [f32],
    grad_output: &'a [f32],
    accumulate: bool,
    grad_weights: Shared<'a>,
    span: Span,
}

impl WithSimd for GradWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { narrow, .. } = self;
        let geometry = &narrow.layer.geometry;
        let (inputs, outputs, window) = (geometry.inputs() as usize, geometry.outputs() as usize, narrow.window());
        for index in self.span.first..self.span.end {
            let strip = narrow.strip(index);
            let (even, others) = narrow.parts(&strip);
            // SAFETY: strips are apart.
            let written = unsafe { self.grad_weights.part(strip.first * window, strip.along.len() * window) };
            if !self.accumulate {
                written.fill(0.0);
            }
            for sample in 0..narrow.batch {
                let input = &self.input[sample * inputs..][..inputs];
                let grads = &self.grad_output[sample * outputs + strip.first..][..strip.along.len()];
                for along in others.clone() {
                    let at = along - strip.along.start;
                    for Run { input: first, row, length } in narrow.layer.windows.runs(strip.first + at) {
                        add::<S, 0>(&mut written[at * window + row..][..length], &input[first..][..length], grads[at]);
                    }
                }
                if even.is_empty() {
                    continue;
                }
                let at = even.start - strip.along.start;
                let grads = &grads[at..][..even.len()];
                for &[offset, row] in narrow.layer.windows.outer(strip.outer) {
                    let input = (&input[offset + narrow.input(even.start)..], narrow.even.step);
                    let written = (&mut written[at * window + row..], window);
                    match narrow.even.length {
                        1 => spread::<S, 1>(written, input, grads, 1),
                        2 => spread::<S, 2>(written, input, grads, 2),
                        3 => spread::<S, 3>(written, input, grads, 3),
                        4 => spread::<S, 4>(written, input, grads, 4),
                        length => spread::<S, 0>(written, input, grads, length),
                    }
                }
            }
        }
    }
}

/// Adds `values · factor` to `sums`; `LENGTH` is their number where it is known when this is compiled, else 0.
#[inline(always)]
fn add<S: Simd, const LENGTH: usize>(sums: &mut [f32], values: &[f32], factor: f32) {
    if LENGTH > 0 {
        for (sum, value) in sums[..LENGTH].iter_mut().zip(&values[..LENGTH]) {
            *sum = multiply_add::<S>(*value, factor, *sum);
        }
        return;
    }
    // A window may be too short for whole vectors of any size but this.
    let (sums, last_sums) = sums.as_chunks_mut::<PARTS>();
    let (values, last_values) = values.as_chunks::<PARTS>();
    for (sums, values) in sums.iter_mut().zip(values) {
        for i in 0..PARTS {
            sums[i] = multiply_add::<S>(values[i], factor, sums[i]);
        }
    }
    for (sum, value) in last_sums.iter_mut().zip(last_values) {
        *sum = multiply_add::<S>(*value, factor, *sum);
    }
}

/// [`add`] for each factor, sums and values each some steps after those of the factor before.
#[inline(always)]
fn spread<S: Simd, const LENGTH: usize>(
    (sums, sum_step): (&mut [f32], usize),
    (values, value_step): (&[f32], usize),
    factors: &[f32],
    length: usize,
) {
    for (factor, at) in factors.iter().zip(0..) {
        let (sums, values) = (&mut sums[at * sum_step..][..length], &values[at * value_step..][..length]);
        add::<S, LENGTH>(sums, values, *factor);
    }
}

/// Each input element's sum over the locations that read it of weights times their gradient; of layers of one axis.
pub(super) fn grad_input(
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
    /// Inputs of a piece.
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
                self.piece::<S>(sums, &owned, grads);
            }
        }
    }
}

impl GradInput<'_> {
    /// Adds to the `sums` of the inputs `owned` what comes from each location, in their order.
    #[inline(always)]
    fn piece<S: Simd>(&self, sums: &mut [f32], owned: &Range<usize>, grads: &[f32]) {
        let Even { locations: (first, end), input, step, length } = self.narrow.even;
        let window = self.narrow.window();
        // Even windows that begin within the piece and end there are added whole, the others as far as they lie in it.
        let begin_at = |input_at: usize| first + input_at.saturating_sub(input).div_ceil(step);
        let whole = begin_at(owned.start).clamp(first, end);
        let past = begin_at((owned.end + 1).saturating_sub(length)).clamp(whole, end);
        let before = whole.saturating_sub(length.div_ceil(step)).max(first);
        let behind = (past + length.div_ceil(step)).min(end);
        for location in (0..first).chain(before..whole) {
            self.clipped::<S>(sums, owned, location, grads);
        }
        if whole < past {
            let sums = (&mut sums[self.narrow.input(whole) - owned.start..], step);
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
            self.clipped::<S>(sums, owned, location, grads);
        }
    }

    /// What comes from one location, as far as the piece has its inputs.
    #[inline(always)]
    fn clipped<S: Simd>(&self, sums: &mut [f32], owned: &Range<usize>, location: usize, grads: &[f32]) {
        for run in self.narrow.layer.windows.runs(location) {
            let (first, end) = (run.input.max(owned.start), (run.input + run.length).min(owned.end));
            if first < end {
                let weights = &self.weights[location * self.narrow.window() + run.row + first - run.input..];
                add::<S, 0>(
                    &mut sums[first - owned.start..end - owned.start],
                    &weights[..end - first],
                    grads[location],
                );
            }
        }
    }
}

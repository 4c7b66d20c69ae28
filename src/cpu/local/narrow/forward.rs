//! The forward pass of layers of one filter.

use super::strips::Narrow;
use super::sums::{dots, multiply_add};
use crate::config::{Activation, Bias};
use crate::cpu::functions;
use crate::cpu::local::fetch::{fetch_lines, fetch_lines_to_write};
use crate::cpu::local::windows::{Even, Run};
use crate::cpu::shared::Shared;
use crate::cpu::team::{Span, Team};
use pulp::{Simd, WithSimd};

/// Operands of a forward pass with 32-bit weights.
#[derive(Clone, Copy)]
pub(in crate::cpu::local) struct ForwardOperands<'a> {
    pub(in crate::cpu::local) input: &'a [f32],
    pub(in crate::cpu::local) weights: &'a [f32],
    pub(in crate::cpu::local) bias: Option<&'a [f32]>,
    pub(in crate::cpu::local) activation: Activation,
}

/// `output = activation(weights · window of input + bias)`.
pub(in crate::cpu::local) fn forward(
    team: &Team,
    narrow: Narrow<'_>,
    operands: ForwardOperands<'_>,
    output: &mut [f32],
) {
    let output = Shared::new(output);
    team.each(narrow.strips(), narrow.nanoseconds(), |span| Forward { team, narrow, operands, output, span });
}

struct Forward<'a> {
    team: &'a Team,
    narrow: Narrow<'a>,
    operands: ForwardOperands<'a>,
    output: Shared<'a>,
    span: Span,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { narrow, operands: ForwardOperands { input, weights, bias, activation }, .. } = self;
        let geometry = &narrow.layer.geometry;
        let (inputs, outputs, window) = (geometry.inputs() as usize, geometry.outputs() as usize, narrow.window());
        let mut room = self.team.room();
        for index in self.span.first..self.span.end {
            let strip = narrow.strip(index);
            let (even, others) = narrow.parts(&strip);
            let own = &weights[(strip.first + even.start - strip.along.start) * window..][..even.len() * window];
            let planes = narrow.planes(&mut room.floats, own);
            // The number among all locations of a location along the inner axis.
            let place = |along: usize| strip.first + along - strip.along.start;
            for sample in 0..narrow.batch {
                let input = &input[sample * inputs..][..inputs];
                // SAFETY: strips are apart.
                let output = unsafe { self.output.part(sample * outputs + strip.first, strip.along.len()) };
                match (bias, geometry.config().bias) {
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
                for offsets in narrow.layer.windows.outer(strip.outer) {
                    let [offset, row] = offsets.map(|offset| offset as usize);
                    let Even { step, length, .. } = narrow.even;
                    for some in narrow.between_fetches(even.clone()) {
                        let sums = &mut output[some.start - strip.along.start..][..some.len()];
                        let input = &input[offset + narrow.input(some.start)..];
                        if narrow.fetches() {
                            let next = narrow.next(input.as_ptr(), sample, [inputs, even.len() * step]);
                            fetch_lines(next, some.len() * step);
                            let next = narrow.next(sums.as_ptr(), sample, [outputs, even.len()]);
                            fetch_lines_to_write(next, some.len());
                        }
                        if let Some(planes) = &planes {
                            planes.dots::<S>(sums, input, [some.start - even.start, row, length]);
                            continue;
                        }
                        let weights = &weights[place(some.start) * window + row..];
                        match length {
                            1 => dots::<S, 1>(sums, (input, step), (weights, window), length),
                            2 => dots::<S, 2>(sums, (input, step), (weights, window), length),
                            3 => dots::<S, 3>(sums, (input, step), (weights, window), length),
                            4 => dots::<S, 4>(sums, (input, step), (weights, window), length),
                            _ => dots::<S, 0>(sums, (input, step), (weights, window), length),
                        }
                    }
                }
                functions::activate(output, activation);
            }
        }
    }
}

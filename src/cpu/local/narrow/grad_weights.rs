//! Weights' gradients of layers of one filter.

use super::strips::Narrow;
use super::sums::{add, spread};
use crate::cpu::local::GradWeightsOperands;
use crate::cpu::local::fetch::fetch_lines;
use crate::cpu::local::gradient::Gradient;
use crate::cpu::local::windows::{Even, Run};
use crate::cpu::team::{Room, Span, Team};
use pulp::{Simd, WithSimd};

/// Each weight's gradient: a sum over the batch of its input times its output's gradient. It is kept, or the weights
/// are updated by it.
pub(in crate::cpu::local) fn grad_weights(
    team: &Team,
    narrow: Narrow<'_>,
    operands: GradWeightsOperands<'_>,
    gradient: Gradient<'_>,
) {
    team.each(narrow.strips(), narrow.nanoseconds(), |span| GradWeights { team, narrow, operands, gradient, span });
}

struct GradWeights<'a> {
    team: &'a Team,
    narrow: Narrow<'a>,
    operands: GradWeightsOperands<'a>,
    gradient: Gradient<'a>,
    span: Span,
}

impl WithSimd for GradWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { narrow, operands, gradient, .. } = self;
        let geometry = &narrow.layer.geometry;
        let (inputs, outputs, window) = (geometry.inputs() as usize, geometry.outputs() as usize, narrow.window());
        let mut room = self.team.room();
        let Room { floats, gradient: own, .. } = &mut *room;
        for index in self.span.first..self.span.end {
            let strip = narrow.strip(index);
            let (even, others) = narrow.parts(&strip);
            let weights = strip.along.len() * window;
            let place = gradient.place(strip.first * window, weights, own);
            // SAFETY: strips are apart.
            let written = unsafe { place.values.part(place.first, weights) };
            if !gradient.accumulates() {
                written.fill(0.0);
            }
            // Those of windows that are equally far apart.
            let at = even.start - strip.along.start;
            let of_even = at * window..(at + even.len()) * window;
            let mut planes = narrow.planes(floats, &written[of_even.clone()]);
            for sample in 0..narrow.batch {
                let input = &operands.input[sample * inputs..][..inputs];
                let grads = &operands.grad_output[sample * outputs + strip.first..][..strip.along.len()];
                for other in others.clone().map(|along| along - strip.along.start) {
                    for Run { input: first, row, length } in narrow.layer.windows.runs(strip.first + other) {
                        let written = &mut written[other * window + row..][..length];
                        add::<S, true>(simd, written, &input[first..][..length], grads[other]);
                    }
                }
                for offsets in narrow.layer.windows.outer(strip.outer) {
                    let [offset, row] = offsets.map(|offset| offset as usize);
                    let Even { step, length, .. } = narrow.even;
                    if let Some(planes) = &mut planes {
                        let input = &input[offset + narrow.input(even.start)..];
                        planes.add::<S>(input, &grads[at..][..even.len()], [row, length]);
                        continue;
                    }
                    for some in narrow.between_fetches(even.clone()) {
                        let input = &input[offset + narrow.input(some.start)..];
                        if narrow.fetches() {
                            fetch_lines(
                                narrow.next(input.as_ptr(), sample, [inputs, even.len() * step]),
                                some.len() * step,
                            );
                        }
                        let first = some.start - strip.along.start;
                        let grads = &grads[first..][..some.len()];
                        let written = (&mut written[first * window + row..], window);
                        match length {
                            1 => spread::<S, 1, true>(simd, written, (input, step), (grads, 1)),
                            2 => spread::<S, 2, true>(simd, written, (input, step), (grads, 2)),
                            3 => spread::<S, 3, true>(simd, written, (input, step), (grads, 3)),
                            4 => spread::<S, 4, true>(simd, written, (input, step), (grads, 4)),
                            _ => spread::<S, 0, true>(simd, written, (input, step), (grads, length)),
                        }
                    }
                }
            }
            if let Some(planes) = planes {
                planes.put(&mut written[of_even], window);
            }
            // SAFETY: strips are apart, and this one's sums are done.
            unsafe { place.finish(simd) };
        }
    }
}

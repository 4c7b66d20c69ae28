//! `Update`, `MovingAverage`, `PenaltyGrad` and `NonNegative`: element by element, each array passed once.

use super::shared::Shared;
use super::team::{Span, Team};
use crate::ops::{MovingAverage, PenaltyGrad, Rule, StepNumbers, Update};
use pulp::{Simd, WithSimd};

/// Elements of a piece.
const PIECE: usize = 4096;

/// What an update reads besides its gradient.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub(super) step: StepNumbers,
    pub(super) scale: Option<f32>,
}

/// A parameter and its states after a step of an optimizer.
pub(super) fn update(
    team: &Team,
    o: &Update,
    Numbers { step, scale }: Numbers,
    gradient: &[f32],
    parameter: &mut [f32],
    states: &mut [Vec<f32>],
) {
    let rate = step.learning_rate;
    let (scale, most) = (scale.unwrap_or(1.0), o.clip_value.unwrap_or(f32::INFINITY));
    // Not `clamp`: of NaN nothing is made.
    let clipped = move |g: f32| {
        let g = g * scale;
        if g > most {
            most
        } else if g < -most {
            -most
        } else {
            g
        }
    };
    let decay = o.weight_decay.map(|decay| decay as f32);
    let decayed = move |w: f32| match decay {
        Some(decay) => w - w * decay * rate,
        None => w,
    };
    let pass = Pass { team, gradient, parameter };
    match (o.rule, states) {
        (Rule::Sgd { momentum, nesterov }, [m, ..]) => {
            let momentum = momentum as f32;
            pass.each([m], move |g, w, [m]| {
                let g = clipped(g);
                let m = momentum * m - rate * g;
                let change = if nesterov { momentum * m - rate * g } else { m };
                (decayed(w) + change, [m])
            });
        }
        (Rule::Sgd { .. }, []) => pass.each([], move |g, w, []| (decayed(w) - rate * clipped(g), [])),
        (Rule::Adam { beta_1, beta_2, epsilon, .. }, [m, v, rest @ ..]) => {
            let [keep_1, keep_2, epsilon] = [1.0 - beta_1, 1.0 - beta_2, epsilon].map(|number| number as f32);
            let rate = rate * step.correction;
            let moments = move |g: f32, m: f32, v: f32| (m + (g - m) * keep_1, v + (g * g - v) * keep_2);
            match rest {
                [largest, ..] => pass.each([m, v, largest], move |g, w, [m, v, largest]| {
                    let (m, v) = moments(clipped(g), m, v);
                    // NaN stays.
                    let largest = if largest >= v || largest.is_nan() { largest } else { v };
                    (decayed(w) - m * rate / (largest.sqrt() + epsilon), [m, v, largest])
                }),
                [] => pass.each([m, v], move |g, w, [m, v]| {
                    let (m, v) = moments(clipped(g), m, v);
                    (decayed(w) - m * rate / (v.sqrt() + epsilon), [m, v])
                }),
            }
        }
        (Rule::RmsProp { rho, momentum, epsilon, centered }, [v, rest @ ..]) => {
            let [kept, share, momentum, epsilon] = [rho, 1.0 - rho, momentum, epsilon].map(|number| number as f32);
            let average = move |a: f32, x: f32| kept * a + share * x;
            match (rest, centered) {
                ([q, a, ..], _) => pass.each([v, q, a], move |g, w, [v, q, a]| {
                    let g = clipped(g);
                    let (v, a) = (average(v, g * g), average(a, g));
                    let q = momentum * q + rate * g / (v - a * a + epsilon).sqrt();
                    (decayed(w) - q, [v, q, a])
                }),
                ([a], true) => pass.each([v, a], move |g, w, [v, a]| {
                    let g = clipped(g);
                    let (v, a) = (average(v, g * g), average(a, g));
                    (decayed(w) - rate * g / (v - a * a + epsilon).sqrt(), [v, a])
                }),
                ([q], false) => pass.each([v, q], move |g, w, [v, q]| {
                    let g = clipped(g);
                    let v = average(v, g * g);
                    let q = momentum * q + rate * g / (v + epsilon).sqrt();
                    (decayed(w) - q, [v, q])
                }),
                ([], _) => pass.each([v], move |g, w, [v]| {
                    let g = clipped(g);
                    let v = average(v, g * g);
                    (decayed(w) - rate * g / (v + epsilon).sqrt(), [v])
                }),
            }
        }
        // A program whose rule has other states is refused.
        (Rule::Adam { .. } | Rule::RmsProp { .. }, _) => {}
    }
}

/// An average after one more value.
pub(super) fn moving_average(team: &Team, o: &MovingAverage, batch: u32, value: &[f32], average: &mut [f32]) {
    let (kept, share) = (o.momentum as f32, o.share(batch) as f32);
    let pass = Pass { team, gradient: value, parameter: average };
    if kept == 0.0 {
        return pass.each([], move |value, _, []| (share * value, []));
    }
    pass.each([], move |value, average, []| (kept * average + share * value, []));
}

/// The gradient of a penalty.
pub(super) fn penalty_grad(team: &Team, o: &PenaltyGrad, step: Option<StepNumbers>, of: &[f32], output: &mut [f32]) {
    let share = step.map_or(1.0, |step| step.per_sample);
    let (l1, l2) = (o.l1, 2.0 * o.l2);
    let gradient = move |x: f32| {
        let sign = if x > 0.0 {
            1.0
        } else if x < 0.0 {
            -1.0
        } else {
            x
        };
        (l1 * sign + l2 * x) * share
    };
    let pass = Pass { team, gradient: of, parameter: output };
    if o.accumulate {
        return pass.each([], move |x, sum, []| (sum + gradient(x), []));
    }
    pass.each([], move |x, _, []| (gradient(x), []));
}

/// Nothing below 0.
pub(super) fn non_negative(team: &Team, parameter: &mut [f32]) {
    let pieces = parameter.len().div_ceil(PIECE);
    let (length, parameter) = (parameter.len(), Shared::new(parameter));
    team.each(pieces, PIECE as u64 / 4, |span| Positive { span, length, parameter });
}

struct Positive<'a> {
    span: Span,
    length: usize,
    parameter: Shared<'a>,
}

impl WithSimd for Positive<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let first = self.span.first * PIECE;
        // SAFETY: spans are apart.
        let values = unsafe { self.parameter.part(first, (self.span.end * PIECE).min(self.length) - first) };
        // NaN stays.
        values.iter_mut().for_each(|w| *w *= if *w >= 0.0 { 1.0 } else { 0.0 });
    }
}

/// One pass over a parameter, what lies beside it and its states.
struct Pass<'a> {
    team: &'a Team,
    gradient: &'a [f32],
    parameter: &'a mut [f32],
}

impl Pass<'_> {
    /// Calls `change` with each element's gradient, value and states; it gives the new ones.
    fn each<const N: usize>(
        self,
        states: [&mut Vec<f32>; N],
        change: impl Fn(f32, f32, [f32; N]) -> (f32, [f32; N]) + Sync,
    ) {
        let length = self.parameter.len();
        let states = states.map(|state| Shared::new(state));
        let (gradient, parameter, change) = (self.gradient, Shared::new(self.parameter), &change);
        // Bytes decide: some 5 a nanosecond.
        let nanoseconds = PIECE.min(length.max(1)) * (3 + 2 * N) * 4 / 5;
        self.team.each(length.div_ceil(PIECE), nanoseconds as u64, |span| Pieces {
            span,
            length,
            gradient,
            parameter,
            states,
            change,
        });
    }
}

struct Pieces<'a, const N: usize, F> {
    span: Span,
    length: usize,
    gradient: &'a [f32],
    parameter: Shared<'a>,
    states: [Shared<'a>; N],
    change: &'a F,
}

impl<const N: usize, F: Fn(f32, f32, [f32; N]) -> (f32, [f32; N])> WithSimd for Pieces<'_, N, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let first = self.span.first * PIECE;
        let length = (self.span.end * PIECE).min(self.length) - first;
        // SAFETY: spans are apart, and so are the arrays.
        let parameter = unsafe { self.parameter.part(first, length) };
        // SAFETY: as of the parameter.
        let mut states = self.states.map(|state| unsafe { state.part(first, length) });
        let gradient = &self.gradient[first..][..length];
        for i in 0..length {
            let before = std::array::from_fn(|slot| states[slot][i]);
            let (value, after) = (self.change)(gradient[i], parameter[i], before);
            parameter[i] = value;
            for (state, after) in states.iter_mut().zip(after) {
                state[i] = after;
            }
        }
    }
}

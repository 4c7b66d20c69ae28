//! Updates of parameters by their gradients, a piece at a time. All routines that have a gradient update by this one,
//! so that the bits don't depend on which of them it is.

use super::shared::Shared;
use crate::ops::{Change, Rule, StepNumbers};
use pulp::{Simd, WithSimd};

/// Most states that an optimizer keeps of a parameter.
pub(super) const MOST_STATES: usize = 3;

/// A [`Change`] in one step, with its numbers as 32-bit floats.
#[derive(Clone, Copy)]
pub(super) struct Changing {
    rule: Rule,
    rate: f32,
    correction: f32,
    scale: f32,
    most: f32,
    decay: Option<f32>,
    /// The factor of signs, and twice the factor of squares.
    penalty: Option<[f32; 2]>,
}

impl Changing {
    /// Gradients are first multiplied by `scale`, if there is one.
    pub(super) fn new(o: &Change, step: StepNumbers, scale: Option<f32>) -> Self {
        Self {
            rule: o.rule,
            rate: step.learning_rate,
            correction: step.correction,
            scale: scale.unwrap_or(1.0),
            most: o.clip_value.unwrap_or(f32::INFINITY),
            decay: o.weight_decay.map(|decay| decay as f32),
            penalty: o.is_penalised().then_some([o.l1, 2.0 * o.l2]),
        }
    }

    /// A weight's gradient as the rule takes it: scaled, with its penalty's, clipped.
    #[inline(always)]
    fn clipped(&self, gradient: f32, weight: f32) -> f32 {
        let g = gradient * self.scale;
        let g = match self.penalty {
            Some(penalty) => g + slope(penalty, weight),
            None => g,
        };
        // `clamp` would do otherwise with NaN, which must stay.
        if g > self.most {
            self.most
        } else if g < -self.most {
            -self.most
        } else {
            g
        }
    }

    #[inline(always)]
    fn decayed(&self, weight: f32) -> f32 {
        match self.decay {
            Some(decay) => weight - weight * decay * self.rate,
            None => weight,
        }
    }
}

/// The derivative of `l1·|x| + l2·x²`, where the second number is twice that `l2`.
#[inline(always)]
pub(super) fn slope([l1, l2]: [f32; 2], x: f32) -> f32 {
    let sign = if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    };
    l1 * sign + l2 * x
}

/// A parameter and its states, of which each thread changes a part.
#[derive(Clone, Copy)]
pub(super) struct Changed<'a> {
    changing: Changing,
    parameter: Shared<'a>,
    states: [Option<Shared<'a>>; MOST_STATES],
}

impl<'a> Changed<'a> {
    pub(super) fn new(changing: Changing, parameter: &'a mut [f32], states: &'a mut [Vec<f32>]) -> Self {
        let mut states = states.iter_mut();
        let states = std::array::from_fn(|_| states.next().map(|state| Shared::new(state)));
        Self { changing, parameter: Shared::new(parameter), states }
    }

    /// How many states there are.
    pub(super) fn states(&self) -> usize {
        self.states.iter().flatten().count()
    }

    /// Changes the elements from `first` on by these gradients.
    ///
    /// # Safety
    /// No other thread changes any of them meanwhile.
    #[inline(always)]
    pub(super) unsafe fn change<S: Simd>(&self, simd: S, first: usize, gradient: &[f32]) {
        // SAFETY: the caller vouches that nobody else has these elements.
        let part = |all: Shared<'a>| unsafe { all.part(first, gradient.len()) };
        let states = self.states.map(|state| state.map_or(&mut [][..], part));
        // So that it is compiled for each processor's instructions, whoever calls it.
        simd.vectorize(Elements { changing: self.changing, gradient, parameter: part(self.parameter), states });
    }
}

/// Neighbouring elements: gradients, weights and states. A state that the rule doesn't keep is empty.
struct Elements<'a> {
    changing: Changing,
    gradient: &'a [f32],
    parameter: &'a mut [f32],
    states: [&'a mut [f32]; MOST_STATES],
}

impl WithSimd for Elements<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { changing: by, gradient, parameter, states: [a, b, c] } = self;
        let weights = Weights { gradient, parameter };
        let rate = by.rate;
        match by.rule {
            Rule::Sgd { momentum: 0.0, .. } => {
                weights.each([], |g, w, []| (by.decayed(w) - rate * by.clipped(g, w), []));
            }
            Rule::Sgd { momentum, nesterov } => {
                let momentum = momentum as f32;
                weights.each([a], |g, w, [m]| {
                    let g = by.clipped(g, w);
                    let m = momentum * m - rate * g;
                    let change = if nesterov { momentum * m - rate * g } else { m };
                    (by.decayed(w) + change, [m])
                });
            }
            Rule::Adam { beta_1, beta_2, epsilon, amsgrad } => {
                let [keep_1, keep_2, epsilon] = [1.0 - beta_1, 1.0 - beta_2, epsilon].map(|number| number as f32);
                let rate = rate * by.correction;
                let moments = |g: f32, m: f32, v: f32| (m + (g - m) * keep_1, v + (g * g - v) * keep_2);
                if !amsgrad {
                    return weights.each([a, b], |g, w, [m, v]| {
                        let (m, v) = moments(by.clipped(g, w), m, v);
                        (by.decayed(w) - m * rate / (v.sqrt() + epsilon), [m, v])
                    });
                }
                weights.each([a, b, c], |g, w, [m, v, largest]| {
                    let (m, v) = moments(by.clipped(g, w), m, v);
                    // NaN stays.
                    let largest = if largest >= v || largest.is_nan() { largest } else { v };
                    (by.decayed(w) - m * rate / (largest.sqrt() + epsilon), [m, v, largest])
                });
            }
            Rule::RmsProp { rho, momentum, epsilon, centered } => {
                let has_momentum = momentum > 0.0;
                let [kept, share, momentum, epsilon] = [rho, 1.0 - rho, momentum, epsilon].map(|number| number as f32);
                let average = |a: f32, x: f32| kept * a + share * x;
                match (has_momentum, centered) {
                    (true, true) => weights.each([a, b, c], |g, w, [v, q, a]| {
                        let g = by.clipped(g, w);
                        let (v, a) = (average(v, g * g), average(a, g));
                        let q = momentum * q + rate * g / (v - a * a + epsilon).sqrt();
                        (by.decayed(w) - q, [v, q, a])
                    }),
                    (false, true) => weights.each([a, b], |g, w, [v, a]| {
                        let g = by.clipped(g, w);
                        let (v, a) = (average(v, g * g), average(a, g));
                        (by.decayed(w) - rate * g / (v - a * a + epsilon).sqrt(), [v, a])
                    }),
                    (true, false) => weights.each([a, b], |g, w, [v, q]| {
                        let g = by.clipped(g, w);
                        let v = average(v, g * g);
                        let q = momentum * q + rate * g / (v + epsilon).sqrt();
                        (by.decayed(w) - q, [v, q])
                    }),
                    (false, false) => weights.each([a], |g, w, [v]| {
                        let g = by.clipped(g, w);
                        let v = average(v, g * g);
                        (by.decayed(w) - rate * g / (v + epsilon).sqrt(), [v])
                    }),
                }
            }
        }
    }
}

/// Weights and their gradients.
struct Weights<'a> {
    gradient: &'a [f32],
    parameter: &'a mut [f32],
}

impl Weights<'_> {
    /// Calls `change` with each element's gradient, value and states, and stores the value and states that it returns.
    #[inline(always)]
    fn each<const N: usize>(self, states: [&mut [f32]; N], change: impl Fn(f32, f32, [f32; N]) -> (f32, [f32; N])) {
        let Self { gradient, parameter } = self;
        let length = gradient.len();
        let (parameter, mut states) = (&mut parameter[..length], states.map(|state| &mut state[..length]));
        for i in 0..length {
            let before = std::array::from_fn(|slot| states[slot][i]);
            let (value, after) = change(gradient[i], parameter[i], before);
            parameter[i] = value;
            for (state, after) in states.iter_mut().zip(after) {
                state[i] = after;
            }
        }
    }
}

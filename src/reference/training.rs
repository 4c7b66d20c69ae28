//! Updates of parameters by their gradients.

use super::penalty::slope;
use crate::ops::{Change, MovingAverage, Rule, StepNumbers};

/// What [`update`] reads besides the change.
#[derive(Debug, Clone, Copy)]
pub struct UpdateOperands<'a> {
    /// The gradient, laid out as the parameter.
    pub gradient: &'a [f64],
    /// The parameter before the step.
    pub parameter: &'a [f64],
    /// The optimizer's states of it, in the order of [`Rule::slots`].
    pub states: &'a [&'a [f64]],
    /// The step's numbers.
    pub step: StepNumbers,
    /// The gradient's factor.
    pub scale: Option<f64>,
}

/// The parameter and its states after an update by a gradient.
#[must_use]
pub fn update(o: &Change, of: UpdateOperands<'_>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let UpdateOperands { gradient, parameter, states, step, scale } = of;
    let rate = f64::from(step.learning_rate);
    let clipped = |g: f64| match (scale, o.clip_value.map(f64::from)) {
        (Some(scale), _) => g * scale,
        // Not `clamp`: NaN must stay.
        (None, Some(most)) if g > most => most,
        (None, Some(most)) if g < -most => -most,
        _ => g,
    };
    let decayed = |w: f64| w - w * o.weight_decay.unwrap_or(0.0) * rate;
    let mut after: Vec<f64> = parameter.iter().map(|&w| decayed(w)).collect();
    let mut states: Vec<Vec<f64>> = states.iter().map(|state| state.to_vec()).collect();
    for (at, w) in after.iter_mut().enumerate() {
        let mut g = gradient[at];
        if o.is_penalised() {
            g += slope([o.l1, o.l2], parameter[at]);
        }
        let g = clipped(g);
        match o.rule {
            Rule::Sgd { momentum, nesterov } => {
                let Some(m) = states.first_mut().map(|m| &mut m[at]) else {
                    *w -= rate * g;
                    continue;
                };
                *m = momentum * *m - rate * g;
                *w += if nesterov { momentum * *m - rate * g } else { *m };
            }
            Rule::Adam { beta_1, beta_2, epsilon, amsgrad } => {
                states[0][at] += (g - states[0][at]) * (1.0 - beta_1);
                states[1][at] += (g * g - states[1][at]) * (1.0 - beta_2);
                let mut v = states[1][at];
                if amsgrad {
                    let largest = states[2][at];
                    v = if v.is_nan() || largest.is_nan() { f64::NAN } else { v.max(largest) };
                    states[2][at] = v;
                }
                *w -= states[0][at] * rate * f64::from(step.correction) / (v.sqrt() + epsilon);
            }
            Rule::RmsProp { rho, momentum, epsilon, centered } => {
                states[0][at] = rho * states[0][at] + (1.0 - rho) * g * g;
                let mut denominator = states[0][at] + epsilon;
                if centered && let Some(a) = states.last_mut().map(|a| &mut a[at]) {
                    *a = rho * *a + (1.0 - rho) * g;
                    denominator -= *a * *a;
                }
                let mut increment = rate * g / denominator.sqrt();
                if momentum > 0.0 {
                    states[1][at] = momentum * states[1][at] + increment;
                    increment = states[1][at];
                }
                *w -= increment;
            }
        }
    }
    (after, states)
}

/// An average after a new value was averaged into it.
#[must_use]
pub fn moving_average(o: &MovingAverage, value: &[f64], average: &[f64], batch: u32) -> Vec<f64> {
    if o.momentum == 0.0 && o.bessel.is_none() {
        return value.to_vec();
    }
    let share = o.share(batch);
    average.iter().zip(value).map(|(average, value)| o.momentum * average + share * value).collect()
}

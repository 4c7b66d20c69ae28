//! Learning rates that change from step to step, by Keras's formulas.

use crate::{Error, Result};

/// A learning rate by the number of steps done: Keras 2.15's schedules with their arguments. The first step is step 0.
///
/// Rates are computed in f64 and rounded to f32 once. Keras computes in f32 throughout, so that its rates differ from
/// these in their last digits, and in more digits where a cosine ends.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Schedule {
    /// The same rate all along.
    Constant(f64),
    /// `initial · rate^(step / steps)`.
    ExponentialDecay {
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// Steps in which it is multiplied by `decay_rate` once; over 0.
        decay_steps: u64,
        /// What it is multiplied by.
        decay_rate: f64,
        /// Whether the exponent is rounded down.
        staircase: bool,
    },
    /// Half a cosine from `initial` to `alpha · initial`; with a `warmup_target` after a linear rise to it.
    CosineDecay {
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// Steps of the cosine, after those of the rise; over 0.
        decay_steps: u64,
        /// What is left at the end, as a share of the rate at which the cosine begins.
        alpha: f64,
        /// The rate that a linear rise from `initial_learning_rate` ends at; Keras's default is none: no rise.
        warmup_target: Option<f64>,
        /// Steps of the rise.
        warmup_steps: u64,
    },
    /// `values[i]` up to and including step `boundaries[i]`, the last value afterwards.
    PiecewiseConstant {
        /// Steps at which the rate changes, rising.
        boundaries: Vec<u64>,
        /// One value more than there are boundaries.
        values: Vec<f64>,
    },
    /// `(initial − end) · (1 − step / steps)^power + end`.
    PolynomialDecay {
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// Steps until the end; over 0.
        decay_steps: u64,
        /// The rate at the end; Keras's default is 0.0001.
        end_learning_rate: f64,
        /// The exponent; Keras's default is 1.
        power: f64,
        /// Whether the decay begins again after its end, each time over a longer span, instead of staying at its end.
        cycle: bool,
    },
    /// `initial / (1 + rate · step / steps)`.
    InverseTimeDecay {
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// Steps of the decay; over 0.
        decay_steps: u64,
        /// How much the divisor grows in `decay_steps`.
        decay_rate: f64,
        /// Whether `step / steps` is rounded down.
        staircase: bool,
    },
    /// Cosines one after another, each `t_mul` times as long as the one before, and `m_mul` times as high.
    CosineDecayRestarts {
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// Steps of the first cosine; over 0.
        first_decay_steps: u64,
        /// How much longer each cosine is than the one before; Keras's default is 2, at least 1.
        t_mul: f64,
        /// What the rate at a cosine's start is multiplied by from one cosine to the next; Keras's default is 1.
        m_mul: f64,
        /// What is left at the end of each cosine, as a share of `initial_learning_rate`.
        alpha: f64,
    },
}

impl From<f64> for Schedule {
    fn from(rate: f64) -> Self {
        Self::Constant(rate)
    }
}

impl Schedule {
    /// The learning rate of the step before which `step` steps were done.
    #[must_use]
    pub fn at(&self, step: u64) -> f32 {
        let step = step as f64;
        let exact = match self {
            &Self::Constant(rate) => rate,
            &Self::ExponentialDecay { initial_learning_rate, decay_steps, decay_rate, staircase } => {
                let passed = step / decay_steps as f64;
                let passed = if staircase { libm::floor(passed) } else { passed };
                initial_learning_rate * libm::pow(decay_rate, passed)
            }
            &Self::CosineDecay { initial_learning_rate, decay_steps, alpha, warmup_target, warmup_steps } => {
                let initial = initial_learning_rate;
                let (rise, top) = match warmup_target {
                    Some(target) => (warmup_steps as f64, target),
                    None => (0.0, initial),
                };
                if step < rise {
                    initial + (top - initial) * step / rise
                } else {
                    let passed = ((step - rise) / decay_steps as f64).min(1.0);
                    top * with_rest(0.5 * (1.0 + libm::cos(std::f64::consts::PI * passed)), alpha)
                }
            }
            Self::PiecewiseConstant { boundaries, values } => {
                let passed = boundaries.iter().filter(|&&boundary| step > boundary as f64).count();
                values.get(passed).or(values.last()).copied().unwrap_or(0.0)
            }
            &Self::PolynomialDecay { initial_learning_rate, decay_steps, end_learning_rate, power, cycle } => {
                let (span, end) = (decay_steps as f64, end_learning_rate);
                let passed = match cycle {
                    true if step > 0.0 => step / (span * libm::ceil(step / span)),
                    _ => (step / span).min(1.0),
                };
                (initial_learning_rate - end) * libm::pow(1.0 - passed, power) + end
            }
            &Self::InverseTimeDecay { initial_learning_rate, decay_steps, decay_rate, staircase } => {
                let passed = step / decay_steps as f64;
                let passed = if staircase { libm::floor(passed) } else { passed };
                initial_learning_rate / (1.0 + decay_rate * passed)
            }
            &Self::CosineDecayRestarts { initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha } => {
                let (restarts, passed) = restarts(step / first_decay_steps as f64, t_mul);
                let height = libm::pow(m_mul, restarts);
                let cosine = 0.5 * height * (1.0 + libm::cos(std::f64::consts::PI * passed));
                initial_learning_rate * with_rest(cosine, alpha)
            }
        };
        exact as f32
    }

    /// Whether Keras would take these arguments.
    ///
    /// # Errors
    /// [`Error::NotPositive`] for no steps, [`Error::UnknownValue`] for boundaries that don't rise, for another number of values than
    /// boundaries and one, and for a rate that isn't finite.
    pub fn check(&self) -> Result<()> {
        let (steps, rates): (Option<(&'static str, u64)>, Vec<f64>) = match *self {
            Self::Constant(rate) => (None, vec![rate]),
            Self::ExponentialDecay { initial_learning_rate, decay_steps, decay_rate, .. }
            | Self::InverseTimeDecay { initial_learning_rate, decay_steps, decay_rate, .. } => {
                (Some(("decay_steps", decay_steps)), vec![initial_learning_rate, decay_rate])
            }
            Self::CosineDecay { initial_learning_rate, decay_steps, alpha, warmup_target, .. } => {
                let rates = [initial_learning_rate, alpha].into_iter().chain(warmup_target);
                (Some(("decay_steps", decay_steps)), rates.collect())
            }
            Self::PiecewiseConstant { ref boundaries, ref values } => {
                if values.len() != boundaries.len() + 1 {
                    let expected = "one more than there are boundaries";
                    let value = format!("{} for {} boundaries", values.len(), boundaries.len());
                    return Err(Error::UnknownValue { argument: "values", expected, value });
                }
                if !boundaries.is_sorted_by(|a, b| a < b) {
                    let value = format!("{boundaries:?}");
                    return Err(Error::UnknownValue { argument: "boundaries", expected: "rising numbers", value });
                }
                (None, values.clone())
            }
            Self::PolynomialDecay { initial_learning_rate, decay_steps, end_learning_rate, power, .. } => {
                (Some(("decay_steps", decay_steps)), vec![initial_learning_rate, end_learning_rate, power])
            }
            Self::CosineDecayRestarts { initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha } => {
                let numbers = vec![initial_learning_rate, t_mul, m_mul, alpha];
                (Some(("first_decay_steps", first_decay_steps)), numbers)
            }
        };
        if let Some((argument, 0)) = steps {
            return Err(Error::NotPositive { argument, value: 0 });
        }
        match rates.into_iter().find(|rate| !rate.is_finite()) {
            Some(rate) => {
                let (argument, expected) = ("learning_rate", "finite numbers");
                Err(Error::UnknownValue { argument, expected, value: rate.to_string() })
            }
            None => Ok(()),
        }
    }
}

/// A decay to `alpha` instead of 0: `part` is what would be left of a decay to 0.
fn with_rest(part: f64, alpha: f64) -> f64 {
    (1.0 - alpha) * part + alpha
}

/// How often a cosine has begun anew, and the part of the running one that has passed.
fn restarts(passed: f64, t_mul: f64) -> (f64, f64) {
    if t_mul == 1.0 {
        let restarts = libm::floor(passed);
        return (restarts, passed - restarts);
    }
    let restarts = libm::floor(libm::log(1.0 - passed * (1.0 - t_mul)) / libm::log(t_mul));
    let length = libm::pow(t_mul, restarts);
    (restarts, (passed - (1.0 - length) / (1.0 - t_mul)) / length)
}

//! The numbers of a training step, and updates of parameters by their gradients.

use super::{BufferId, Describe, Operand, Shape};

/// Elements of the buffer of a step's numbers, an input of programs that train.
pub const STEP_NUMBERS: u64 = 4;

/// Numbers that change from one training step to the next. The host writes them before each run, into an input of
/// [`STEP_NUMBERS`] elements ([`Shape::Fixed`]).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepNumbers {
    /// The learning rate of this step.
    pub learning_rate: f32,
    /// [`Rule::correction`] of this step.
    pub correction: f32,
    /// 1 / samples of the batch: the factor of gradients of losses, and of penalties on activations.
    pub per_sample: f32,
    /// Selects the random numbers that are drawn.
    pub draw: u32,
}

impl StepNumbers {
    /// The words in the buffer; a float is its bits.
    #[must_use]
    pub fn to_words(self) -> [u32; STEP_NUMBERS as usize] {
        let Self { learning_rate, correction, per_sample, draw } = self;
        [learning_rate.to_bits(), correction.to_bits(), per_sample.to_bits(), draw]
    }

    /// The same words as floats, for executors whose arrays are floats.
    #[must_use]
    pub fn to_floats(self) -> [f32; STEP_NUMBERS as usize] {
        self.to_words().map(f32::from_bits)
    }

    /// The numbers in a buffer's words.
    #[must_use]
    pub fn from_words([learning_rate, correction, per_sample, draw]: [u32; STEP_NUMBERS as usize]) -> Self {
        let [learning_rate, correction, per_sample] = [learning_rate, correction, per_sample].map(f32::from_bits);
        Self { learning_rate, correction, per_sample, draw }
    }

    /// The numbers in a buffer of floats; 0 if it is too short.
    #[must_use]
    pub fn from_floats(values: &[f32]) -> Self {
        Self::from_words(std::array::from_fn(|at| values.get(at).map_or(0, |value| value.to_bits())))
    }
}

/// How an optimizer updates a parameter `w` by its gradient `g` with the learning rate `lr`: Keras 2.15's formulas.
///
/// Numbers are 64-bit, as in Python: Keras computes `1 − beta_2` before it rounds to 32 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Rule {
    /// `m = momentum·m − lr·g; w += m`, or with Nesterov's momentum `w += momentum·m − lr·g` with the new `m`. Without
    /// a momentum there is no `m`, and `w −= lr·g`.
    Sgd {
        /// The momentum; Keras's default is 0.
        momentum: f64,
        /// Whether it is Nesterov's momentum.
        nesterov: bool,
    },
    /// `m += (g − m)·(1 − beta_1); v += (g² − v)·(1 − beta_2); w −= m·lr·correction / (√v + epsilon)`, with the
    /// correction of [`Rule::correction`]. With `amsgrad` the root is of the largest `v` so far. Keras's AdamW is this
    /// with a weight decay.
    Adam {
        /// Keras's default is 0.9.
        beta_1: f64,
        /// Keras's default is 0.999.
        beta_2: f64,
        /// Keras's default is 1e-7.
        epsilon: f64,
        /// Whether the largest `v` so far is used.
        amsgrad: bool,
    },
    /// `v = rho·v + (1 − rho)·g²; i = lr·g / √(v + epsilon); w −= i`, or with a momentum `q = momentum·q + i; w −= q`.
    /// If it is centered, `a = rho·a + (1 − rho)·g`, and the root is of `v − a² + epsilon`.
    RmsProp {
        /// Keras's default is 0.9.
        rho: f64,
        /// Keras's default is 0.
        momentum: f64,
        /// Keras's default is 1e-7.
        epsilon: f64,
        /// Whether the variance of the gradient is used instead of its mean square.
        centered: bool,
    },
}

impl Rule {
    /// The states that it keeps of each parameter from step to step: Keras's names for them, in the order of
    /// [`Change::state`].
    #[must_use]
    pub fn slots(&self) -> &'static [&'static str] {
        match *self {
            Self::Sgd { momentum, .. } => {
                if momentum == 0.0 {
                    &[]
                } else {
                    &["m"]
                }
            }
            Self::Adam { amsgrad, .. } => {
                if amsgrad {
                    &["m", "v", "vhat"]
                } else {
                    &["m", "v"]
                }
            }
            Self::RmsProp { momentum, centered, .. } => match (momentum > 0.0, centered) {
                (false, false) => &["velocity"],
                (true, false) => &["velocity", "momentum"],
                (false, true) => &["velocity", "average_gradient"],
                (true, true) => &["velocity", "momentum", "average_gradient"],
            },
        }
    }

    /// [`StepNumbers::correction`] of step number `step`, counted from 1: Adam's `√(1 − beta_2ᵗ) / (1 − beta_1ᵗ)`; 1
    /// for the others. Powers are rounded to 32 bits, as in Keras, since that rounding decides the digits of `1 −
    /// beta_2ᵗ`.
    #[must_use]
    pub fn correction(&self, step: u64) -> f32 {
        let Self::Adam { beta_1, beta_2, .. } = *self else { return 1.0 };
        // For steps beyond 2³¹ the powers are 0 anyway.
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        let left = |beta: f64| 1.0 - f64::from(beta as f32).powi(step) as f32;
        left(beta_2).sqrt() / left(beta_1)
    }

    fn fault(&self) -> Option<&'static str> {
        let numbers = match *self {
            Self::Sgd { momentum, .. } => [momentum, 0.0, 0.0],
            Self::Adam { beta_1, beta_2, epsilon, .. } => [beta_1, beta_2, epsilon],
            Self::RmsProp { rho, momentum, epsilon, .. } => [rho, momentum, epsilon],
        };
        (!numbers.iter().all(|number| number.is_finite())).then_some("a number of its rule isn't finite")
    }
}

/// The update of a parameter by its gradient `g`, in place and element by element, wherever the gradient comes from.
///
/// In Keras 2.15's order: first the penalties' gradient is added, `g + l1·sign(w) + 2·l2·w`, unless both factors are 0.
/// Then `g` is clamped to ±`clip_value`. Then the weight decays: `w −= w·weight_decay·lr`. Then the [`Rule`] is
/// applied.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Change {
    /// The optimizer's formula.
    pub rule: Rule,
    /// The parameter that is updated, of 32-bit floats.
    pub parameter: BufferId,
    /// The optimizer's states of it, one buffer of the parameter's shape for each of [`Rule::slots`], which are
    /// updated, too.
    pub state: Vec<BufferId>,
    /// The step's numbers ([`StepNumbers`]).
    pub step: BufferId,
    /// The largest magnitude of the gradient's elements.
    pub clip_value: Option<f32>,
    /// The weight decay. AdamW's default in Keras is 0.004.
    pub weight_decay: Option<f64>,
    /// The factor of the penalty on magnitudes; 0 for none.
    pub l1: f32,
    /// The factor of the penalty on squares; 0 for none.
    pub l2: f32,
}

/// Updates a parameter by a gradient in a buffer. If there is a `scale`, the gradient is multiplied by it first.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Update {
    /// The parameter's shape.
    pub shape: Shape,
    /// The gradient, of the parameter's shape.
    pub gradient: BufferId,
    /// `[1]`: the gradient's factor, as [`ClipScale`](super::ClipScale) computes it.
    pub scale: Option<BufferId>,
    /// How the parameter is updated.
    pub change: Change,
}

/// `average = momentum·average + (1 − momentum)·value·b`, in place. b is 1, or n / (n − 1) for a variance of n =
/// `batch·bessel` values that Bessel's correction is wanted for. It gives the moving statistics of Keras's
/// `BatchNormalization`, and averages of weights in its optimizers, which Keras sets to the weights at first. With a
/// momentum of 0 it is a copy.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MovingAverage {
    /// The share of itself that the average keeps.
    pub momentum: f64,
    /// The shape of `value` and of `average`.
    pub shape: Shape,
    /// What is averaged.
    pub value: BufferId,
    /// The average, which is updated.
    pub average: BufferId,
    /// With Bessel's correction: how many values of a sample each element is the variance of.
    pub bessel: Option<u64>,
}

impl MovingAverage {
    /// The factor of a value.
    #[must_use]
    pub fn share(&self, batch: u32) -> f64 {
        let Some(values) = self.bessel else { return 1.0 - self.momentum };
        let values = values as f64 * f64::from(batch);
        // TensorFlow's result for a single value.
        (1.0 - self.momentum) * values / (values - 1.0).max(1.0)
    }
}

impl Operand {
    /// The operand of a step's numbers.
    pub(super) fn step(id: BufferId) -> Self {
        Self::of(id, Shape::Fixed(STEP_NUMBERS))
    }
}

impl Change {
    /// Whether a penalty adds to the gradient.
    pub(crate) fn is_penalised(&self) -> bool {
        self.l1 != 0.0 || self.l2 != 0.0
    }

    /// The buffers that are updated.
    pub(super) fn updates(&self) -> Vec<BufferId> {
        std::iter::once(self.parameter).chain(self.state.iter().copied()).collect()
    }

    /// The operands, for a parameter of that shape.
    pub(super) fn operands(&self, shape: &Shape) -> impl Iterator<Item = Operand> {
        let whole = self.updates().into_iter().map(|id| Operand::of(id, shape.clone()));
        whole.chain([Operand::step(self.step)])
    }

    /// What is wrong with its numbers, if anything is.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if self.state.len() != self.rule.slots().len() {
            return Some("its rule keeps another number of states");
        }
        let clamped = self.clip_value.is_none_or(|value| value > 0.0);
        let decays = self.weight_decay.is_none_or(f64::is_finite);
        if !clamped || !decays {
            return Some("it clamps to nothing, or its weight decay isn't finite");
        }
        if !(self.l1.is_finite() && self.l2.is_finite()) {
            return Some("a factor of its penalty isn't finite");
        }
        self.rule.fault()
    }
}

impl Describe for Update {
    fn name(&self) -> &'static str {
        "update"
    }

    fn reads(&self) -> Vec<BufferId> {
        [self.gradient, self.change.step].into_iter().chain(self.scale).collect()
    }

    fn writes(&self) -> BufferId {
        self.change.parameter
    }

    fn updates(&self) -> Vec<BufferId> {
        self.change.updates()
    }

    fn operands(&self) -> Vec<Operand> {
        let few = self.scale.map(|scale| Operand::of(scale, Shape::Fixed(1)));
        let gradient = Operand::of(self.gradient, self.shape.clone());
        [gradient].into_iter().chain(self.change.operands(&self.shape)).chain(few).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        if self.scale.is_some() && (self.change.clip_value.is_some() || self.change.is_penalised()) {
            return Some("a gradient is scaled whole, neither clamped nor added to");
        }
        self.change.fault()
    }
}

impl Describe for MovingAverage {
    fn name(&self) -> &'static str {
        "moving_average"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.value]
    }

    fn writes(&self) -> BufferId {
        self.average
    }

    fn updates(&self) -> Vec<BufferId> {
        vec![self.average]
    }

    fn operands(&self) -> Vec<Operand> {
        [self.value, self.average].map(|id| Operand::of(id, self.shape.clone())).into()
    }

    fn fault(&self) -> Option<&'static str> {
        if matches!(self.shape, Shape::Samples(_)) {
            return Some("samples have no average of their own");
        }
        (!self.momentum.is_finite()).then_some("its momentum isn't finite")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_step_survive_their_buffer() {
        let numbers = StepNumbers { learning_rate: 0.01, correction: 0.3, per_sample: 1.0 / 32.0, draw: u32::MAX - 5 };
        assert_eq!(StepNumbers::from_words(numbers.to_words()), numbers);
        let small = StepNumbers { draw: 7, ..numbers };
        assert_eq!(StepNumbers::from_floats(&small.to_floats()), small);
        assert_eq!(StepNumbers::from_floats(&[]), StepNumbers::default());
    }

    #[test]
    fn corrections_go_to_one() {
        let rule = Rule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false };
        // √(1 − β₂) / (1 − β₁) of the betas in 32 bits.
        assert!((rule.correction(1) - 0.316_226).abs() < 1e-5, "{}", rule.correction(1));
        assert_eq!(rule.correction(1 << 40), 1.0);
        assert_eq!(Rule::Sgd { momentum: 0.9, nesterov: true }.correction(3), 1.0);
    }
}

//! The numbers of a training step, and what changes parameters by their gradients.

use super::{BufferId, Describe, Operand, Shape};

/// Elements of a step's buffer of numbers, an input of programs that train.
pub const STEP_NUMBERS: u64 = 4;

/// The numbers that change from one training step to the next: the host writes them before each run, into an input of
/// [`STEP_NUMBERS`] elements ([`Shape::Fixed`]).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepNumbers {
    /// The optimizer's, as its schedule has it at this step.
    pub learning_rate: f32,
    /// What [`Rule::correction`] says for this step.
    pub correction: f32,
    /// 1 / samples of the batch: of gradients of losses, and of penalties on activations.
    pub per_sample: f32,
    /// Which step's random numbers are drawn.
    pub draw: u32,
}

impl StepNumbers {
    /// As the buffer holds them: floats by their bits.
    #[must_use]
    pub fn to_words(self) -> [u32; STEP_NUMBERS as usize] {
        let Self { learning_rate, correction, per_sample, draw } = self;
        [learning_rate.to_bits(), correction.to_bits(), per_sample.to_bits(), draw]
    }

    /// The same words, called floats, for executors whose arrays are of those.
    #[must_use]
    pub fn to_floats(self) -> [f32; STEP_NUMBERS as usize] {
        self.to_words().map(f32::from_bits)
    }

    /// The numbers of a buffer.
    #[must_use]
    pub fn from_words([learning_rate, correction, per_sample, draw]: [u32; STEP_NUMBERS as usize]) -> Self {
        let [learning_rate, correction, per_sample] = [learning_rate, correction, per_sample].map(f32::from_bits);
        Self { learning_rate, correction, per_sample, draw }
    }

    /// The numbers of a buffer of floats; 0 for what it is too short for.
    #[must_use]
    pub fn from_floats(values: &[f32]) -> Self {
        Self::from_words(std::array::from_fn(|at| values.get(at).map_or(0, |value| value.to_bits())))
    }
}

/// How an optimizer changes a parameter `w` by its gradient `g` at the learning rate `lr`: the formulas of Keras 2.15.
///
/// Numbers are 64-bit, as Python's are: Keras takes `1 − beta_2` before it rounds to 32 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Rule {
    /// `m = momentum·m − lr·g; w += m`, with Nesterov's momentum `w += momentum·m − lr·g` for the new `m`. Without a momentum
    /// there is no `m`.
    Sgd {
        /// Keras's default is 0.
        momentum: f64,
        /// Whether it is Nesterov's.
        nesterov: bool,
    },
    /// `m += (g − m)·(1 − beta_1); v += (g² − v)·(1 − beta_2); w −= m·lr·correction / (√v + epsilon)`, where the correction is
    /// [`Rule::correction`]; with `amsgrad` the root is of the largest `v` so far. Keras's AdamW is this with a weight decay.
    Adam {
        /// Keras's default is 0.9.
        beta_1: f64,
        /// Keras's default is 0.999.
        beta_2: f64,
        /// Keras's default is 1e-7.
        epsilon: f64,
        /// Whether the largest `v` so far is taken.
        amsgrad: bool,
    },
    /// `v = rho·v + (1 − rho)·g²; i = lr·g / √(v + epsilon); w −= i`, with a momentum `q = momentum·q + i; w −= q`; centered
    /// `a = rho·a + (1 − rho)·g`, and the root is of `v − a² + epsilon`.
    RmsProp {
        /// Keras's default is 0.9.
        rho: f64,
        /// Keras's default is 0.
        momentum: f64,
        /// Keras's default is 1e-7.
        epsilon: f64,
        /// Whether `v` is that of the gradient without its mean.
        centered: bool,
    },
}

impl Rule {
    /// What it keeps of each parameter from step to step, by Keras's names for it and in the order in which
    /// [`Change::state`] has them.
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

    /// [`StepNumbers::correction`] of step number `step`, which counts from 1: Adam's `√(1 − beta_2ᵗ) / (1 − beta_1ᵗ)`, 1 for the
    /// others. Powers are rounded to 32 bits, as Keras's are: what `1 − beta_2ᵗ` leaves of that rounding is in its weights.
    #[must_use]
    pub fn correction(&self, step: u64) -> f32 {
        let Self::Adam { beta_1, beta_2, .. } = *self else { return 1.0 };
        // A step beyond 2³¹ has powers of 0 all the same.
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

/// How a parameter follows its gradient `g`, whoever has that: in place, element by element.
///
/// What a penalty asks for is added to the gradient, `g + l1·sign(w) + 2·l2·w`, unless both are 0; it is clamped to ±`clip_value`; then a weight
/// decay is `w −= w·weight_decay·lr`; then the [`Rule`] is applied: the order of Keras 2.15.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Change {
    /// The optimizer's formula.
    pub rule: Rule,
    /// The parameter, of 32-bit floats, which is changed.
    pub parameter: BufferId,
    /// What the optimizer keeps of it, one buffer of the parameter's shape for each of [`Rule::slots`]; they are changed.
    pub state: Vec<BufferId>,
    /// The step's numbers ([`StepNumbers`]).
    pub step: BufferId,
    /// The most that an element of the gradient may be, either sign.
    pub clip_value: Option<f32>,
    /// The weight decay. AdamW's default in Keras is 0.004.
    pub weight_decay: Option<f64>,
    /// The factor of the penalty on magnitudes; 0 for none.
    pub l1: f32,
    /// The factor of the penalty on squares; 0 for none.
    pub l2: f32,
}

/// Changes a parameter by a gradient that is kept, which is multiplied by `scale` before all else, where there is one.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Update {
    /// The parameter's shape.
    pub shape: Shape,
    /// The gradient, of the parameter's shape.
    pub gradient: BufferId,
    /// `[1]`: what the gradient is multiplied by, as [`ClipScale`](super::ClipScale) makes it.
    pub scale: Option<BufferId>,
    /// How the parameter follows it.
    pub change: Change,
}

/// `average = momentum·average + (1 − momentum)·value·b`, in place, where b is n / (n − 1) for the n = `batch·bessel` values of a
/// variance that Bessel's correction is asked for, else 1: the moving statistics of Keras's `BatchNormalization`, and its optimizers'
/// averages of weights, which Keras begins as the weights are. With a momentum of 0 it is a copy.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MovingAverage {
    /// How much of the average is kept.
    pub momentum: f64,
    /// The shape of `value` and of `average`.
    pub shape: Shape,
    /// What is averaged.
    pub value: BufferId,
    /// The average, which is changed.
    pub average: BufferId,
    /// Values of each element of a sample that a variance is of, where it is to be corrected.
    pub bessel: Option<u64>,
}

impl MovingAverage {
    /// What a value is multiplied by.
    #[must_use]
    pub fn share(&self, batch: u32) -> f64 {
        let Some(values) = self.bessel else { return 1.0 - self.momentum };
        let values = values as f64 * f64::from(batch);
        // TensorFlow's own of one value.
        (1.0 - self.momentum) * values / (values - 1.0).max(1.0)
    }
}

impl Operand {
    /// The numbers of a step.
    pub(super) fn step(id: BufferId) -> Self {
        Self::of(id, Shape::Fixed(STEP_NUMBERS))
    }
}

impl Change {
    /// Whether a penalty adds to the gradient.
    pub(crate) fn is_penalised(&self) -> bool {
        self.l1 != 0.0 || self.l2 != 0.0
    }

    /// What is changed.
    pub(super) fn updates(&self) -> Vec<BufferId> {
        std::iter::once(self.parameter).chain(self.state.iter().copied()).collect()
    }

    /// Operands of a parameter of that shape.
    pub(super) fn operands(&self, shape: &Shape) -> impl Iterator<Item = Operand> {
        let whole = self.updates().into_iter().map(|id| Operand::of(id, shape.clone()));
        whole.chain([Operand::step(self.step)])
    }

    /// What is wrong with its own numbers, where something is.
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

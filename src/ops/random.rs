//! Dropout and noise: what Keras's regularizing layers do in training.
//!
//! Random numbers depend on their place only, so that every executor draws the same ones in any order: the number of
//! element `e` of the noise is word `e % 4` of Philox 4×32-10 at the counter `[e / 4 (two words), draw of the step, 1]`
//! under the key `seed`. The operation and its gradient draw the same numbers. The integers are equal everywhere;
//! normally distributed numbers are computed from them, and each executor rounds by itself.

use super::broadcast::{product, strides};
use super::{BufferId, Describe, Operand, Sizes, philox};

/// How values are changed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RandomKind {
    /// A share `rate` of the values becomes 0, the others are multiplied by `1 / (1 − rate)`: `Dropout`,
    /// `SpatialDropout1D`, …
    Dropout {
        /// At least 0, and below 1.
        rate: f32,
    },
    /// Values are multiplied by normally distributed numbers of mean 1 and variance `rate / (1 − rate)`:
    /// `GaussianDropout`.
    GaussianDropout {
        /// At least 0, and below 1.
        rate: f32,
    },
    /// Normally distributed numbers of mean 0 are added to values: `GaussianNoise`.
    GaussianNoise {
        /// Their standard deviation.
        stddev: f32,
    },
    /// A share `rate` of the values becomes selu's limit at −∞; then all are scaled and shifted so that a mean of 0 and
    /// a variance of 1 stay: `AlphaDropout`.
    AlphaDropout {
        /// At least 0, and below 1.
        rate: f32,
    },
}

/// Random numbers for values of four axes. Along axes where the noise has one element, all values have the same number.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Noise {
    /// How values are changed.
    pub kind: RandomKind,
    /// The key, different for each layer.
    pub seed: u64,
    /// The axes of a sample.
    pub sizes: Sizes,
    /// The axes of the numbers: 1 along axes where values share them.
    pub noise: Sizes,
    /// Whether each sample has its own numbers.
    pub batched: bool,
}

/// `output = input`, changed at random.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Random {
    /// The noise.
    pub noise: Noise,
    /// The step's numbers ([`StepNumbers`](super::StepNumbers)), of which it reads `draw`: it selects the numbers that
    /// are drawn.
    pub step: BufferId,
    /// `[batch][sizes]`.
    pub input: BufferId,
    /// `[batch][sizes]`.
    pub output: BufferId,
}

/// The gradient of [`Random`] by its input, with the same random numbers. For added noise it is the output's gradient,
/// without any operation.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RandomGrad {
    /// The noise of the forward pass.
    pub noise: Noise,
    /// The step's numbers of the forward pass.
    pub step: BufferId,
    /// `[batch][sizes]`.
    pub grad_output: BufferId,
    /// `[batch][sizes]`.
    pub grad_input: BufferId,
}

/// What a random number does to a value, or to a gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Effect {
    /// The value becomes `dropped` where its word is below `below`, else `value · factor + addend`.
    Mask { below: u32, factor: f64, addend: f64, dropped: f64 },
    /// `value · (1 + stddev · number)`.
    Times { stddev: f64 },
    /// `value + stddev · number`.
    Plus { stddev: f64 },
}

/// `−scale · alpha`, selu's limit at −∞.
const SELU_LEAST: f64 = -1.673_263_242_354_377_2 * 1.050_700_987_355_480_5;

impl RandomKind {
    /// What the random numbers do to values, or to gradients.
    pub(crate) fn effect(self, to_gradient: bool) -> Effect {
        // As a share of 2³² words; a rate just below 1 still keeps one in 2²⁴.
        let below = |rate: f32| (f64::from(rate) * 4_294_967_296.0) as u32;
        match self {
            Self::Dropout { rate } => {
                let factor = 1.0 / (1.0 - f64::from(rate));
                Effect::Mask { below: below(rate), factor, addend: 0.0, dropped: 0.0 }
            }
            Self::GaussianDropout { rate } => {
                let rate = f64::from(rate);
                Effect::Times { stddev: (rate / (1.0 - rate)).sqrt() }
            }
            Self::GaussianNoise { stddev } => Effect::Plus { stddev: stddev.into() },
            Self::AlphaDropout { rate } => {
                let (rate, least) = (f64::from(rate), SELU_LEAST);
                let factor = 1.0 / ((1.0 - rate) * (1.0 + rate * least * least)).sqrt();
                let addend = -factor * least * rate;
                let [addend, dropped] = if to_gradient { [0.0; 2] } else { [addend, factor * least + addend] };
                Effect::Mask { below: below(rate as f32), factor, addend, dropped }
            }
        }
    }

    fn fault(self) -> Option<&'static str> {
        match self {
            Self::Dropout { rate } | Self::GaussianDropout { rate } | Self::AlphaDropout { rate } => {
                (!(0.0..1.0).contains(&rate)).then_some("its rate is not from 0 on and below 1")
            }
            Self::GaussianNoise { stddev } => {
                let fits = stddev.is_finite() && stddev >= 0.0;
                (!fits).then_some("its standard deviation is not a positive number")
            }
        }
    }
}

impl Noise {
    /// Elements of a sample.
    pub(crate) fn elements(&self) -> u64 {
        product(&self.sizes)
    }

    /// Distance between the numbers of neighbours along each axis; 0 along axes where values share them.
    pub(crate) fn strides(&self) -> Sizes {
        strides(&self.noise)
    }

    /// Distance between the numbers of neighbouring samples.
    pub(crate) fn sample(&self) -> u64 {
        if self.batched { product(&self.noise) } else { 0 }
    }

    /// Four words, for elements `4 · block` to `4 · block + 3` of the noise.
    pub(crate) fn words(&self, block: u64, draw: u32) -> [u32; 4] {
        philox([block as u32, (block >> 32) as u32, draw, 1], [self.seed as u32, (self.seed >> 32) as u32])
    }

    fn fault(&self) -> Option<&'static str> {
        if self.sizes.contains(&0) || self.elements() > u32::MAX.into() {
            return Some("an axis is empty, or a sample has more than 2³² elements");
        }
        let repeats = self.noise.iter().zip(&self.sizes).all(|(own, size)| own == size || *own == 1);
        let misfit = (!repeats).then_some("its noise is along an axis neither as long as the value nor 1");
        misfit.or(self.kind.fault())
    }

    fn operands(&self, of_step: BufferId, values: [BufferId; 2]) -> Vec<Operand> {
        let values = values.map(|id| Operand::samples(id, self.elements()));
        [Operand::step(of_step)].into_iter().chain(values).collect()
    }
}

impl Describe for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.step, self.input]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        self.noise.operands(self.step, [self.input, self.output])
    }

    fn fault(&self) -> Option<&'static str> {
        self.noise.fault()
    }
}

impl Describe for RandomGrad {
    fn name(&self) -> &'static str {
        "random_grad"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.step, self.grad_output]
    }

    fn writes(&self) -> BufferId {
        self.grad_input
    }

    fn operands(&self) -> Vec<Operand> {
        self.noise.operands(self.step, [self.grad_output, self.grad_input])
    }

    fn fault(&self) -> Option<&'static str> {
        let added = matches!(self.noise.kind, RandomKind::GaussianNoise { .. });
        self.noise.fault().or(added.then_some("the gradient of added noise is the output's"))
    }
}

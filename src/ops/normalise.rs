//! Normalisation by given statistics, as in Keras's `BatchNormalization`, and of rows by their own, as in its
//! `LayerNormalization`.
//!
//! `BatchNormalization` at inference is a [`NormFactor`] of its moving variance and gamma, followed by a [`Normalise`]
//! with its moving mean, that factor and beta. Its gradients: by the input, the output's gradient times the factor (a
//! [`Combine`](super::Combine)); by beta, the [`Sum`](super::Sum) of the output's gradient; by gamma, the sum of the
//! output's gradient times the values normalised without gamma and beta. In training mean and variance aren't
//! parameters but a `Sum` and a [`Variance`](super::Variance) of the batch, and the gradient by the input, which flows
//! through both, is a [`NormaliseGrad`].
//!
//! The gradient by gamma of `LayerNormalization` is likewise a sum over rows.

use super::elementwise::rows_fault;
use super::{BufferId, Describe, Operand, Shape};
use crate::config::Activation;

/// `factor = gamma / √(variance + epsilon)`; a missing gamma counts as 1.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NormFactor {
    /// Elements of each operand.
    pub channels: u64,
    /// Added to the variance; Keras's is 0.001.
    pub epsilon: f32,
    /// `[channels]`.
    pub variance: BufferId,
    /// `[channels]`.
    pub gamma: Option<BufferId>,
    /// `[channels]`.
    pub factor: BufferId,
}

/// `output = activation((input − mean) · factor + beta)`, along any axis; a missing beta counts as 0.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Normalise {
    /// Elements of a sample, `[elements / (channels · inner)][channels][inner]`.
    pub elements: u64,
    /// Size of the axis that is normalised.
    pub channels: u64,
    /// Neighbouring elements of one channel: the product of the sizes of all axes after it.
    pub inner: u64,
    /// `[batch][elements]`.
    pub input: BufferId,
    /// `[channels]`.
    pub mean: BufferId,
    /// `[channels]`, as [`NormFactor`] computes it.
    pub factor: BufferId,
    /// `[channels]`.
    pub beta: Option<BufferId>,
    /// An activation of single elements; one over rows must be an operation of its own.
    pub activation: Activation,
    /// `[batch][elements]`.
    pub output: BufferId,
}

/// The gradient by the input of a batch that is normalised by its own mean and variance: `grad_input = (grad_output −
/// mean − normalised · slope) · factor`, along any axis.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NormaliseGrad {
    /// Elements of a sample, `[elements / (channels · inner)][channels][inner]`.
    pub elements: u64,
    /// Size of the axis that is normalised.
    pub channels: u64,
    /// Neighbouring elements of one channel: the product of the sizes of all axes after it.
    pub inner: u64,
    /// `[batch][elements]`: the values normalised without gamma and beta.
    pub normalised: BufferId,
    /// `[batch][elements]`.
    pub grad_output: BufferId,
    /// `[channels]`: the mean of `grad_output`.
    pub mean: BufferId,
    /// `[channels]`: the mean of `grad_output · normalised`.
    pub slope: BufferId,
    /// `[channels]`: gamma / √(variance + epsilon), as in the forward pass.
    pub factor: BufferId,
    /// `[batch][elements]`.
    pub grad_input: BufferId,
}

/// `output = (input − mean) / √(variance + epsilon) · gamma + beta`, with each row's own mean and biased variance. A
/// missing gamma counts as 1, a missing beta as 0.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LayerNorm {
    /// Elements of a sample.
    pub elements: u64,
    /// Elements of a row: the last axis, or the last ones.
    pub row: u64,
    /// Added to the variance; Keras's is 0.001.
    pub epsilon: f32,
    /// `[batch][elements]`.
    pub input: BufferId,
    /// `[row]`.
    pub gamma: Option<BufferId>,
    /// `[row]`.
    pub beta: Option<BufferId>,
    /// `[batch][elements]`.
    pub output: BufferId,
}

/// The gradient of [`LayerNorm`] by its input: `(g − mean(g) − x̂ · mean(g · x̂)) / √(variance + epsilon)` for each
/// row, where `x̂` is the row normalised without gamma and beta, and `g` is the output's gradient times gamma.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LayerNormGrad {
    /// Elements of a sample.
    pub elements: u64,
    /// Elements of a row.
    pub row: u64,
    /// Added to the variance.
    pub epsilon: f32,
    /// `[batch][elements]`.
    pub input: BufferId,
    /// `[row]`.
    pub gamma: Option<BufferId>,
    /// `[batch][elements]`.
    pub grad_output: BufferId,
    /// `[batch][elements]`.
    pub grad_input: BufferId,
}

fn channels(id: BufferId, channels: u64) -> Operand {
    Operand::of(id, Shape::Fixed(channels))
}

impl Describe for NormFactor {
    fn name(&self) -> &'static str {
        "norm_factor"
    }

    fn reads(&self) -> Vec<BufferId> {
        [self.variance].into_iter().chain(self.gamma).collect()
    }

    fn writes(&self) -> BufferId {
        self.factor
    }

    fn operands(&self) -> Vec<Operand> {
        let all = [self.variance, self.factor].into_iter().chain(self.gamma);
        all.map(|id| channels(id, self.channels)).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        (self.channels == 0).then_some("it has no channels")
    }
}

impl Describe for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn reads(&self) -> Vec<BufferId> {
        [self.input, self.mean, self.factor].into_iter().chain(self.beta).collect()
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let samples = [self.input, self.output].map(|id| Operand::samples(id, self.elements));
        let fixed = [self.mean, self.factor].into_iter().chain(self.beta).map(|id| channels(id, self.channels));
        samples.into_iter().chain(fixed).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        let over_rows = self.activation.over_rows().then_some("its activation is one over rows");
        over_rows.or_else(|| rows_fault(self.elements, self.channels.saturating_mul(self.inner)))
    }
}

impl Describe for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn reads(&self) -> Vec<BufferId> {
        [self.input].into_iter().chain(self.gamma).chain(self.beta).collect()
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let samples = [self.input, self.output].map(|id| Operand::samples(id, self.elements));
        let fixed = self.gamma.into_iter().chain(self.beta).map(|id| channels(id, self.row));
        samples.into_iter().chain(fixed).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        rows_fault(self.elements, self.row)
    }
}

impl Describe for LayerNormGrad {
    fn name(&self) -> &'static str {
        "layer_norm_grad"
    }

    fn reads(&self) -> Vec<BufferId> {
        [self.input, self.grad_output].into_iter().chain(self.gamma).collect()
    }

    fn writes(&self) -> BufferId {
        self.grad_input
    }

    fn operands(&self) -> Vec<Operand> {
        let samples = [self.input, self.grad_output, self.grad_input].map(|id| Operand::samples(id, self.elements));
        samples.into_iter().chain(self.gamma.map(|id| channels(id, self.row))).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        rows_fault(self.elements, self.row)
    }
}

impl Describe for NormaliseGrad {
    fn name(&self) -> &'static str {
        "normalise_grad"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.normalised, self.grad_output, self.mean, self.slope, self.factor]
    }

    fn writes(&self) -> BufferId {
        self.grad_input
    }

    fn operands(&self) -> Vec<Operand> {
        let samples = [self.normalised, self.grad_output, self.grad_input];
        let samples = samples.map(|id| Operand::samples(id, self.elements));
        let fixed = [self.mean, self.slope, self.factor].map(|id| channels(id, self.channels));
        samples.into_iter().chain(fixed).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        rows_fault(self.elements, self.channels.saturating_mul(self.inner))
    }
}

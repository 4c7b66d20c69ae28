//! Normalisation by moving statistics, or by a batch's own.

use super::call::{
    BackwardCall, Built, Computes, ForwardCall, Gradient, Parameter, Scope, Trace, Value, elements, one,
};
use crate::config::Activation;
use crate::model::mode::Mode;
use crate::ops::{
    BufferId, Combine, How, MovingAverage, NormFactor, Normalise, NormaliseGrad, Operation, Part, Shape, Sizes, Sum,
    Variance,
};
use crate::{Error, Result};

/// Keras's `BatchNormalization` along an axis. It normalises by its moving mean and variance. In training, unless it is
/// frozen, it normalises by the mean and the biased variance of the batch, and averages these into the moving ones.
///
/// As in Keras's fused normalisation, the moving variance averages the unbiased variance if samples have three or four
/// axes and the channels are along the first or the last of them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BatchNormalization {
    /// The axis of the channels, counted without the batch, from 0.
    pub axis: usize,
    /// Added to the variance; Keras's is 0.001.
    pub epsilon: f32,
    /// The share that moving statistics keep of themselves in a training step; Keras's is 0.99.
    pub momentum: f64,
    /// Whether there is a beta.
    pub center: bool,
    /// Whether there is a gamma.
    pub scale: bool,
}

/// The axes of a sample, as `[outer][channels][inner]`.
struct Axes {
    outer: u64,
    channels: u64,
    inner: u64,
}

impl Axes {
    fn sizes(&self) -> Sizes {
        [1, self.outer, self.channels, self.inner]
    }
}

/// All axes of [`Axes::sizes`] but the channels.
const ALONG: [bool; 4] = [true, true, false, true];

/// Gamma, beta, and the statistics.
#[derive(Clone, Copy)]
struct Parts {
    gamma: Option<BufferId>,
    beta: Option<BufferId>,
    mean: BufferId,
    variance: BufferId,
}

impl BatchNormalization {
    fn axes(&self, input: &[usize]) -> Axes {
        let of = |range: &[usize]| elements(range);
        let (outer, inner) = (of(&input[..self.axis]), of(&input[self.axis + 1..]));
        Axes { outer, channels: input[self.axis] as u64, inner }
    }

    /// The layer's parameters.
    fn parts(&self, parameters: &[BufferId]) -> Parts {
        let beta = usize::from(self.scale);
        let mean = beta + usize::from(self.center);
        Parts {
            gamma: self.scale.then(|| parameters[0]),
            beta: self.center.then(|| parameters[beta]),
            mean: parameters[mean],
            variance: parameters[mean + 1],
        }
    }

    /// Whether it normalises by its batch.
    fn by_batch(scope: &Scope<'_>) -> bool {
        scope.mode != Mode::Inference && scope.trainable
    }

    /// Mean and variance of the batch, which are also averaged into the moving ones.
    fn of_batch(&self, scope: &mut Scope<'_>, value: Value<'_>, moving: Parts) -> Parts {
        let axes = self.axes(value.shape);
        let (sizes, along, channels) = (axes.sizes(), ALONG, axes.channels);
        let (input, values) = (value.buffer, axes.outer * axes.inner);
        let [mean, variance] = ["mean", "variance"].map(|role| scope.fixed(role, channels));
        scope.push(mean_over(sizes, values, input, mean));
        scope.push(Operation::Variance(Variance { sizes, along, input, mean, output: variance }));
        let at_an_end = self.axis == 0 || self.axis + 1 == value.shape.len();
        let bessel = (matches!(value.shape.len(), 3 | 4) && at_an_end).then_some(values);
        for (value, average, bessel) in [(mean, moving.mean, None), (variance, moving.variance, bessel)] {
            let (momentum, shape) = (self.momentum, Shape::Fixed(channels));
            scope.push(Operation::MovingAverage(MovingAverage { momentum, shape, value, average, bessel }));
        }
        Parts { mean, variance, ..moving }
    }

    /// `gamma / √variance`, or `1 / √variance` without a gamma.
    fn factor(&self, scope: &mut Scope<'_>, channels: u64, Parts { gamma, variance, .. }: Parts) -> BufferId {
        let role = if gamma.is_some() == self.scale { "factor" } else { "factor_alone" };
        let (epsilon, factor) = (self.epsilon, scope.fixed(role, channels));
        scope.push(Operation::NormFactor(NormFactor { channels, epsilon, variance, gamma, factor }));
        factor
    }
}

/// The mean of `values` values of each channel of a sample, over all samples.
fn mean_over(sizes: Sizes, values: u64, input: BufferId, output: BufferId) -> Operation {
    let (along, over_batch, divisor, by_batch) = (ALONG, true, values as f32, true);
    Operation::Sum(Sum { along, over_batch, divisor, by_batch, ..Sum::of(sizes, input, output) })
}

/// How many channels an input has along `axis`, counted without the batch.
pub(super) fn channels(input: &[usize], axis: usize) -> Result<usize> {
    let none = || Error::UnknownValue { argument: "axis", expected: "an axis of the input", value: axis.to_string() };
    input.get(axis).copied().ok_or_else(none)
}

impl Computes for BatchNormalization {
    fn class(&self) -> &'static str {
        "batch_normalization"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        let channels = channels(input, self.axis)?;
        let fixed = |name, learned| Parameter { learned, ..Parameter::fixed(name, channels as u64) };
        let gamma = self.scale.then(|| fixed("gamma", true));
        let beta = self.center.then(|| fixed("beta", true));
        let statistics = [fixed("moving_mean", false), fixed("moving_variance", false)];
        let parameters = gamma.into_iter().chain(beta).chain(statistics).collect();
        Ok(Built { parameters, ..Built::of_shape(input) })
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let value = call.inputs[0];
        let Axes { channels, inner, .. } = self.axes(value.shape);
        let mut parts = self.parts(call.parameters);
        if Self::by_batch(&call.scope) {
            parts = self.of_batch(&mut call.scope, value, parts);
        }
        let Parts { beta, mean, variance, .. } = parts;
        let factor = self.factor(&mut call.scope, channels, parts);
        let output = call.scope.output();
        let (elements, input, activation) = (value.elements(), value.buffer, Activation::Linear);
        let normalise = Normalise { elements, channels, inner, input, mean, factor, beta, activation, output };
        call.scope.push(Operation::Normalise(normalise));
        Trace { output, saved: vec![factor, mean, variance] }
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let (value, dy) = (call.inputs[0], call.grad_output);
        let axes = self.axes(value.shape);
        let (sizes, channels, inner) = (axes.sizes(), axes.channels, axes.inner);
        let [factor, mean, variance] = call.trace.saved[..] else { return vec![None] };
        let sum = |input, Gradient { buffer: output, accumulate }: Gradient| {
            Operation::Sum(Sum { along: ALONG, over_batch: true, accumulate, ..Sum::of(sizes, input, output) })
        };
        let by_batch = Self::by_batch(&call.scope);
        let grad_input = call.grad_input(0);
        let (elements, input, beta, activation) = (value.elements(), value.buffer, None, Activation::Linear);
        let of_gamma = call.gradient(0).filter(|_| self.scale);
        let normalised = (of_gamma.is_some() || by_batch && grad_input.is_some()).then(|| {
            // Without a gamma it is the factor of the forward pass.
            let alone = Parts { gamma: None, beta: None, mean, variance };
            let factor = if self.scale { self.factor(&mut call.scope, channels, alone) } else { factor };
            let output = call.scope.scratch("normalised", elements);
            let normalise = Normalise { elements, channels, inner, input, mean, factor, beta, activation, output };
            call.scope.push(Operation::Normalise(normalise));
            (output, multiplied(&mut call.scope, "grad_gamma_parts", sizes, [dy, output]))
        });
        if let Some((gradient, (_, product))) = of_gamma.zip(normalised) {
            call.scope.push(sum(product, gradient));
        }
        if let Some(gradient) = call.gradient(usize::from(self.scale)).filter(|_| self.center) {
            call.scope.push(sum(dy, gradient));
        }
        match (grad_input, normalised) {
            (Some(grad_input), Some((normalised, product))) if by_batch => {
                let [mean, slope] = ["grad_mean", "grad_slope"].map(|role| call.scope.fixed(role, channels));
                let values = axes.outer * axes.inner;
                call.scope.push(mean_over(sizes, values, dy, mean));
                call.scope.push(mean_over(sizes, values, product, slope));
                let grad_output = dy;
                call.scope.push(Operation::NormaliseGrad(NormaliseGrad {
                    elements,
                    channels,
                    inner,
                    normalised,
                    grad_output,
                    mean,
                    slope,
                    factor,
                    grad_input,
                }));
            }
            (Some(output), _) => {
                let (a, b) = (Part::samples(dy, sizes), Part::fixed(factor, [1, 1, channels, 1]));
                call.scope.push(Operation::Combine(Combine { how: How::Multiply, sizes, a, b, divisor: 1.0, output }));
            }
            (None, _) => {}
        }
        vec![grad_input]
    }
}

/// The product of two values.
pub(super) fn multiplied(scope: &mut Scope<'_>, role: &str, sizes: Sizes, [a, b]: [BufferId; 2]) -> BufferId {
    let output = scope.scratch(role, sizes.iter().product());
    let [a, b] = [a, b].map(|buffer| Part::samples(buffer, sizes));
    scope.push(Operation::Combine(Combine { how: How::Multiply, sizes, a, b, divisor: 1.0, output }));
    output
}

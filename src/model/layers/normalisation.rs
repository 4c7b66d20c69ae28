//! Normalisation by moving statistics, and of rows by their own.

use super::call::{
    BackwardCall, Built, Computes, ForwardCall, Gradient, Parameter, Scope, Trace, Value, elements, one,
};
use crate::config::WeightType;
use crate::ops::{
    Buffer, BufferId, Combine, How, LayerNorm, LayerNormGrad, NormFactor, Normalise, Operation, Part, Shape, Sizes,
    Sum, Usage,
};
use crate::{Error, Result};

/// Keras's `BatchNormalization` as at inference: by its moving mean and variance, along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormalization {
    /// Without the batch, the first being 0.
    pub axis: usize,
    /// Added to the variance; Keras's is 0.001.
    pub epsilon: f32,
    /// Whether there is a beta.
    pub center: bool,
    /// Whether there is a gamma.
    pub scale: bool,
}

/// `[outer][channels][inner]` of a sample.
struct Axes {
    outer: u64,
    channels: u64,
    inner: u64,
}

impl BatchNormalization {
    fn axes(&self, input: &[usize]) -> Axes {
        let of = |range: &[usize]| elements(range);
        let (outer, inner) = (of(&input[..self.axis]), of(&input[self.axis + 1..]));
        Axes { outer, channels: input[self.axis] as u64, inner }
    }

    /// Of the parameters gamma, beta, mean and variance.
    fn parts(&self, parameters: &[BufferId]) -> (Option<BufferId>, Option<BufferId>, BufferId, BufferId) {
        let beta = usize::from(self.scale);
        let mean = beta + usize::from(self.center);
        (
            self.scale.then(|| parameters[0]),
            self.center.then(|| parameters[beta]),
            parameters[mean],
            parameters[mean + 1],
        )
    }

    /// Gamma by the square root of the variance.
    fn factor(
        &self,
        scope: &mut Scope<'_>,
        channels: u64,
        [variance, gamma]: [Option<BufferId>; 2],
    ) -> Option<BufferId> {
        let role = if gamma.is_some() || !self.scale { "factor" } else { "factor_alone" };
        let factor = scope.program.add_buffer(Buffer {
            name: format!("{}/{role}", scope.call),
            layer: Some(scope.layer.to_owned()),
            usage: Usage::Scratch,
            shape: Shape::Fixed(channels),
            dtype: WeightType::F32,
        });
        let (epsilon, variance) = (self.epsilon, variance?);
        scope.push(Operation::NormFactor(NormFactor { channels, epsilon, variance, gamma, factor }));
        Some(factor)
    }
}

impl Computes for BatchNormalization {
    fn class(&self) -> &'static str {
        "batch_normalization"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        let Some(&channels) = input.get(self.axis) else {
            let value = self.axis.to_string();
            return Err(Error::UnknownValue { argument: "axis", expected: "an axis of the input", value });
        };
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
        let (gamma, beta, mean, variance) = self.parts(call.parameters);
        let Some(factor) = self.factor(&mut call.scope, channels, [Some(variance), gamma]) else {
            return Trace::of(value.buffer);
        };
        let output = call.scope.output();
        let (elements, input) = (value.elements(), value.buffer);
        let normalise = Normalise { elements, channels, inner, input, mean, factor, beta, output };
        call.scope.push(Operation::Normalise(normalise));
        Trace { output, saved: vec![factor] }
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let (value, dy) = (call.inputs[0], call.grad_output);
        let Axes { outer, channels, inner } = self.axes(value.shape);
        let sizes = [1, outer, channels, inner];
        let (_, _, mean, variance) = self.parts(call.parameters);
        let sum = |input, Gradient { buffer: output, accumulate }: Gradient| {
            let (along, over_batch, divisor) = ([true, true, false, true], true, 1.0);
            Operation::Sum(Sum { sizes, along, over_batch, divisor, by_batch: false, input, output, accumulate })
        };
        if let Some(gradient) = call.gradient(0).filter(|_| self.scale)
            && let Some(factor) = self.factor(&mut call.scope, channels, [Some(variance), None])
        {
            let elements = value.elements();
            let output = call.scope.scratch("normalised", elements);
            let (input, beta) = (value.buffer, None);
            let normalise = Normalise { elements, channels, inner, input, mean, factor, beta, output };
            call.scope.push(Operation::Normalise(normalise));
            let product = multiplied(&mut call.scope, "grad_gamma_parts", sizes, [dy, output]);
            call.scope.push(sum(product, gradient));
        }
        if let Some(gradient) = call.gradient(usize::from(self.scale)).filter(|_| self.center) {
            call.scope.push(sum(dy, gradient));
        }
        let grad_input = call.grad_input(0);
        if let Some((output, &factor)) = grad_input.zip(call.trace.saved.first()) {
            let (a, b) = (Part::samples(dy, sizes), Part::fixed(factor, [1, 1, channels, 1]));
            call.scope.push(Operation::Combine(Combine { how: How::Multiply, sizes, a, b, divisor: 1.0, output }));
        }
        vec![grad_input]
    }
}

/// The product of two values of samples.
fn multiplied(scope: &mut Scope<'_>, role: &str, sizes: Sizes, [a, b]: [BufferId; 2]) -> BufferId {
    let output = scope.scratch(role, sizes.iter().product());
    let [a, b] = [a, b].map(|buffer| Part::samples(buffer, sizes));
    scope.push(Operation::Combine(Combine { how: How::Multiply, sizes, a, b, divisor: 1.0, output }));
    output
}

/// Keras's `LayerNormalization` along the last axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNormalization {
    /// How many axes, from the last one on, are normalised together.
    pub axes: usize,
    /// Added to the variance; Keras's is 0.001.
    pub epsilon: f32,
    /// Whether there is a beta.
    pub center: bool,
    /// Whether there is a gamma.
    pub scale: bool,
}

impl LayerNormalization {
    fn row(&self, input: &[usize]) -> u64 {
        elements(&input[input.len() - self.axes..])
    }

    /// Of what is normalised without gamma and beta, or with them.
    fn forward_of(&self, value: Value<'_>, [gamma, beta]: [Option<BufferId>; 2], output: BufferId) -> Operation {
        let (elements, row, epsilon, input) = (value.elements(), self.row(value.shape), self.epsilon, value.buffer);
        Operation::LayerNorm(LayerNorm { elements, row, epsilon, input, gamma, beta, output })
    }
}

impl Computes for LayerNormalization {
    fn class(&self) -> &'static str {
        "layer_normalization"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        if self.axes == 0 || self.axes > input.len() {
            let value = self.axes.to_string();
            return Err(Error::UnknownValue { argument: "axis", expected: "some of the input's last axes", value });
        }
        let row = self.row(input);
        let gamma = self.scale.then(|| Parameter::fixed("gamma", row));
        let beta = self.center.then(|| Parameter::fixed("beta", row));
        Ok(Built { parameters: gamma.into_iter().chain(beta).collect(), ..Built::of_shape(input) })
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let gamma = self.scale.then(|| call.parameters[0]);
        let beta = self.center.then(|| call.parameters[usize::from(self.scale)]);
        let output = call.scope.output();
        call.scope.push(self.forward_of(call.inputs[0], [gamma, beta], output));
        Trace::of(output)
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let (value, dy) = (call.inputs[0], call.grad_output);
        let (elements, row, epsilon) = (value.elements(), self.row(value.shape), self.epsilon);
        let sizes = [1, 1, elements / row.max(1), row];
        let sum = |input, Gradient { buffer: output, accumulate }: Gradient| {
            let (along, over_batch, divisor) = ([true, true, true, false], true, 1.0);
            Operation::Sum(Sum { sizes, along, over_batch, divisor, by_batch: false, input, output, accumulate })
        };
        if let Some(gradient) = call.gradient(0).filter(|_| self.scale) {
            let normalised = call.scope.scratch("normalised", elements);
            call.scope.push(self.forward_of(value, [None, None], normalised));
            let product = multiplied(&mut call.scope, "grad_gamma_parts", sizes, [dy, normalised]);
            call.scope.push(sum(product, gradient));
        }
        if let Some(gradient) = call.gradient(usize::from(self.scale)).filter(|_| self.center) {
            call.scope.push(sum(dy, gradient));
        }
        let grad_input = call.grad_input(0);
        if let Some(grad_input) = grad_input {
            let (input, grad_output, gamma) = (value.buffer, dy, self.scale.then(|| call.parameters[0]));
            let grad = LayerNormGrad { elements, row, epsilon, input, gamma, grad_output, grad_input };
            call.scope.push(Operation::LayerNormGrad(grad));
        }
        vec![grad_input]
    }
}

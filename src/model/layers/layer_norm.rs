//! Normalisation of rows by their own statistics.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Gradient, Parameter, Trace, Value, elements, one};
use super::normalisation::multiplied;
use super::order::{Order, are_axes, row};
use crate::ops::{BufferId, LayerNorm, LayerNormGrad, Operation, Sum};
use crate::{Error, Result};

/// Keras's `LayerNormalization`, over some axes together.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LayerNormalization {
    /// The axes, each once, counted without the batch, from 0. Gamma and beta have the sizes of the axes in this order.
    /// As Keras broadcasts them, their elements lie in the order of the input's axes.
    pub axes: Vec<usize>,
    /// Added to the variance; Keras's is 0.001.
    pub epsilon: f32,
    /// Whether there is a beta.
    pub center: bool,
    /// Whether there is a gamma.
    pub scale: bool,
}

impl Computes for LayerNormalization {
    fn class(&self) -> &'static str {
        "layer_normalization"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        if !are_axes(input.len(), &self.axes) {
            let value = format!("{:?}", self.axes);
            return Err(Error::UnknownValue { argument: "axis", expected: "axes of the input, each once", value });
        }
        let sizes: Vec<usize> = self.axes.iter().map(|&axis| input[axis]).collect();
        let gamma = self.scale.then(|| Parameter::shaped("gamma", &sizes));
        let beta = self.center.then(|| Parameter::shaped("beta", &sizes));
        Ok(Built { parameters: gamma.into_iter().chain(beta).collect(), ..Built::of_shape(input) })
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let value = call.inputs[0];
        let (elements, row, epsilon) = (elements(value.shape), row(value.shape, &self.axes), self.epsilon);
        let gamma = self.scale.then(|| call.parameters[0]);
        let beta = self.center.then(|| call.parameters[usize::from(self.scale)]);
        let norm =
            |input, output| Operation::LayerNorm(LayerNorm { elements, row, epsilon, input, gamma, beta, output });
        let Some(order) = Order::with_last(value.shape.len(), &self.axes) else {
            let output = call.scope.output();
            call.scope.push(norm(value.buffer, output));
            return Trace { output, saved: vec![value.buffer] };
        };
        let input = order.moved(&mut call.scope, "rows", value);
        let rows = call.scope.scratch("normalised_rows", elements);
        call.scope.push(norm(input, rows));
        let output = call.scope.output();
        call.scope.push(order.back(value.shape, rows, output));
        Trace { output, saved: vec![input] }
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let (value, input) = (call.inputs[0], call.trace.saved[0]);
        let (elements, row, epsilon) = (elements(value.shape), row(value.shape, &self.axes), self.epsilon);
        let sizes = [1, 1, elements / row.max(1), row];
        let order = Order::with_last(value.shape.len(), &self.axes);
        let dy = match &order {
            None => call.grad_output,
            Some(order) => order.moved(&mut call.scope, "grad_rows", Value { buffer: call.grad_output, ..value }),
        };
        let sum = |input, Gradient { buffer: output, accumulate }: Gradient| {
            let (along, over_batch) = ([true, true, true, false], true);
            Operation::Sum(Sum { along, over_batch, accumulate, ..Sum::of(sizes, input, output) })
        };
        if let Some(gradient) = call.gradient(0).filter(|_| self.scale) {
            let output = call.scope.scratch("normalised", elements);
            let (gamma, beta) = (None, None);
            let norm = LayerNorm { elements, row, epsilon, input, gamma, beta, output };
            call.scope.push(Operation::LayerNorm(norm));
            let product = multiplied(&mut call.scope, "grad_gamma_parts", sizes, [dy, output]);
            call.scope.push(sum(product, gradient));
        }
        if let Some(gradient) = call.gradient(usize::from(self.scale)).filter(|_| self.center) {
            call.scope.push(sum(dy, gradient));
        }
        let result = call.grad_input(0);
        if let Some(result) = result {
            let (grad_output, gamma) = (dy, self.scale.then(|| call.parameters[0]));
            let grad_input = match &order {
                None => result,
                Some(_) => call.scope.scratch("grad_normalised_rows", elements),
            };
            let grad = LayerNormGrad { elements, row, epsilon, input, gamma, grad_output, grad_input };
            call.scope.push(Operation::LayerNormGrad(grad));
            if let Some(order) = order {
                call.scope.push(order.back(value.shape, grad_input, result));
            }
        }
        vec![result]
    }
}

//! Softmax over given axes.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Trace, Value, one};
use super::order::{Order, are_axes, row};
use crate::config::Activation;
use crate::ops::{Activate, ActivateGrad, BufferId, Operation};
use crate::{Error, Result};

/// Softmax over some axes together, counted without the batch, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Softmax {
    /// The axes that it is taken over, each once.
    pub axes: Vec<usize>,
}

impl Computes for Softmax {
    fn class(&self) -> &'static str {
        "softmax"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        if !are_axes(input.len(), &self.axes) {
            let value = format!("{:?}", self.axes);
            return Err(Error::UnknownValue { argument: "axis", expected: "axes of the input, each once", value });
        }
        Ok(Built::of_shape(input))
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let value = call.inputs[0];
        let (elements, row, activation) = (value.elements(), row(value.shape, &self.axes), Activation::Softmax);
        let Some(order) = Order::with_last(value.shape.len(), &self.axes) else {
            let (input, output) = (value.buffer, call.scope.output());
            call.scope.push(Operation::Activate(Activate { activation, elements, row, input, output }));
            return Trace { output, saved: vec![output] };
        };
        let input = order.moved(&mut call.scope, "rows", value);
        let rows = call.scope.scratch("softmax", elements);
        call.scope.push(Operation::Activate(Activate { activation, elements, row, input, output: rows }));
        let output = call.scope.output();
        call.scope.push(order.back(value.shape, rows, output));
        Trace { output, saved: vec![rows] }
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let (value, saved) = (call.inputs[0], call.trace.saved[0]);
        let Some(grad_input) = call.grad_input(0) else { return vec![None] };
        let (elements, row, activation) = (value.elements(), row(value.shape, &self.axes), Activation::Softmax);
        let grad = |grad_output, grad_input| {
            Operation::ActivateGrad(ActivateGrad { activation, elements, row, saved, grad_output, grad_input })
        };
        match Order::with_last(value.shape.len(), &self.axes) {
            None => call.scope.push(grad(call.grad_output, grad_input)),
            Some(order) => {
                let grad_output =
                    order.moved(&mut call.scope, "grad_rows", Value { buffer: call.grad_output, ..value });
                let rows = call.scope.scratch("grad_softmax", elements);
                call.scope.push(grad(grad_output, rows));
                call.scope.push(order.back(value.shape, rows, grad_input));
            }
        }
        vec![Some(grad_input)]
    }
}

//! Softmax over any axes.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Scope, Trace, elements, one};
use crate::config::Activation;
use crate::ops::{Activate, ActivateGrad, AxisMap, BufferId, Operation, Rearrange};
use crate::{Error, Result};

/// Softmax over some axes together, without the batch, the first being 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Softmax {
    /// Each once.
    pub axes: Vec<usize>,
}

impl Softmax {
    /// The axes in the order in which those of the softmax come last; none where they do already.
    fn order(&self, input: &[usize]) -> Option<Vec<usize>> {
        let (over, others): (Vec<usize>, Vec<usize>) = (0..input.len()).partition(|axis| self.axes.contains(axis));
        let order = [others, over].concat();
        (!order.is_sorted()).then_some(order)
    }

    fn row(&self, input: &[usize]) -> u64 {
        self.axes.iter().filter_map(|&axis| input.get(axis)).map(|&size| size as u64).product()
    }
}

/// A value with its axes in that order.
fn moved(scope: &mut Scope<'_>, role: &str, shape: &[usize], order: &[usize], input: BufferId) -> BufferId {
    let axes = order.iter().map(|&of| AxisMap::whole(shape[of] as u32, of)).collect();
    let output = scope.scratch(role, elements(shape));
    scope.push(Operation::Rearrange(Rearrange { axes, input, output }));
    output
}

/// A value of `shape` in that order, as it was before.
fn back(shape: &[usize], order: &[usize], input: BufferId, output: BufferId) -> Operation {
    let place = |axis: usize| order.iter().position(|&of| of == axis).unwrap_or(axis);
    let axes = (0..shape.len()).map(|axis| AxisMap::whole(shape[axis] as u32, place(axis))).collect();
    Operation::Rearrange(Rearrange { axes, input, output })
}

impl Computes for Softmax {
    fn class(&self) -> &'static str {
        "softmax"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        let mut axes = self.axes.clone();
        axes.sort_unstable();
        axes.dedup();
        if axes.len() != self.axes.len() || axes.is_empty() || axes.iter().any(|&axis| axis >= input.len()) {
            let value = format!("{:?}", self.axes);
            return Err(Error::UnknownValue { argument: "axis", expected: "axes of the input, each once", value });
        }
        Ok(Built::of_shape(input))
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let value = call.inputs[0];
        let (elements, row, activation) = (value.elements(), self.row(value.shape), Activation::Softmax);
        let Some(order) = self.order(value.shape) else {
            let (input, output) = (value.buffer, call.scope.output());
            call.scope.push(Operation::Activate(Activate { activation, elements, row, input, output }));
            return Trace { output, saved: vec![output] };
        };
        let input = moved(&mut call.scope, "rows", value.shape, &order, value.buffer);
        let rows = call.scope.scratch("softmax", elements);
        call.scope.push(Operation::Activate(Activate { activation, elements, row, input, output: rows }));
        let output = call.scope.output();
        call.scope.push(back(value.shape, &order, rows, output));
        Trace { output, saved: vec![rows] }
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let (value, saved) = (call.inputs[0], call.trace.saved[0]);
        let Some(grad_input) = call.grad_input(0) else { return vec![None] };
        let (elements, row, activation) = (value.elements(), self.row(value.shape), Activation::Softmax);
        let grad = |grad_output, grad_input| {
            Operation::ActivateGrad(ActivateGrad { activation, elements, row, saved, grad_output, grad_input })
        };
        match self.order(value.shape) {
            None => call.scope.push(grad(call.grad_output, grad_input)),
            Some(order) => {
                let grad_output = moved(&mut call.scope, "grad_rows", value.shape, &order, call.grad_output);
                let rows = call.scope.scratch("grad_softmax", elements);
                call.scope.push(grad(grad_output, rows));
                call.scope.push(back(value.shape, &order, rows, grad_input));
            }
        }
        vec![Some(grad_input)]
    }
}

//! An activation as a layer.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Trace, one};
use crate::Result;
use crate::config::{Activation, Saved};
use crate::ops::{Activate, ActivateGrad, BufferId, Operation};

/// An activation as a layer; softmax is over the last axis.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ActivationLayer(pub Activation);

impl Computes for ActivationLayer {
    fn class(&self) -> &'static str {
        "activation"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        Ok(Built::of_shape(one(inputs)?))
    }

    fn only_activates(&self) -> Option<Activation> {
        Some(self.0)
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let input = call.inputs[0];
        if self.0 == Activation::Linear {
            return Trace::of(input.buffer);
        }
        let output = call.scope.output();
        let (elements, row) = (input.elements(), input.row());
        let activate = Activate { activation: self.0, elements, row, input: input.buffer, output };
        call.scope.push(Operation::Activate(activate));
        Trace::of(output)
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let input = call.inputs[0];
        let (grad_output, elements, row) = (call.grad_output, input.elements(), input.row());
        let saved = match self.0.saved() {
            Saved::Nothing => return vec![Some(grad_output)],
            Saved::Output => call.trace.output,
            Saved::PreActivation => input.buffer,
        };
        let Some(grad_input) = call.grad_input(0) else { return vec![None] };
        let activation = self.0;
        let grad = ActivateGrad { activation, elements, row, saved, grad_output, grad_input };
        call.scope.push(Operation::ActivateGrad(grad));
        vec![Some(grad_input)]
    }
}

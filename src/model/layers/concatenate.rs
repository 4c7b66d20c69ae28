//! Values joined along an axis.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Trace, Value, elements};
use crate::ops::{BufferId, Columns, Concatenate as Joined, Operation, Rearrange};
use crate::{Error, Result};

/// Values joined along an axis. Axes are counted without the batch, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Concatenate {
    /// The axis along which values are joined.
    pub axis: usize,
}

impl Concatenate {
    fn operation(self, inputs: &[Value<'_>], output: BufferId) -> Joined {
        let rows = inputs.first().map_or(1, |input| elements(&input.shape[..self.axis]));
        let columns = |input: &Value<'_>| Columns { input: input.buffer, columns: elements(&input.shape[self.axis..]) };
        Joined { rows, inputs: inputs.iter().map(columns).collect(), output }
    }
}

impl Computes for Concatenate {
    fn class(&self) -> &'static str {
        "concatenate"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let Some((first, others)) = inputs.split_first() else {
            return Err(Error::Inputs { expected: "1 or more", found: 0 });
        };
        let mut shape = first.to_vec();
        if self.axis >= shape.len() {
            let value = format!("{}", self.axis);
            return Err(Error::UnknownValue { argument: "axis", expected: "an axis of the inputs", value });
        }
        for other in others {
            let fits = |(axis, (a, b)): (usize, (&usize, &usize))| axis == self.axis || a == b;
            if other.len() != first.len() || !first.iter().zip(*other).enumerate().all(fits) {
                let expected = format!("{first:?} but along axis {}", self.axis);
                return Err(Error::Shape { what: "an input".into(), expected, found: other.to_vec() });
            }
            shape[self.axis] = shape[self.axis].saturating_add(other[self.axis]);
        }
        Ok(Built::of_shape(shape))
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let output = call.scope.output();
        call.scope.push(Operation::Concatenate(self.operation(call.inputs, output)));
        Trace::of(output)
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let joined = self.operation(call.inputs, call.trace.output);
        let input = call.grad_output;
        let count = call.inputs.len();
        let gradient = |at: usize| {
            let axes = joined.grad_axes(at)?;
            let output = call.grad_input(at)?;
            call.scope.push(Operation::Rearrange(Rearrange { axes, input, output }));
            Some(output)
        };
        (0..count).map(gradient).collect()
    }
}

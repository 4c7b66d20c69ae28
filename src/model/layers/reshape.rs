//! Layers that give values another shape. No operation is needed, except where Keras moves the channels last.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Trace, elements, one};
use crate::config::DataFormat;
use crate::ops::{BufferId, Operation, Transpose};
use crate::{Error, Result};

/// The same elements in the same order in another shape, given without the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Reshape(pub Vec<usize>);

impl Computes for Reshape {
    fn class(&self) -> &'static str {
        "reshape"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        if elements(input) != elements(&self.0) {
            let what = "the input".to_owned();
            let expected = format!("{} elements, as {:?} has", elements(&self.0), self.0);
            return Err(Error::Shape { what, expected, found: input.to_vec() });
        }
        Ok(Built::of_shape(self.0.clone()))
    }

    fn forward(&self, call: ForwardCall<'_>) -> Trace {
        Trace::of(call.inputs[0].buffer)
    }

    fn backward(&self, call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        vec![Some(call.grad_output)]
    }
}

/// All elements along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Flatten {
    /// In `channels_first` the channels are moved last first, as Keras does.
    pub data_format: DataFormat,
}

impl Flatten {
    /// Rows and columns of the transpose that moves the channels last; none where that changes nothing.
    fn transposed(self, input: &[usize]) -> Option<(u64, u64)> {
        let rows = *input.first()? as u64;
        let columns = elements(input).checked_div(rows)?;
        (self.data_format == DataFormat::ChannelsFirst && rows > 1 && columns > 1).then_some((rows, columns))
    }
}

impl Computes for Flatten {
    fn class(&self) -> &'static str {
        "flatten"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        Ok(Built::of_shape([elements(one(inputs)?) as usize]))
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let input = call.inputs[0];
        let Some((rows, columns)) = self.transposed(input.shape) else { return Trace::of(input.buffer) };
        let output = call.scope.output();
        call.scope.push(Operation::Transpose(Transpose { rows, columns, input: input.buffer, output }));
        Trace::of(output)
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let Some((rows, columns)) = self.transposed(call.inputs[0].shape) else { return vec![Some(call.grad_output)] };
        let grad_input = call.grad_input(0);
        if let Some(output) = grad_input {
            let input = call.grad_output;
            call.scope.push(Operation::Transpose(Transpose { rows: columns, columns: rows, input, output }));
        }
        vec![grad_input]
    }
}

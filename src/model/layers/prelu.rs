//! Keras's `PReLU`.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Gradient, Parameter, Trace, Value, one};
use crate::ops::{BufferId, Combine, CombineGrad, How, Operation, Part, Sizes, Sum, broadcast};
use crate::{Error, Result};

/// Multiplies negative values by learned slopes: one for each element, or one for all elements along shared axes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PRelu {
    /// The shared axes, counted without the batch, from 0.
    pub shared_axes: Vec<usize>,
}

impl PRelu {
    /// Shape of the slopes.
    fn slopes(&self, input: &[usize]) -> Vec<usize> {
        let size = |(axis, &size): (usize, &usize)| if self.shared_axes.contains(&axis) { 1 } else { size };
        input.iter().enumerate().map(size).collect()
    }

    /// The axes of the slopes and of the input.
    fn axes(&self, input: &[usize]) -> Option<[Sizes; 2]> {
        let [input, slopes] =
            [input.to_vec(), self.slopes(input)].map(|s| s.into_iter().map(|size| size as u64).collect::<Vec<_>>());
        let (parts, whole) = broadcast(&[&slopes, &input])?;
        Some([*parts.first()?, whole])
    }

    fn parts(&self, input: Value<'_>, slopes: BufferId) -> Option<(Part, Part, Sizes)> {
        let [of_slopes, whole] = self.axes(input.shape)?;
        Some((Part::samples(input.buffer, whole), Part::fixed(slopes, of_slopes), whole))
    }
}

impl Computes for PRelu {
    fn class(&self) -> &'static str {
        "p_re_lu"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        if self.axes(input).is_none() {
            let with = format!("with shared axes {:?}: more than four groups of axes", self.shared_axes);
            return Err(Error::Unsupported { what: format!("an input of shape {input:?}"), with });
        }
        let parameters = vec![Parameter::shaped("alpha", &self.slopes(input))];
        Ok(Built { parameters, ..Built::of_shape(input) })
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let input = call.inputs[0];
        let Some((a, b, sizes)) = self.parts(input, call.parameters[0]) else { return Trace::of(input.buffer) };
        let output = call.scope.output();
        call.scope.push(Operation::Combine(Combine { how: How::PRelu, sizes, a, b, divisor: 1.0, output }));
        Trace::of(output)
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let Some((a, b, sizes)) = self.parts(call.inputs[0], call.parameters[0]) else { return vec![None] };
        let (how, grad_output) = (How::PRelu, call.grad_output);
        let grad =
            |of_second, grad| Operation::CombineGrad(CombineGrad { how, of_second, sizes, a, b, grad_output, grad });
        let grad_input = call.grad_input(0);
        if let Some(grad_input) = grad_input {
            call.scope.push(grad(false, grad_input));
        }
        if let Some(Gradient { buffer: output, accumulate }) = call.gradient(0) {
            let input = call.scope.scratch("grad_slopes", sizes.iter().product());
            call.scope.push(grad(true, input));
            let along = std::array::from_fn(|axis| b.sizes[axis] == 1 && sizes[axis] > 1);
            let sum = Sum { along, over_batch: true, accumulate, ..Sum::of(sizes, input, output) };
            call.scope.push(Operation::Sum(sum));
        }
        vec![grad_input]
    }
}

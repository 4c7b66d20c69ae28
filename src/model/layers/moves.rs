//! Layers that move values: padding, cropping, repeating, axes in another order.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Trace, one};
use crate::config::DataFormat;
use crate::ops::{AxisMap, BufferId, Operation, Rearrange, RearrangeGrad};
use crate::{Error, Result};

/// Where an input's values go in the output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Move {
    /// Zeroes before and after each spatial axis: Keras's `ZeroPadding`.
    Pad(Vec<[usize; 2]>, DataFormat),
    /// Removes this many positions at the beginning and end of each spatial axis: Keras's `Cropping`.
    Crop(Vec<[usize; 2]>, DataFormat),
    /// Repeats each position this many times along each spatial axis: Keras's `UpSampling`, nearest.
    Repeat(Vec<usize>, DataFormat),
    /// Axes in another order, counted without the batch, from 0 (Keras's `Permute` counts from 1).
    Permute(Vec<usize>),
    /// Repeats a row this many times, along a new first axis: Keras's `RepeatVector`.
    RepeatRow(usize),
}

impl Move {
    /// The output's axes.
    fn axes(&self, input: &[usize]) -> Result<Vec<AxisMap>> {
        let size = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let spatial = |rank: usize, format: DataFormat, map: &dyn Fn(usize, u32, usize) -> Result<AxisMap>| {
            if input.len() != rank + 1 {
                return Err(Error::InputRank { expected: rank + 1, shape: input.to_vec() });
            }
            let channels = if format == DataFormat::ChannelsFirst { 0 } else { rank };
            let axis = |(of, &n): (usize, &usize)| match of == channels {
                true => Ok(AxisMap::whole(size(n), of)),
                false => map(of - usize::from(channels == 0), size(n), of),
            };
            input.iter().enumerate().map(axis).collect::<Result<Vec<_>>>()
        };
        match self {
            Self::Pad(sides, format) => spatial(sides.len(), *format, &|axis, n, of| {
                let [before, after] = sides[axis].map(size);
                Ok(AxisMap::padded(n, before, after, of))
            }),
            Self::Crop(sides, format) => spatial(sides.len(), *format, &|axis, n, of| {
                let [before, after] = sides[axis].map(size);
                match n.checked_sub(before).and_then(|left| left.checked_sub(after)).filter(|&left| left > 0) {
                    Some(left) => Ok(AxisMap::cropped(n, before, left, of)),
                    None => Err(Error::Shape {
                        what: format!("axis {axis} of the input"),
                        expected: format!("more than {} positions", u64::from(before) + u64::from(after)),
                        found: input.to_vec(),
                    }),
                }
            }),
            Self::Repeat(factors, format) => {
                spatial(factors.len(), *format, &|axis, n, of| match size(factors[axis]) {
                    0 => Err(Error::NotPositive { argument: "size", value: 0 }),
                    factor => Ok(AxisMap::repeated(n, factor, of)),
                })
            }
            Self::Permute(order) => {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                if sorted.into_iter().ne(0..input.len()) {
                    let value = format!("{:?}", order.iter().map(|axis| axis + 1).collect::<Vec<_>>());
                    let expected = "an order of the input's axes besides the batch, from 1 on";
                    return Err(Error::UnknownValue { argument: "dims", expected, value });
                }
                Ok(order.iter().map(|&of| AxisMap::whole(size(input[of]), of)).collect())
            }
            Self::RepeatRow(0) => Err(Error::NotPositive { argument: "n", value: 0 }),
            Self::RepeatRow(times) => match *input {
                [row] => Ok(vec![AxisMap::repeated(1, size(*times), 0), AxisMap::whole(size(row), 1)]),
                _ => Err(Error::InputRank { expected: 1, shape: input.to_vec() }),
            },
        }
    }
}

impl Computes for Move {
    fn class(&self) -> &'static str {
        match self {
            Self::Pad(..) => "zero_padding",
            Self::Crop(..) => "cropping",
            Self::Repeat(..) => "up_sampling",
            Self::Permute(_) => "permute",
            Self::RepeatRow(_) => "repeat_vector",
        }
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let axes = self.axes(one(inputs)?)?;
        let shape: Vec<usize> = axes.iter().map(|axis| axis.output as usize).collect();
        Ok(Built { axes, ..Built::of_shape(shape) })
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let (input, axes) = (call.inputs[0].buffer, call.scope.built.axes.clone());
        let output = call.scope.output();
        call.scope.push(Operation::Rearrange(Rearrange { axes, input, output }));
        Trace::of(output)
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let (grad_input, grad_output, axes) = (call.grad_input(0), call.grad_output, call.scope.built.axes.clone());
        if let Some(grad_input) = grad_input {
            call.scope.push(Operation::RearrangeGrad(RearrangeGrad { axes, grad_output, grad_input }));
        }
        vec![grad_input]
    }
}

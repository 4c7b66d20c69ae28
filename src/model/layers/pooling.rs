//! Pooling of windows, and of all positions.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Trace, elements, one};
use crate::config::{DataFormat, Padding};
use crate::ops::{Along, BufferId, Operation, Pool, PoolGrad, PoolKind, Pooled, Reduce, ReduceGrad, Ties, Windows};
use crate::{Error, Result};

/// The largest or the average value of each window, channel by channel.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Pooling {
    /// The largest or the average.
    pub kind: PoolKind,
    /// Positions of a window along each axis.
    pub size: Vec<usize>,
    /// Distances between windows along each axis; Keras's default is `size`.
    pub strides: Vec<usize>,
    /// [`Padding::Valid`], or Keras's `same`, [`Padding::SameUpper`].
    pub padding: Padding,
    /// Where the channels are.
    pub data_format: DataFormat,
}

impl Pooling {
    /// Windows side by side, without padding, on channels_last.
    pub fn new(kind: PoolKind, size: impl Into<Vec<usize>>) -> Self {
        let size = size.into();
        Self { kind, strides: size.clone(), size, padding: Padding::Valid, data_format: DataFormat::ChannelsLast }
    }
}

/// The number of channels and the other sizes of a shape.
fn apart(input: &[usize], rank: usize, data_format: DataFormat) -> Result<(usize, &[usize])> {
    let parts = match data_format {
        DataFormat::ChannelsLast => input.split_last(),
        DataFormat::ChannelsFirst => input.split_first(),
    };
    match parts {
        Some((&channels, spatial)) if spatial.len() == rank => Ok((channels, spatial)),
        _ => Err(Error::InputRank { expected: rank + 1, shape: input.to_vec() }),
    }
}

impl Computes for Pooling {
    fn class(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "max_pooling",
            PoolKind::Average => "average_pooling",
        }
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let Self { size, strides, padding, data_format, .. } = self;
        let (channels, spatial) = apart(one(inputs)?, size.len(), *data_format)?;
        let data_format = *data_format;
        let windows = Windows::new(&Pooled { input: spatial, size, strides, padding, channels, data_format })?;
        let mut shape: Vec<usize> = windows.axes.iter().map(|axis| axis.output as usize).collect();
        shape.insert(if data_format == DataFormat::ChannelsFirst { 0 } else { shape.len() }, channels);
        Ok(Built { windows: Some(windows), ..Built::of_shape(shape) })
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let input = call.inputs[0].buffer;
        let Some(windows) = call.scope.built.windows.clone() else { return Trace::of(input) };
        let output = call.scope.output();
        call.scope.push(Operation::Pool(Pool { kind: self.kind, windows, input, output }));
        Trace::of(output)
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let (grad_input, grad_output, kind) = (call.grad_input(0), call.grad_output, self.kind);
        let input = (kind == PoolKind::Max).then_some(call.inputs[0].buffer);
        let ties = Ties::of_keras(self.size.len());
        if let Some((grad_input, windows)) = grad_input.zip(call.scope.built.windows.clone()) {
            call.scope.push(Operation::PoolGrad(PoolGrad { kind, ties, windows, input, grad_output, grad_input }));
        }
        vec![grad_input]
    }
}

/// The largest or the average value of all positions, channel by channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GlobalPooling {
    /// The largest or the average.
    pub kind: PoolKind,
    /// Where the channels are.
    pub data_format: DataFormat,
    /// Whether the output keeps the spatial axes, each with one position.
    pub keep_dims: bool,
}

impl GlobalPooling {
    fn along(&self, input: &[usize]) -> Along {
        let all = elements(input);
        let channels = match self.data_format {
            DataFormat::ChannelsLast => input.last(),
            DataFormat::ChannelsFirst => input.first(),
        };
        let channels = channels.map_or(1, |&channels| channels as u64);
        let length = all.checked_div(channels).unwrap_or(all);
        match self.data_format {
            DataFormat::ChannelsLast => Along { outer: 1, length, inner: channels },
            DataFormat::ChannelsFirst => Along { outer: channels, length, inner: 1 },
        }
    }
}

impl Computes for GlobalPooling {
    fn class(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "global_max_pooling",
            PoolKind::Average => "global_average_pooling",
        }
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        if input.len() < 2 {
            return Err(Error::InputRank { expected: 2, shape: input.to_vec() });
        }
        let rank = input.len() - 1;
        let (channels, _) = apart(input, rank, self.data_format)?;
        let mut shape = vec![1; if self.keep_dims { rank } else { 0 }];
        let at = if self.data_format == DataFormat::ChannelsFirst { 0 } else { shape.len() };
        shape.insert(at, channels);
        Ok(Built::of_shape(shape))
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let input = call.inputs[0];
        let (output, along) = (call.scope.output(), self.along(input.shape));
        call.scope.push(Operation::Reduce(Reduce { kind: self.kind, along, input: input.buffer, output }));
        Trace::of(output)
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let (value, kind, grad_output) = (call.inputs[0], self.kind, call.grad_output);
        let input = (kind == PoolKind::Max).then_some(value.buffer);
        let grad_input = call.grad_input(0);
        if let Some(grad_input) = grad_input {
            let along = self.along(value.shape);
            call.scope.push(Operation::ReduceGrad(ReduceGrad { kind, along, input, grad_output, grad_input }));
        }
        vec![grad_input]
    }
}

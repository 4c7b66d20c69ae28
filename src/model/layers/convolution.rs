//! Layers of windows whose locations share weights: convolutions, depthwise and separable ones, and dense layers.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Trace, one};
use super::windows::{self, Wanted, Windows};
use crate::Result;
use crate::config::{Activation, Bias, Config};
use crate::geometry::Geometry;
use crate::ops::BufferId;
use std::sync::Arc;

/// A convolution. Keras's `use_bias=True` is [`Bias::PerFilter`], its `same` [`Padding::SameUpper`](crate::Padding::SameUpper) and
/// its `causal` [`Padding::causal`](crate::Padding::causal).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Convolution(pub Config);

impl Computes for Convolution {
    fn class(&self) -> &'static str {
        ["conv1d", "conv2d", "conv3d"].get(self.0.rank().wrapping_sub(1)).unwrap_or(&"conv")
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        Ok(windows::built(Arc::new(Geometry::convolution(&self.0, one(inputs)?)?), "kernel"))
    }

    fn forward(&self, call: ForwardCall<'_>) -> Trace {
        windows::forward(call)
    }

    fn backward(&self, call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        windows::backward(call)
    }
}

/// A convolution of each channel by itself. The config's `filters` are those of one channel: Keras's
/// `depth_multiplier`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Depthwise(pub Config);

impl Depthwise {
    /// The geometry for an input of this shape.
    fn geometry(&self, input: &[usize]) -> Result<Geometry> {
        let rank = self.0.rank();
        let at = if self.0.data_format == crate::config::DataFormat::ChannelsFirst { 0 } else { rank };
        let channels = input.get(at).copied().unwrap_or(1);
        let filters = self.0.filters.saturating_mul(channels);
        Geometry::convolution(&Config { filters, groups: channels, ..self.0.clone() }, input)
    }
}

impl Computes for Depthwise {
    fn class(&self) -> &'static str {
        ["depthwise_conv1d", "depthwise_conv2d"].get(self.0.rank().wrapping_sub(1)).unwrap_or(&"depthwise_conv")
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        Ok(windows::built(Arc::new(self.geometry(one(inputs)?)?), "depthwise_kernel"))
    }

    fn forward(&self, call: ForwardCall<'_>) -> Trace {
        windows::forward(call)
    }

    fn backward(&self, call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        windows::backward(call)
    }
}

/// A depthwise convolution, followed by a convolution with windows of one position.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Separable {
    /// The depthwise convolution, as in [`Depthwise`], without bias and activation.
    pub depthwise: Config,
    /// Filters of the second convolution.
    pub filters: usize,
    /// Whether the second convolution has a bias.
    pub bias: bool,
    /// The activation after the second convolution.
    pub activation: Activation,
}

impl Computes for Separable {
    fn class(&self) -> &'static str {
        ["separable_conv1d", "separable_conv2d"].get(self.depthwise.rank().wrapping_sub(1)).unwrap_or(&"separable_conv")
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let plain = Config { bias: Bias::None, activation: Activation::Linear, ..self.depthwise.clone() };
        let depthwise = Arc::new(Depthwise(plain).geometry(one(inputs)?)?);
        let bias = if self.bias { Bias::PerFilter } else { Bias::None };
        let config = Config::new(self.filters, vec![1; self.depthwise.rank()]).bias(bias).activation(self.activation);
        let config = config.data_format(self.depthwise.data_format);
        let pointwise = Arc::new(Geometry::convolution(&config, &depthwise.output_shape())?);
        let weights =
            [windows::parameter(&depthwise, "depthwise_kernel"), windows::parameter(&pointwise, "pointwise_kernel")];
        let parameters = weights.into_iter().chain(windows::bias(&pointwise)).collect();
        let (shape, geometries) = (pointwise.output_shape(), vec![depthwise, pointwise]);
        Ok(Built { shape, geometries, parameters, ..Built::default() })
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let input = call.inputs[0].buffer;
        let (Some(first), Some(second)) = (call.scope.geometry(0), call.scope.geometry(1)) else {
            return Trace::of(input);
        };
        let between = call.scope.scratch("depthwise", first.outputs());
        let windows = Windows { geometry: first, input, weights: call.parameters[0], bias: None, output: between };
        windows.forward(&mut call.scope, call.keep);
        let output = call.scope.output();
        let (weights, bias) = (call.parameters[1], call.parameters.get(2).copied());
        let windows = Windows { geometry: second, input: between, weights, bias, output };
        let saved = windows.forward(&mut call.scope, call.keep);
        Trace { output, saved: std::iter::once(between).chain(saved).collect() }
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let (Some(first), Some(second)) = (call.scope.geometry(0), call.scope.geometry(1)) else { return vec![None] };
        let between = call.trace.saved[0];
        let grad_between = call.scope.scratch("grad_depthwise", first.outputs());
        let windows = Windows {
            geometry: second,
            input: between,
            weights: call.parameters[1],
            bias: None,
            output: call.trace.output,
        };
        let wanted = Wanted {
            grad_output: call.grad_output,
            grad_weights: call.gradient(1),
            update: call.update(1),
            grad_bias: call.gradient(2),
            grad_input: Some(grad_between),
        };
        let saved = call.trace.saved.get(1).copied();
        windows.backward(&mut call.scope, saved, wanted);
        let (input, weights) = (call.inputs[0].buffer, call.parameters[0]);
        let windows = Windows { geometry: first, input, weights, bias: None, output: between };
        let (grad_weights, update, grad_input) = (call.gradient(0), call.update(0), call.grad_input(0));
        let wanted = Wanted { grad_output: grad_between, grad_weights, update, grad_bias: None, grad_input };
        windows.backward(&mut call.scope, None, wanted);
        vec![grad_input]
    }
}

/// A dense layer along the last axis. Positions along all other axes are locations, which share the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dense {
    /// Length of the output's last axis.
    pub units: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// The activation; one over rows is along the last axis.
    pub activation: Activation,
}

impl Dense {
    /// A dense layer with a bias and no activation.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        Self { units, bias: true, activation: Activation::Linear }
    }

    /// The same with an activation.
    #[must_use]
    pub const fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }
}

impl Computes for Dense {
    fn class(&self) -> &'static str {
        "dense"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        let geometry = Geometry::dense(self.units, input, self.bias, self.activation)?;
        let mut shape = input.to_vec();
        shape.pop();
        shape.push(self.units);
        Ok(Built { shape, ..windows::built(Arc::new(geometry), "kernel") })
    }

    fn forward(&self, call: ForwardCall<'_>) -> Trace {
        windows::forward(call)
    }

    fn backward(&self, call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        windows::backward(call)
    }
}

//! Unshared weights of windows.

use super::{BackwardCall, Built, Computes, ForwardCall, Kind, Layer, Parameter, Trace, one};
use crate::config::{Config, Saved};
use crate::geometry::Geometry;
use crate::model::local;
use crate::ops::{BufferId, Shape};
use crate::{Error, Result};
use std::sync::Arc;

/// A locally connected layer, with its bias and activation.
#[derive(Debug, Clone, PartialEq)]
pub enum Local {
    /// As configured, for whatever input shape it meets.
    Config(Config),
    /// For one input shape, with a connectivity of the user's, say.
    Geometry(Arc<Geometry>),
}

impl From<Config> for Kind {
    fn from(config: Config) -> Self {
        Self::Local(Local::Config(config))
    }
}

impl From<Config> for Layer {
    fn from(config: Config) -> Self {
        Self::new(config)
    }
}

impl From<Arc<Geometry>> for Kind {
    fn from(geometry: Arc<Geometry>) -> Self {
        Self::Local(Local::Geometry(geometry))
    }
}

impl From<Arc<Geometry>> for Layer {
    fn from(geometry: Arc<Geometry>) -> Self {
        Self::new(geometry)
    }
}

impl Computes for Local {
    fn class(&self) -> &'static str {
        match self {
            Self::Config(config) => ["locally_connected1d", "locally_connected2d", "locally_connected3d"]
                .get(config.rank().wrapping_sub(1))
                .unwrap_or(&"locally_connected"),
            Self::Geometry(_) => "locally_connected",
        }
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        let geometry = match self {
            Self::Config(config) => Arc::new(Geometry::new(config, input)?),
            Self::Geometry(geometry) if geometry.input_shape() == input => geometry.clone(),
            Self::Geometry(geometry) => {
                let (what, expected) = ("the input".to_owned(), format!("{:?}", geometry.input_shape()));
                return Err(Error::Shape { what, expected, found: input.to_vec() });
            }
        };
        Ok(built(geometry, "kernel"))
    }

    fn forward(&self, call: ForwardCall<'_>) -> Trace {
        forward(call)
    }

    fn backward(&self, call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        backward(call)
    }
}

/// A layer of windows, its weights under Keras's name of them.
pub(super) fn built(geometry: Arc<Geometry>, weights: &'static str) -> Built {
    let (shape, dtype) = (Shape::of_weights(&geometry), geometry.config().dtype);
    let weights = Parameter { name: weights, shape, dtype, learned: true };
    let bias = (geometry.biases() > 0).then(|| Parameter::fixed("bias", geometry.biases()));
    let parameters = std::iter::once(weights).chain(bias).collect();
    Built { shape: geometry.output_shape(), geometries: vec![geometry], parameters }
}

/// The forward pass of a layer of windows, with its weights and bias as parameters.
pub(super) fn forward(mut call: ForwardCall<'_>) -> Trace {
    let input = call.inputs[0].buffer;
    let Some(geometry) = call.scope.geometry(0) else { return Trace::of(input) };
    let activation = geometry.config().activation;
    let saves_sums = activation.saved() == Saved::PreActivation;
    let apart = activation.over_rows() || call.keep && saves_sums;
    let pre_activation = apart.then(|| call.scope.scratch("pre_activation", geometry.outputs()));
    let output = call.scope.output();
    let (weights, bias) = (call.parameters[0], call.parameters.get(1).copied());
    let operations = local::Forward { input, weights, bias, pre_activation, output }.operations(geometry);
    call.scope.program.operations.extend(operations);
    Trace { output, saved: pre_activation.filter(|_| saves_sums).into_iter().collect() }
}

/// The backward pass of a layer of windows.
pub(super) fn backward(mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
    let Some(geometry) = call.scope.geometry(0) else { return vec![None] };
    let activation = (geometry.config().activation.saved() != Saved::Nothing).then(|| {
        let saved = call.trace.saved.first().copied().unwrap_or(call.trace.output);
        [saved, call.scope.scratch("grad_pre_activation", geometry.outputs())]
    });
    let (input, weights) = (call.inputs[0].buffer, call.parameters[0]);
    let grad_input = call.grad_input(0);
    let backward = local::Backward {
        activation,
        grad_output: call.grad_output,
        grad_bias: call.gradient(1),
        grad_weights: call.gradient(0).map(|gradient| (input, gradient)),
        grad_input: grad_input.map(|grad_input| [weights, grad_input]),
    };
    let operations = backward.operations(geometry);
    call.scope.program.operations.extend(operations);
    vec![grad_input]
}

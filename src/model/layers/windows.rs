//! The passes of layers of windows, whether their locations share weights or not.

use super::call::{BackwardCall, Built, ForwardCall, Gradient, Parameter, Scope, Trace};
use crate::config::Saved;
use crate::geometry::Geometry;
use crate::model::local;
use crate::ops::{BufferId, Change, Shape};
use std::sync::Arc;

/// A layer of windows, whose weights have this name in Keras.
pub(super) fn built(geometry: Arc<Geometry>, weights: &'static str) -> Built {
    let bias = bias(&geometry);
    let parameters = std::iter::once(parameter(&geometry, weights)).chain(bias).collect();
    Built { shape: geometry.output_shape(), geometries: vec![geometry], parameters, ..Built::default() }
}

/// The weights of windows.
pub(super) fn parameter(geometry: &Geometry, name: &'static str) -> Parameter {
    let (shape, dtype) = (Shape::of_weights(geometry), geometry.config().dtype);
    Parameter { name, shape, dtype, learned: true, stored: Vec::new() }
}

/// The bias of windows, if they have one.
pub(super) fn bias(geometry: &Geometry) -> Option<Parameter> {
    geometry.bias_shape().map(|shape| Parameter::shaped("bias", &shape))
}

/// A forward pass of windows.
pub(super) struct Windows<'a> {
    pub(super) geometry: &'a Arc<Geometry>,
    pub(super) input: BufferId,
    pub(super) weights: BufferId,
    pub(super) bias: Option<BufferId>,
    pub(super) output: BufferId,
}

impl Windows<'_> {
    /// Makes its operations; gives the buffer of the values before the activation if a backward pass needs them.
    pub(super) fn forward(&self, scope: &mut Scope<'_>, keep: bool) -> Option<BufferId> {
        let &Self { geometry, input, weights, bias, output } = self;
        let activation = geometry.config().activation;
        let saves_sums = activation.saved() == Saved::PreActivation;
        let apart = activation.over_rows() || keep && saves_sums;
        let pre_activation = apart.then(|| scope.scratch("pre_activation", geometry.outputs()));
        let operations = local::Forward { input, weights, bias, pre_activation, output }.operations(geometry);
        scope.program.operations.extend(operations);
        pre_activation.filter(|_| saves_sums)
    }

    /// Makes the operations of its gradients; `saved` is what the forward pass gave.
    pub(super) fn backward(&self, scope: &mut Scope<'_>, saved: Option<BufferId>, wanted: Wanted<'_>) {
        let &Self { geometry, input, weights, output, .. } = self;
        let Wanted { grad_output, grad_weights, update, grad_bias, grad_input } = wanted;
        let activation = (geometry.config().activation.saved() != Saved::Nothing)
            .then(|| [saved.unwrap_or(output), scope.scratch("grad_pre_activation", geometry.outputs())]);
        let backward = local::Backward {
            activation,
            grad_output,
            grad_bias,
            grad_weights: grad_weights.map(|gradient| (input, gradient)),
            update: update.map(|change| (input, change)),
            grad_input: grad_input.map(|grad_input| [weights, grad_input]),
        };
        scope.program.operations.extend(backward.operations(geometry));
    }
}

/// The gradients of windows that are wanted: those that have a place.
pub(super) struct Wanted<'a> {
    pub(super) grad_output: BufferId,
    pub(super) grad_weights: Option<Gradient>,
    /// The update of the weights, if the operation that computes their gradient does it.
    pub(super) update: Option<&'a Change>,
    pub(super) grad_bias: Option<Gradient>,
    pub(super) grad_input: Option<BufferId>,
}

/// The forward pass of a layer of one set of windows, whose weights and bias are its parameters.
pub(super) fn forward(mut call: ForwardCall<'_>) -> Trace {
    let input = call.inputs[0].buffer;
    let Some(geometry) = call.scope.geometry(0) else { return Trace::of(input) };
    let output = call.scope.output();
    let (weights, bias) = (call.parameters[0], call.parameters.get(1).copied());
    let saved = Windows { geometry, input, weights, bias, output }.forward(&mut call.scope, call.keep);
    Trace { output, saved: saved.into_iter().collect() }
}

/// Its backward pass.
pub(super) fn backward(mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
    let Some(geometry) = call.scope.geometry(0) else { return vec![None] };
    let (input, weights, output) = (call.inputs[0].buffer, call.parameters[0], call.trace.output);
    let wanted = Wanted {
        grad_output: call.grad_output,
        grad_weights: call.gradient(0),
        update: call.update(0),
        grad_bias: call.gradient(1),
        grad_input: call.grad_input(0),
    };
    let (grad_input, saved) = (wanted.grad_input, call.trace.saved.first().copied());
    Windows { geometry, input, weights, bias: None, output }.backward(&mut call.scope, saved, wanted);
    vec![grad_input]
}

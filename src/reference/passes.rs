//! Both passes of a layer alone.

use super::{Values, run};
use crate::Result;
use crate::geometry::Geometry;
use crate::model::{Gradients, layer_backward, layer_forward, layer_names as names};
use std::sync::Arc;

/// All results of a forward and a backward pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Passes {
    /// `[batch][output shape]` before the activation.
    pub pre_activation: Vec<f64>,
    /// `[batch][output shape]`.
    pub output: Vec<f64>,
    /// `[batch][input shape]`.
    pub grad_input: Vec<f64>,
    /// By the weights, in the canonical order.
    pub grad_weights: Vec<f64>,
    /// By the bias, in Keras's order; empty without one.
    pub grad_bias: Vec<f64>,
}

/// The operands of both passes of a layer.
#[derive(Debug, Clone, Copy)]
pub struct PassOperands<'a> {
    /// `[batch][input shape]`.
    pub input: &'a [f32],
    /// The weights, in the canonical order.
    pub weights: &'a [f32],
    /// The bias, in Keras's order; empty without one.
    pub bias: &'a [f32],
    /// `[batch][output shape]`.
    pub grad_output: &'a [f32],
}

/// A whole forward and backward pass for the loss `Σ output · grad_output`.
///
/// # Errors
/// Those of [`run`].
pub fn passes(layer: &Geometry, of: PassOperands<'_>) -> Result<Passes> {
    let PassOperands { input, weights, bias, grad_output } = of;
    let (layer, batch) = (Arc::new(layer.clone()), (input.len() as u64 / layer.inputs()) as u32);
    let given =
        [(names::INPUT, input), (names::WEIGHTS, weights), (names::BIAS, bias), (names::GRAD_OUTPUT, grad_output)];
    let wide = |values: &[f32]| values.iter().map(|&value| value.into()).collect();
    let mut values: Values = given.map(|(name, values)| (name.to_owned(), wide(values))).into();
    for program in [layer_forward(&layer, true), layer_backward(&layer, Gradients::ALL)] {
        let written = run(&program, batch, &values)?;
        values.extend(written);
    }
    let mut take = |name| values.remove(name).unwrap_or_default();
    Ok(Passes {
        pre_activation: take(names::PRE_ACTIVATION),
        output: take(names::OUTPUT),
        grad_input: take(names::GRAD_INPUT),
        grad_weights: take(names::GRAD_WEIGHTS),
        grad_bias: take(names::GRAD_BIAS),
    })
}

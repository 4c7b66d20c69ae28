//! Activations and their derivatives in f32, over arrays.

use crate::config::{Activation, Saved};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI, SQRT_2};

const SELU_SCALE: f32 = 1.050_701;
const SELU_ALPHA: f32 = 1.673_263_2;

fn sigmoid(z: f32) -> f32 {
    // exp of a number that is not positive never overflows.
    let e = (-z.abs()).exp();
    (if z >= 0.0 { 1.0 } else { e }) / (1.0 + e)
}

fn softplus(z: f32) -> f32 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// Twice the standard normal distribution's integral up to `z`: 1 + erf(z / √2), without its cancellation.
fn twice_normal(z: f32) -> f32 {
    libm::erfcf(-z * FRAC_1_SQRT_2)
}

fn gelu_tanh(z: f32) -> f32 {
    ((FRAC_2_SQRT_PI * FRAC_1_SQRT_2) * (z + 0.044_715 * z * z * z)).tanh()
}

fn relu(z: f32, negative_slope: f32, max_value: Option<f32>, threshold: f32) -> f32 {
    match max_value {
        Some(most) if z >= most => most,
        _ if z > threshold => z,
        _ => negative_slope * (z - threshold),
    }
}

fn relu_slope(z: f32, negative_slope: f32, max_value: Option<f32>, threshold: f32) -> f32 {
    match max_value {
        Some(most) if z >= most => 0.0,
        _ if z > threshold => 1.0,
        _ => negative_slope,
    }
}

#[inline(always)]
fn map(values: &mut [f32], function: impl Fn(f32) -> f32) {
    for value in values {
        *value = function(*value);
    }
}

/// An element-wise activation of all values, where they lie. One over rows leaves them as they are.
#[inline(always)]
pub(super) fn activate(values: &mut [f32], activation: Activation) {
    match activation {
        Activation::Linear | Activation::Softmax | Activation::LogSoftmax => {}
        Activation::Relu { negative_slope, max_value: None, threshold: 0.0 } => {
            map(values, |z| if z > 0.0 { z } else { negative_slope * z });
        }
        Activation::Relu { negative_slope, max_value, threshold } => {
            map(values, |z| relu(z, negative_slope, max_value, threshold));
        }
        Activation::Elu { alpha } => map(values, |z| if z > 0.0 { z } else { alpha * z.exp_m1() }),
        Activation::Selu => map(values, |z| SELU_SCALE * if z > 0.0 { z } else { SELU_ALPHA * z.exp_m1() }),
        Activation::Softplus => map(values, softplus),
        Activation::Softsign => map(values, |z| z / (z.abs() + 1.0)),
        Activation::Tanh => map(values, f32::tanh),
        Activation::Sigmoid => map(values, sigmoid),
        Activation::HardSigmoid => map(values, |z| (0.2 * z + 0.5).clamp(0.0, 1.0)),
        Activation::Exponential => map(values, f32::exp),
        Activation::Swish => map(values, |z| z * sigmoid(z)),
        Activation::Gelu { approximate: false } => map(values, |z| 0.5 * z * twice_normal(z)),
        Activation::Gelu { approximate: true } => map(values, |z| 0.5 * z * (1.0 + gelu_tanh(z))),
        Activation::Mish => map(values, |z| z * softplus(z).tanh()),
    }
}

/// Multiplies each gradient in `grad` by `slope` of what was saved.
#[inline(always)]
fn times(grad: &mut [f32], saved: &[f32], slope: impl Fn(f32) -> f32) {
    for (grad, saved) in grad.iter_mut().zip(saved) {
        *grad *= slope(*saved);
    }
}

/// Multiplies gradients by the derivative of an element-wise activation, from what [`Activation::saved`] says. One over rows
/// leaves them as they are.
#[inline(always)]
pub(super) fn times_derivative(grad: &mut [f32], saved: &[f32], activation: Activation) {
    match activation.saved() {
        Saved::Nothing => {}
        Saved::Output => times_derivative_of_output(grad, saved, activation),
        Saved::PreActivation => times_derivative_at(grad, saved, activation),
    }
}

/// By the activation's outputs: of those that these determine.
#[inline(always)]
fn times_derivative_of_output(grad: &mut [f32], outputs: &[f32], activation: Activation) {
    match activation {
        Activation::Relu { .. } => times(grad, outputs, |y| if y > 0.0 { 1.0 } else { 0.0 }),
        Activation::Elu { alpha } => times(grad, outputs, |y| if y > 0.0 { 1.0 } else { y + alpha }),
        Activation::Selu => {
            times(grad, outputs, |y| if y > 0.0 { SELU_SCALE } else { y + SELU_SCALE * SELU_ALPHA });
        }
        Activation::Softplus => times(grad, outputs, |y| -(-y).exp_m1()),
        Activation::Softsign => times(grad, outputs, |y| (1.0 - y.abs()) * (1.0 - y.abs())),
        Activation::Tanh => times(grad, outputs, |y| 1.0 - y * y),
        Activation::Sigmoid => times(grad, outputs, |y| y * (1.0 - y)),
        Activation::Exponential => times(grad, outputs, |y| y),
        Activation::Linear
        | Activation::HardSigmoid
        | Activation::Swish
        | Activation::Gelu { .. }
        | Activation::Mish
        | Activation::Softmax
        | Activation::LogSoftmax => {}
    }
}

/// By the values before the activation: of those whose outputs don't determine it.
#[inline(always)]
fn times_derivative_at(grad: &mut [f32], values: &[f32], activation: Activation) {
    match activation {
        Activation::Relu { negative_slope, max_value, threshold } => {
            times(grad, values, |z| relu_slope(z, negative_slope, max_value, threshold));
        }
        Activation::Elu { alpha } => times(grad, values, |z| if z > 0.0 { 1.0 } else { alpha * z.exp() }),
        Activation::HardSigmoid => {
            times(grad, values, |z| if (0.0..=1.0).contains(&(0.2 * z + 0.5)) { 0.2 } else { 0.0 });
        }
        Activation::Swish => times(grad, values, |z| sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z)))),
        Activation::Gelu { approximate: false } => times(grad, values, |z| {
            let density = (-0.5 * z * z).exp() / (SQRT_2 * PI.sqrt());
            0.5 * twice_normal(z) + z * density
        }),
        Activation::Gelu { approximate: true } => times(grad, values, |z| {
            let t = gelu_tanh(z);
            let slope = (FRAC_2_SQRT_PI * FRAC_1_SQRT_2) * (1.0 + 3.0 * 0.044_715 * z * z);
            0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope
        }),
        Activation::Mish => times(grad, values, |z| {
            let t = softplus(z).tanh();
            t + z * (1.0 - t * t) * sigmoid(z)
        }),
        Activation::Linear
        | Activation::Selu
        | Activation::Softplus
        | Activation::Softsign
        | Activation::Tanh
        | Activation::Sigmoid
        | Activation::Exponential
        | Activation::Softmax
        | Activation::LogSoftmax => {}
    }
}

/// The largest of a row and the sum of e^(z - largest), in f64: a row may be as long as an input.
fn largest_and_sum(row: &[f32]) -> (f32, f64) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (largest, row.iter().map(|z| f64::from((z - largest).exp())).sum())
}

/// Softmax of a row.
pub(super) fn softmax(row: &[f32], output: &mut [f32]) {
    let (largest, sum) = largest_and_sum(row);
    for (output, z) in output.iter_mut().zip(row) {
        *output = (f64::from((z - largest).exp()) / sum) as f32;
    }
}

/// The logarithm of softmax of a row.
pub(super) fn log_softmax(row: &[f32], output: &mut [f32]) {
    let (largest, sum) = largest_and_sum(row);
    let logarithm = sum.ln() as f32;
    for (output, z) in output.iter_mut().zip(row) {
        *output = z - largest - logarithm;
    }
}

/// The gradient before softmax of a row, from its output and that's gradient.
pub(super) fn softmax_grad(outputs: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    let sum: f64 = outputs.iter().zip(grad_output).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum();
    for (grad, (&y, &dy)) in grad_input.iter_mut().zip(outputs.iter().zip(grad_output)) {
        *grad = (f64::from(y) * (f64::from(dy) - sum)) as f32;
    }
}

/// The gradient before the logarithm of softmax of a row, from its output and that's gradient.
pub(super) fn log_softmax_grad(outputs: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    let sum: f64 = grad_output.iter().map(|&dy| f64::from(dy)).sum();
    for (grad, (&y, &dy)) in grad_input.iter_mut().zip(outputs.iter().zip(grad_output)) {
        *grad = (f64::from(dy) - f64::from(y.exp()) * sum) as f32;
    }
}

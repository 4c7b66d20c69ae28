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

/// `1 + erf(z / √2)`, twice the integral of the standard normal distribution up to `z`, without cancellation.
fn twice_normal(z: f32) -> f32 {
    libm::erfcf(-z * FRAC_1_SQRT_2)
}

fn gelu_tanh(z: f32) -> f32 {
    ((FRAC_2_SQRT_PI * FRAC_1_SQRT_2) * (z + 0.044_715 * z * z * z)).tanh()
}

/// The outputs of selu above which `e^z` is 1 in 32 bits, in which Keras computes `e^z − 1`.
const SELU_ZERO: f32 = -SELU_SCALE * SELU_ALPHA / (1 << 25) as f32;

/// `z` where it is positive or NaN, else 0. `f32::max` would turn NaN into 0.
fn positive(z: f32) -> f32 {
    if z <= 0.0 { 0.0 } else { z }
}

fn thresholded(z: f32, threshold: f32) -> f32 {
    z * if z > threshold { 1.0 } else { 0.0 }
}

/// Keras's relu with a slope, a bound and a threshold, in Keras's order of operations. Without bound and threshold
/// Keras computes leaky relu instead.
fn relu(z: f32, negative_slope: f32, max_value: f32, threshold: f32) -> f32 {
    let above = if threshold == 0.0 { positive(z) } else { thresholded(z, threshold) };
    let bounded = if above > max_value { max_value } else { above };
    // A slope of 0 times infinity would be NaN.
    if negative_slope == 0.0 { bounded } else { bounded - negative_slope * positive(threshold - z) }
}

fn relu_slope(z: f32, negative_slope: f32, max_value: f32, threshold: f32) -> f32 {
    // TensorFlow's relu6 differs from its clipping: its slope at 6 is 0.
    let clipped = z > max_value || max_value == 6.0 && threshold == 0.0 && z == 6.0;
    let above = if clipped { 0.0 } else { 1.0 };
    let below = if z < threshold { negative_slope } else { 0.0 };
    if z > threshold { above } else { below }
}

#[inline(always)]
fn map(values: &mut [f32], function: impl Fn(f32) -> f32) {
    for value in values {
        *value = function(*value);
    }
}

/// Activates all values in place. An activation over rows leaves them as they are.
#[inline(always)]
pub(super) fn activate(values: &mut [f32], activation: Activation) {
    match activation {
        Activation::Linear | Activation::Softmax | Activation::LogSoftmax => {}
        Activation::RELU => map(values, positive),
        Activation::Relu { negative_slope, max_value: None, threshold: 0.0 } if negative_slope != 0.0 => {
            map(values, |z| if z > 0.0 { z } else { negative_slope * z });
        }
        Activation::Relu { negative_slope, max_value, threshold } => {
            let max_value = max_value.unwrap_or(f32::INFINITY);
            map(values, |z| relu(z, negative_slope, max_value, threshold));
        }
        Activation::ThresholdedRelu { theta } => map(values, |z| thresholded(z, theta)),
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

/// Multiplies each gradient by `slope` of the saved value.
#[inline(always)]
fn times(grad: &mut [f32], saved: &[f32], slope: impl Fn(f32) -> f32) {
    for (grad, saved) in grad.iter_mut().zip(saved) {
        *grad *= slope(*saved);
    }
}

/// Multiplies gradients by the derivative of an activation, from what [`Activation::saved`] says. For an activation
/// over rows they stay as they are.
#[inline(always)]
pub(super) fn times_derivative(grad: &mut [f32], saved: &[f32], activation: Activation) {
    match activation.saved() {
        Saved::Nothing => {}
        Saved::Output => times_derivative_of_output(grad, saved, activation),
        Saved::PreActivation => times_derivative_at(grad, saved, activation),
    }
}

/// For activations whose derivative follows from their output.
#[inline(always)]
fn times_derivative_of_output(grad: &mut [f32], outputs: &[f32], activation: Activation) {
    match activation {
        Activation::Relu { .. } => times(grad, outputs, |y| if y > 0.0 { 1.0 } else { 0.0 }),
        Activation::Elu { alpha } => times(grad, outputs, |y| {
            let below = if y.is_nan() { alpha } else { y + alpha };
            if y > 0.0 { 1.0 } else { below }
        }),
        Activation::Selu => {
            times(grad, outputs, |y| if y <= SELU_ZERO { y + SELU_SCALE * SELU_ALPHA } else { SELU_SCALE });
        }
        Activation::Softplus => times(grad, outputs, |y| -(-y).exp_m1()),
        Activation::Tanh => times(grad, outputs, |y| 1.0 - y * y),
        Activation::Sigmoid => times(grad, outputs, |y| y * (1.0 - y)),
        Activation::Exponential => times(grad, outputs, |y| y),
        Activation::Linear
        | Activation::ThresholdedRelu { .. }
        | Activation::Softsign
        | Activation::HardSigmoid
        | Activation::Swish
        | Activation::Gelu { .. }
        | Activation::Mish
        | Activation::Softmax
        | Activation::LogSoftmax => {}
    }
}

/// For activations whose derivative needs the value before them.
#[inline(always)]
fn times_derivative_at(grad: &mut [f32], values: &[f32], activation: Activation) {
    match activation {
        Activation::Relu { negative_slope, max_value: None, threshold: 0.0 } => {
            times(grad, values, |z| if z > 0.0 { 1.0 } else { negative_slope });
        }
        Activation::Relu { negative_slope, max_value, threshold } => {
            let max_value = max_value.unwrap_or(f32::INFINITY);
            times(grad, values, |z| relu_slope(z, negative_slope, max_value, threshold));
        }
        Activation::ThresholdedRelu { theta } => times(grad, values, |z| if z > theta { 1.0 } else { 0.0 }),
        Activation::Elu { alpha } => times(grad, values, |z| {
            let below = if z.is_nan() { alpha } else { alpha * z.exp() };
            if z > 0.0 { 1.0 } else { below }
        }),
        Activation::Softsign => times(grad, values, |z| 1.0 / ((1.0 + z.abs()) * (1.0 + z.abs()))),
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
        | Activation::Tanh
        | Activation::Sigmoid
        | Activation::Exponential
        | Activation::Softmax
        | Activation::LogSoftmax => {}
    }
}

/// The largest value of a row, and the sum of e^(z - largest) in f64, since rows may be long.
fn largest_and_sum(row: &[f32]) -> (f32, f64) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (largest, row.iter().map(|z| f64::from((z - largest).exp())).sum())
}

/// Softmax of a row.
pub(super) fn softmax(row: &[f32], output: &mut [f32]) {
    let (largest, sum) = largest_and_sum(row);
    for (output, z) in output.iter_mut().zip(row) {
        let power = (z - largest).exp();
        // In a row with +∞ the sum is NaN, but finite values still get 0.
        *output = if power == 0.0 { 0.0 } else { (f64::from(power) / sum) as f32 };
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

/// The gradient by the input of softmax, for one row, from its output and the gradient by that.
pub(super) fn softmax_grad(outputs: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    let sum: f64 = outputs.iter().zip(grad_output).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum();
    for (grad, (&y, &dy)) in grad_input.iter_mut().zip(outputs.iter().zip(grad_output)) {
        *grad = (f64::from(y) * (f64::from(dy) - sum)) as f32;
    }
}

/// The gradient by the input of the logarithm of softmax, for one row, from its output and the gradient by that.
pub(super) fn log_softmax_grad(outputs: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    let sum: f64 = grad_output.iter().map(|&dy| f64::from(dy)).sum();
    for (grad, (&y, &dy)) in grad_input.iter_mut().zip(outputs.iter().zip(grad_output)) {
        *grad = (f64::from(dy) - f64::from(y.exp()) * sum) as f32;
    }
}

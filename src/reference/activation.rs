//! Activations, their derivatives, and what is activated in rows.

use crate::config::{Activation, Saved};

const SELU_SCALE: f64 = 1.050_700_98;
const SELU_ALPHA: f64 = 1.673_263_24;

/// For z above this, `e^z` is 1 in 32 bits, in which Keras computes `e^z − 1`: its derivative there is that of positive
/// numbers.
const ONE_IN_32_BITS: f64 = -1.0 / (1u64 << 25) as f64;

/// A number as Keras has it, which computes in 32 bits: infinite if it is too large for them.
fn in_range(value: f64) -> f64 {
    if value.abs() > f32::MAX.into() { f64::INFINITY.copysign(value) } else { value }
}

/// Keras's relu with all its arguments, in Keras's order of operations.
fn relu(z: f64, negative_slope: f32, max_value: Option<f32>, threshold: f32) -> f64 {
    let (slope, threshold) = (f64::from(negative_slope), f64::from(threshold));
    // Not by `max`, which would turn NaN into a number.
    let positive = |z: f64| if z <= 0.0 { 0.0 } else { z };
    if slope != 0.0 && max_value.is_none() && threshold == 0.0 {
        return if z > 0.0 { z } else { slope * z };
    }
    let mut y = if threshold == 0.0 { positive(z) } else { z * f64::from(u8::from(z > threshold)) };
    if let Some(most) = max_value.map(f64::from)
        && y > most
    {
        y = most;
    }
    if slope == 0.0 { y } else { y - slope * positive(threshold - z) }
}

fn relu_slope(z: f64, negative_slope: f32, max_value: Option<f32>, threshold: f32) -> f64 {
    let (slope, threshold) = (f64::from(negative_slope), f64::from(threshold));
    if max_value.is_none() && threshold == 0.0 {
        return if z > 0.0 { 1.0 } else { slope };
    }
    // TensorFlow's relu6 differs from its clipping.
    let six = max_value == Some(6.0) && threshold == 0.0;
    let clipped = max_value.map(f64::from).is_some_and(|most| z > most || six && z == most);
    if z > threshold {
        f64::from(u8::from(!clipped))
    } else if z < threshold {
        slope
    } else {
        0.0
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// The error function: by its series for small arguments, by the continued fraction of its complement for large ones.
fn erf(z: f64) -> f64 {
    let a = z.abs();
    let value = if a < 3.0 {
        let (mut term, mut sum) = (a, a);
        for i in 1..80 {
            term *= -a * a / f64::from(i);
            sum += term / f64::from(2 * i + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let fraction = (1..=60).rev().fold(a, |fraction, i| a + 0.5 * f64::from(i) / fraction);
        1.0 - (-a * a).exp() / fraction * 0.5 * std::f64::consts::FRAC_2_SQRT_PI
    };
    value.copysign(z)
}

/// `activation(z)` for activations of single elements; those over rows give `z`.
#[must_use]
pub fn activation(z: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Linear | Activation::Softmax | Activation::LogSoftmax => z,
        Activation::Relu { negative_slope, max_value, threshold } => relu(z, negative_slope, max_value, threshold),
        Activation::ThresholdedRelu { theta } => z * f64::from(u8::from(z > theta.into())),
        Activation::Elu { alpha } => {
            if z > 0.0 {
                z
            } else {
                f64::from(alpha) * z.exp_m1()
            }
        }
        Activation::Selu => SELU_SCALE * if z > 0.0 { z } else { SELU_ALPHA * z.exp_m1() },
        Activation::Softplus => softplus(z),
        Activation::Softsign => z / (z.abs() + 1.0),
        Activation::Tanh => z.tanh(),
        Activation::Sigmoid => sigmoid(z),
        Activation::HardSigmoid => (0.2 * z + 0.5).clamp(0.0, 1.0),
        Activation::Exponential => z.exp(),
        Activation::Swish => z * sigmoid(z),
        Activation::Gelu { approximate: false } => 0.5 * z * (1.0 + erf(z * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::Gelu { approximate: true } => 0.5 * z * (1.0 + gelu_tanh(z)),
        Activation::Mish => z * softplus(z).tanh(),
    }
}

fn gelu_tanh(z: f64) -> f64 {
    ((2.0 / std::f64::consts::PI).sqrt() * (z + 0.044715 * z * z * z)).tanh()
}

/// Derivative, at `z`, of an activation of single elements.
#[must_use]
pub fn derivative(z: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Linear | Activation::Softmax | Activation::LogSoftmax => 1.0,
        Activation::Relu { negative_slope, max_value, threshold } => {
            relu_slope(z, negative_slope, max_value, threshold)
        }
        Activation::ThresholdedRelu { theta } => f64::from(u8::from(z > theta.into())),
        Activation::Elu { alpha } if z.is_nan() => alpha.into(),
        Activation::Elu { alpha } => {
            if z > 0.0 {
                1.0
            } else {
                f64::from(alpha) * z.exp()
            }
        }
        Activation::Selu => SELU_SCALE * if z <= ONE_IN_32_BITS { SELU_ALPHA * z.exp() } else { 1.0 },
        Activation::Softplus => sigmoid(z),
        Activation::Softsign => (1.0 + z.abs()).powi(-2),
        Activation::Tanh => 1.0 - z.tanh() * z.tanh(),
        Activation::Sigmoid => sigmoid(z) * (1.0 - sigmoid(z)),
        Activation::HardSigmoid => {
            if (0.0..=1.0).contains(&(0.2 * z + 0.5)) {
                0.2
            } else {
                0.0
            }
        }
        Activation::Exponential => z.exp(),
        Activation::Swish => sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z))),
        Activation::Gelu { approximate: false } => {
            let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
            0.5 * (1.0 + erf(z * std::f64::consts::FRAC_1_SQRT_2)) + z * density
        }
        Activation::Gelu { approximate: true } => {
            let t = gelu_tanh(z);
            let slope = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * in_range(z * z));
            0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope
        }
        Activation::Mish => {
            let t = softplus(z).tanh();
            t + z * (1.0 - t * t) * sigmoid(z)
        }
    }
}

/// Derivative by the output, for activations whose output is enough ([`Activation::saved`]); NaN for the others.
#[must_use]
pub fn derivative_from_output(y: f64, activation: Activation) -> f64 {
    match activation {
        Activation::RELU => f64::from(u8::from(y > 0.0)),
        Activation::Elu { alpha } if y.is_nan() => alpha.into(),
        Activation::Elu { alpha } if alpha > 0.0 => {
            if y > 0.0 {
                1.0
            } else {
                y + f64::from(alpha)
            }
        }
        Activation::Selu => {
            if y <= SELU_SCALE * SELU_ALPHA * ONE_IN_32_BITS {
                y + SELU_SCALE * SELU_ALPHA
            } else {
                SELU_SCALE
            }
        }
        Activation::Softplus => -(-y).exp_m1(),
        Activation::Tanh => 1.0 - y * y,
        Activation::Sigmoid => y * (1.0 - y),
        Activation::Exponential => y,
        _ => f64::NAN,
    }
}

/// Softmax of each row.
fn softmax(z: &[f64], row: usize) -> Vec<f64> {
    z.chunks_exact(row)
        .flat_map(|row| {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|z| (z - largest).exp()).sum();
            // In a row with +∞ the sum is NaN, but finite values still get 0.
            let share = move |power: f64| if power == 0.0 { 0.0 } else { power / sum };
            row.iter().map(move |z| share((z - largest).exp()))
        })
        .collect()
}

/// The gradient by the input of softmax, for each row, from its output.
fn softmax_grad(y: &[f64], dy: &[f64], row: usize) -> Vec<f64> {
    y.chunks_exact(row)
        .zip(dy.chunks_exact(row))
        .flat_map(|(y, dy)| {
            let sum: f64 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
            y.iter().zip(dy).map(move |(y, dy)| y * (dy - sum))
        })
        .collect()
}

/// The logarithm of softmax of each row.
fn log_softmax(z: &[f64], row: usize) -> Vec<f64> {
    z.chunks_exact(row)
        .flat_map(|row| {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|z| (z - largest).exp()).sum();
            row.iter().map(move |z| z - largest - sum.ln())
        })
        .collect()
}

/// The gradient by the input of the logarithm of softmax, for each row, from its output.
fn log_softmax_grad(y: &[f64], dy: &[f64], row: usize) -> Vec<f64> {
    y.chunks_exact(row)
        .zip(dy.chunks_exact(row))
        .flat_map(|(y, dy)| {
            let sum: f64 = dy.iter().sum();
            y.iter().zip(dy).map(move |(y, dy)| dy - y.exp() * sum)
        })
        .collect()
}

/// Any activation; one over rows goes along rows of `row` elements.
#[must_use]
pub fn activate(z: &[f64], of: Activation, row: usize) -> Vec<f64> {
    match of {
        Activation::Softmax => softmax(z, row),
        Activation::LogSoftmax => log_softmax(z, row),
        _ => z.iter().map(|&z| activation(z, of)).collect(),
    }
}

/// The gradient by the input of any activation, from what [`Activation::saved`] says. One over rows goes along rows of
/// `row` elements.
#[must_use]
pub fn activate_grad(saved: &[f64], dy: &[f64], of: Activation, row: usize) -> Vec<f64> {
    let derivative = match (of, of.saved()) {
        (Activation::Softmax, _) => return softmax_grad(saved, dy, row),
        (Activation::LogSoftmax, _) => return log_softmax_grad(saved, dy, row),
        (_, Saved::Output) => derivative_from_output,
        (_, Saved::PreActivation | Saved::Nothing) => derivative,
    };
    saved.iter().zip(dy).map(|(&saved, dy)| derivative(saved, of) * dy).collect()
}

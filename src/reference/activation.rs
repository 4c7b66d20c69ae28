//! Activations, their derivatives, and what is activated in rows.

use crate::config::{Activation, Saved};

const SELU_SCALE: f64 = 1.050_700_98;
const SELU_ALPHA: f64 = 1.673_263_24;

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// The error function: its series for small arguments, the continued fraction of its complement for large ones.
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

/// `activation(z)`, element-wise ones; those of rows pass through.
#[must_use]
pub fn activation(z: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Linear | Activation::Softmax | Activation::LogSoftmax => z,
        Activation::Relu { negative_slope, max_value, threshold } => match max_value {
            Some(most) if z >= most.into() => most.into(),
            _ if z > threshold.into() => z,
            _ => f64::from(negative_slope) * (z - f64::from(threshold)),
        },
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

/// Derivative of an element-wise activation at `z`.
#[must_use]
pub fn derivative(z: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Linear | Activation::Softmax | Activation::LogSoftmax => 1.0,
        Activation::Relu { negative_slope, max_value, threshold } => match max_value {
            Some(most) if z >= most.into() => 0.0,
            _ if z > threshold.into() => 1.0,
            _ => negative_slope.into(),
        },
        Activation::Elu { alpha } => {
            if z > 0.0 {
                1.0
            } else {
                f64::from(alpha) * z.exp()
            }
        }
        Activation::Selu => SELU_SCALE * if z > 0.0 { 1.0 } else { SELU_ALPHA * z.exp() },
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
            let slope = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * z * z);
            0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope
        }
        Activation::Mish => {
            let t = softplus(z).tanh();
            t + z * (1.0 - t * t) * sigmoid(z)
        }
    }
}

/// Derivative of an element-wise activation by its output, for those whose output is enough ([`Activation::saved`]);
/// the others' is not a number.
#[must_use]
pub fn derivative_from_output(y: f64, activation: Activation) -> f64 {
    match activation {
        Activation::RELU => f64::from(u8::from(y > 0.0)),
        Activation::Elu { alpha } if alpha > 0.0 => {
            if y > 0.0 {
                1.0
            } else {
                y + f64::from(alpha)
            }
        }
        Activation::Selu => {
            if y > 0.0 {
                SELU_SCALE
            } else {
                y + SELU_SCALE * SELU_ALPHA
            }
        }
        Activation::Softplus => -(-y).exp_m1(),
        Activation::Softsign => (1.0 - y.abs()).powi(2),
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
            row.iter().map(move |z| (z - largest).exp() / sum)
        })
        .collect()
}

/// The gradient before softmax of each row, from its output.
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

/// The gradient before the logarithm of softmax of each row, from its output.
fn log_softmax_grad(y: &[f64], dy: &[f64], row: usize) -> Vec<f64> {
    y.chunks_exact(row)
        .zip(dy.chunks_exact(row))
        .flat_map(|(y, dy)| {
            let sum: f64 = dy.iter().sum();
            y.iter().zip(dy).map(move |(y, dy)| dy - y.exp() * sum)
        })
        .collect()
}

/// Any activation, in rows of `row` where it is one over rows.
#[must_use]
pub fn activate(z: &[f64], of: Activation, row: usize) -> Vec<f64> {
    match of {
        Activation::Softmax => softmax(z, row),
        Activation::LogSoftmax => log_softmax(z, row),
        _ => z.iter().map(|&z| activation(z, of)).collect(),
    }
}

/// The gradient before any activation, in rows of `row` where it is one over rows, from what [`Activation::saved`] says.
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

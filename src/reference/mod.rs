//! The CPU twins of the kernels: plain loops, sums in f64, one function per kernel under the kernel's name.
//!
//! Operands are f32 as on the device; results are f64, so that what a comparison shows is the device's rounding alone.

mod activation;
mod loops;

pub use activation::{activate, activate_grad, activation, derivative, softmax, softmax_grad};
pub use loops::{grad_bias, loop_forward, loop_grad_input, loop_grad_kernel};

use crate::config::Activation;
use crate::geometry::Geometry;

/// Everything that a forward and a backward pass give.
#[derive(Debug, Clone, PartialEq)]
pub struct Passes {
    /// `[batch][output shape]` before the activation.
    pub pre_activation: Vec<f64>,
    /// `[batch][output shape]`.
    pub output: Vec<f64>,
    /// `[batch][input shape]`.
    pub grad_input: Vec<f64>,
    /// Canonical order.
    pub grad_kernel: Vec<f64>,
    /// Keras's order, empty without bias.
    pub grad_bias: Vec<f64>,
}

/// A whole forward and backward pass for the loss `Σ output · grad_output`; `kernel` is canonical, `bias` in Keras's
/// order (empty without bias).
#[must_use]
pub fn passes(geometry: &Geometry, input: &[f32], kernel: &[f32], bias: &[f32], grad_output: &[f32]) -> Passes {
    let config = geometry.config();
    let pre_activation = loop_forward(geometry, input, kernel, bias);
    let dy: Vec<f64> = grad_output.iter().map(|&v| v.into()).collect();
    let (output, dz) = if config.activation == Activation::Softmax {
        let output = softmax(&pre_activation, geometry.softmax_row() as usize);
        let dz = softmax_grad(&output, &dy, geometry.softmax_row() as usize);
        (output, dz)
    } else {
        (activate(&pre_activation, config.activation), activate_grad(&pre_activation, &dy, config.activation))
    };
    Passes {
        grad_input: loop_grad_input(geometry, kernel, &dz),
        grad_kernel: loop_grad_kernel(geometry, input, &dz),
        grad_bias: grad_bias(geometry, &dz),
        pre_activation,
        output,
    }
}

//! The CPU twins of the kernels: plain loops, sums in f64, one function per kernel under the kernel's name.
//!
//! Operands are f32 as on the device, or f64; results are f64, so that what a comparison shows is the device's rounding
//! alone. Between the operations of a program ([`run`]) nothing is rounded.

mod activation;
mod dense;
mod loops;
mod program;
mod sparse;

pub use activation::{
    activate, activate_grad, activate_rows, activate_rows_grad, activation, activation_passes, derivative,
    derivative_from_output, log_softmax, log_softmax_grad, softmax, softmax_grad,
};
pub use dense::{dense_forward, dense_gather, dense_grad_input, dense_grad_kernel, dense_scatter};
pub use loops::{grad_bias, grad_bias_shared, loop_forward, loop_grad_input, loop_grad_kernel};
pub use program::{Values, run};
pub use sparse::{sparse_forward, sparse_grad_input, sparse_grad_kernel};

use crate::config::{Bias, Implementation};
use crate::geometry::{Geometry, SparseIndex};

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
    let implementation = match geometry.pattern() {
        Some(_) => Implementation::SparseGather,
        None => Implementation::Loop,
    };
    passes_by(implementation, geometry, input, kernel, bias, grad_output)
}

/// [`passes`] by the twins of one implementation's kernels; a connectivity of the user's has only the sparse ones.
#[must_use]
pub fn passes_by(
    implementation: Implementation,
    geometry: &Geometry,
    input: &[f32],
    kernel: &[f32],
    bias: &[f32],
    grad_output: &[f32],
) -> Passes {
    let activation = geometry.config().activation;
    let row = geometry.softmax_row() as usize;
    let dy: Vec<f64> = grad_output.iter().map(|&v| v.into()).collect();
    let finish = |pre_activation: Vec<f64>| {
        let (output, dz) = activation_passes(&pre_activation, &dy, activation, row);
        (pre_activation, output, dz)
    };
    let ((pre_activation, output, dz), grad_input, grad_kernel) = match implementation {
        Implementation::DenseMatmul => {
            let matrix = dense_scatter(geometry, kernel);
            let mut z = dense_forward(geometry, input, &matrix);
            loops::add_bias(geometry, &mut z, bias);
            let done = finish(z);
            let grad_input = dense_grad_input(geometry, &matrix, &done.2);
            let grad_kernel = dense_gather(geometry, &dense_grad_kernel(geometry, input, &done.2));
            (done, grad_input, grad_kernel)
        }
        Implementation::SparseGather => {
            let index = SparseIndex::new(geometry);
            let mut z = sparse_forward(geometry, &index, input, kernel);
            loops::add_bias(geometry, &mut z, bias);
            let done = finish(z);
            let grad_input = sparse_grad_input(geometry, &index, kernel, &done.2);
            let grad_kernel = sparse_grad_kernel(geometry, &index, input, &done.2);
            (done, grad_input, grad_kernel)
        }
        Implementation::Loop | Implementation::Auto => {
            let done = finish(loop_forward(geometry, input, kernel, bias));
            let grad_input = loop_grad_input(geometry, kernel, &done.2);
            let grad_kernel = loop_grad_kernel(geometry, input, &done.2);
            (done, grad_input, grad_kernel)
        }
    };
    let grad_bias = match geometry.config().bias {
        Bias::None => Vec::new(),
        Bias::PerLocation => grad_bias(geometry, &dz),
        Bias::PerFilter => grad_bias_shared(geometry, &dz),
    };
    Passes { pre_activation, output, grad_input, grad_kernel, grad_bias }
}

/// Zeroes.
#[must_use]
pub fn fill(count: usize) -> Vec<f64> {
    vec![0.0; count]
}

/// `[rows][columns]` to `[columns][rows]` in each sample.
#[must_use]
pub fn transpose(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let column = |sample: &[f64], column| sample.iter().skip(column).step_by(columns).copied().collect::<Vec<_>>();
    let samples = values.chunks_exact((rows * columns).max(1));
    samples.flat_map(|sample| (0..columns).flat_map(move |c| column(sample, c))).collect()
}

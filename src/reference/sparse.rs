//! Twins of the sparse kernels, on the sparse index.

use crate::geometry::{Geometry, NO_TAP, SparseIndex};

/// Index of an output element of a row within a sample.
fn row_output(geometry: &Geometry, row: u32, f: usize) -> usize {
    let filter = row % geometry.groups() * geometry.group_filters() + f as u32;
    geometry.output_index(row / geometry.groups(), filter) as usize
}

/// Calls `visit` with the input offset, output offset and weight index of every connection and filter.
fn for_each_entry(geometry: &Geometry, index: &SparseIndex, mut visit: impl FnMut(usize, usize, usize)) {
    let filters = geometry.group_filters() as usize;
    for (&[input, row], entry) in index.entries.iter().zip(0..) {
        if input != NO_TAP {
            for f in 0..filters {
                visit(input as usize, row_output(geometry, row, f), entry * filters + f);
            }
        }
    }
}

/// `[batch][output shape]` before bias and activation.
#[must_use]
pub fn sparse_forward<T: Copy + Into<f64>>(
    geometry: &Geometry,
    index: &SparseIndex,
    input: &[T],
    kernel: &[T],
) -> Vec<f64> {
    let (inputs, outputs) = (geometry.inputs() as usize, geometry.outputs() as usize);
    let batch = input.len() / inputs;
    let mut output = vec![0.0; batch * outputs];
    for_each_entry(geometry, index, |i, o, w| {
        for n in 0..batch {
            output[n * outputs + o] += input[n * inputs + i].into() * kernel[w].into();
        }
    });
    output
}

/// `[batch][input shape]`, from the gradient before the activation.
#[must_use]
pub fn sparse_grad_input<T: Copy + Into<f64>>(
    geometry: &Geometry,
    index: &SparseIndex,
    kernel: &[T],
    dz: &[f64],
) -> Vec<f64> {
    let (inputs, outputs) = (geometry.inputs() as usize, geometry.outputs() as usize);
    let batch = dz.len() / outputs;
    let mut grad = vec![0.0; batch * inputs];
    for_each_entry(geometry, index, |i, o, w| {
        for n in 0..batch {
            grad[n * inputs + i] += kernel[w].into() * dz[n * outputs + o];
        }
    });
    grad
}

/// In the order of the entries, from the gradient before the activation; 0 for entries without an input.
#[must_use]
pub fn sparse_grad_kernel<T: Copy + Into<f64>>(
    geometry: &Geometry,
    index: &SparseIndex,
    input: &[T],
    dz: &[f64],
) -> Vec<f64> {
    let (inputs, outputs) = (geometry.inputs() as usize, geometry.outputs() as usize);
    let batch = dz.len() / outputs;
    let mut grad = vec![0.0; geometry.weights() as usize];
    for_each_entry(geometry, index, |i, o, w| {
        for n in 0..batch {
            grad[w] += input[n * inputs + i].into() * dz[n * outputs + o];
        }
    });
    grad
}

//! Twins of the dense kernels, on the whole matrix `[inputs][cells · filters of the group]`. Its zeroes are no weights: what
//! isn't finite doesn't reach past them, as in Keras, which multiplies by it as by a sparse matrix.

use crate::geometry::Geometry;

/// Columns of the whole matrix: cells with their filters.
fn columns(geometry: &Geometry) -> usize {
    geometry.cells() as usize * geometry.group_filters() as usize
}

/// Index of a column's element within an output sample.
fn column_output(geometry: &Geometry, column: usize) -> usize {
    let (cell, f) = (column as u32 / geometry.group_filters(), column as u32 % geometry.group_filters());
    let filter = cell % geometry.groups() * geometry.group_filters() + f;
    geometry.output_index(cell / geometry.groups(), filter) as usize
}

/// Calls `visit` with every connected place of the matrix and its weight's index.
fn for_each_place(geometry: &Geometry, mut visit: impl FnMut(usize, usize)) {
    let (groups, channels, filters) = (geometry.groups(), geometry.group_channels(), geometry.group_filters());
    let columns = columns(geometry);
    for cell in 0..geometry.cells() {
        for k in 0..geometry.window() {
            let Some(position) = geometry.tap(cell / groups, k / channels) else { continue };
            let input = geometry.input_index(position, cell % groups * channels + k % channels) as usize;
            for f in 0..filters {
                let weight = (u64::from(cell) * u64::from(geometry.window()) + u64::from(k)) * u64::from(filters);
                visit(input * columns + (cell * filters + f) as usize, weight as usize + f as usize);
            }
        }
    }
}

/// The masked dense matrix of canonical weights.
#[must_use]
pub fn dense_scatter(geometry: &Geometry, kernel: &[f32]) -> Vec<f64> {
    let mut matrix = vec![0.0; geometry.inputs() as usize * columns(geometry)];
    for_each_place(geometry, |place, weight| matrix[place] += f64::from(kernel[weight]));
    matrix
}

/// Canonical weights' gradient from the dense matrix's.
#[must_use]
pub fn dense_gather(geometry: &Geometry, matrix: &[f64]) -> Vec<f64> {
    let mut kernel = vec![0.0; geometry.weights() as usize];
    for_each_place(geometry, |place, weight| kernel[weight] = matrix[place]);
    kernel
}

/// `[batch][output shape]` before bias and activation.
#[must_use]
pub fn dense_forward(geometry: &Geometry, input: &[f32], matrix: &[f64]) -> Vec<f64> {
    let columns = columns(geometry);
    let samples = input.chunks_exact(geometry.inputs() as usize);
    samples
        .flat_map(|sample| {
            let mut output = vec![0.0; geometry.outputs() as usize];
            for (x, row) in sample.iter().zip(matrix.chunks_exact(columns)) {
                for (column, d) in row.iter().enumerate().filter(|(_, d)| **d != 0.0) {
                    output[column_output(geometry, column)] += f64::from(*x) * d;
                }
            }
            output
        })
        .collect()
}

/// `[batch][input shape]`, from the gradient before the activation.
#[must_use]
pub fn dense_grad_input(geometry: &Geometry, matrix: &[f64], dz: &[f64]) -> Vec<f64> {
    let columns = columns(geometry);
    let product = |sample: &[f64], row: &[f64]| -> f64 {
        let places = row.iter().enumerate().filter(|(_, d)| **d != 0.0);
        places.map(|(column, d)| sample[column_output(geometry, column)] * d).sum()
    };
    let samples = dz.chunks_exact(geometry.outputs() as usize);
    samples.flat_map(|sample| matrix.chunks_exact(columns).map(move |row| product(sample, row))).collect()
}

/// The gradient of the whole matrix, from the gradient before the activation.
#[must_use]
pub fn dense_grad_kernel(geometry: &Geometry, input: &[f32], dz: &[f64]) -> Vec<f64> {
    let columns = columns(geometry);
    let mut matrix = vec![0.0; geometry.inputs() as usize * columns];
    let samples = input.chunks_exact(geometry.inputs() as usize).zip(dz.chunks_exact(geometry.outputs() as usize));
    for (x, dz) in samples {
        for (x, row) in x.iter().zip(matrix.chunks_exact_mut(columns)) {
            for (column, d) in row.iter_mut().enumerate() {
                *d += f64::from(*x) * dz[column_output(geometry, column)];
            }
        }
    }
    matrix
}

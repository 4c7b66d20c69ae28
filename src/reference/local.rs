//! What a locally connected layer, or a convolution, computes. Sums are taken in the order of the weights, sample by
//! sample.

use crate::config::Bias;
use crate::geometry::Geometry;

/// One weight, and the elements of a sample that it connects.
struct Connection {
    input: usize,
    output: usize,
    weight: usize,
}

/// Calls `visit` with each weight's entry of a cell, in order, and the input element that it reads; none for a clipped
/// tap.
pub(super) fn for_each_entry(layer: &Geometry, cell: u32, mut visit: impl FnMut(u64, Option<u64>)) {
    let (location, group) = (cell / layer.groups(), cell % layer.groups());
    if let Some(pattern) = layer.pattern() {
        for entry in pattern.starts()[cell as usize]..pattern.starts()[cell as usize + 1] {
            visit(entry.into(), Some(pattern.columns()[entry as usize].into()));
        }
        return;
    }
    let (channels, first) = (layer.group_channels(), u64::from(layer.weight_cell(cell)) * u64::from(layer.window()));
    for t in 0..layer.taps() {
        let position = layer.tap(location, t);
        for c in 0..channels {
            let input = position.map(|position| layer.input_index(position, group * channels + c));
            visit(first + u64::from(t * channels + c), input);
        }
    }
}

/// Calls `visit` with every connection, cell by cell, in the order of the cell's weights. Clipped taps have none.
fn for_each_connection(layer: &Geometry, mut visit: impl FnMut(Connection)) {
    let (groups, filters) = (layer.groups(), layer.group_filters());
    for cell in 0..layer.cells() {
        let (location, group) = (cell / groups, cell % groups);
        for_each_entry(layer, cell, |entry, input| {
            let Some(input) = input else { return };
            for f in 0..filters {
                let output = layer.output_index(location, group * filters + f) as usize;
                let weight = (entry * u64::from(filters) + u64::from(f)) as usize;
                visit(Connection { input: input as usize, output, weight });
            }
        });
    }
}

/// Calls `visit` with the number of every output element of a sample and of its bias.
fn for_each_bias(layer: &Geometry, mut visit: impl FnMut(usize, usize)) {
    for p in 0..layer.locations() {
        for f in 0..layer.filters() {
            let output = layer.output_index(p, f) as usize;
            match layer.config().bias {
                Bias::None => {}
                Bias::PerFilter => visit(output, f as usize),
                // Keras reshapes the bias to the output's memory order, in either data format.
                Bias::PerLocation => visit(output, output),
            }
        }
    }
}

/// `[batch][output shape]` before the activation; `weights` are canonical, `bias` in Keras's order and empty without one.
#[must_use]
pub fn local_forward(layer: &Geometry, input: &[f64], weights: &[f64], bias: &[f64]) -> Vec<f64> {
    let (inputs, outputs) = (layer.inputs() as usize, layer.outputs() as usize);
    let batch = input.len() / inputs;
    let mut output = vec![0.0; batch * outputs];
    for_each_connection(layer, |at| {
        for n in 0..batch {
            output[n * outputs + at.output] += input[n * inputs + at.input] * weights[at.weight];
        }
    });
    for sample in output.chunks_exact_mut(outputs) {
        for_each_bias(layer, |o, b| sample[o] += bias[b]);
    }
    output
}

/// `[batch][input shape]`, from the gradient before the activation.
#[must_use]
pub fn local_grad_input(layer: &Geometry, weights: &[f64], grad_output: &[f64]) -> Vec<f64> {
    let (inputs, outputs) = (layer.inputs() as usize, layer.outputs() as usize);
    let batch = grad_output.len() / outputs;
    let mut grad = vec![0.0; batch * inputs];
    for_each_connection(layer, |at| {
        for n in 0..batch {
            grad[n * inputs + at.input] += weights[at.weight] * grad_output[n * outputs + at.output];
        }
    });
    grad
}

/// Canonical, from the gradient before the activation; 0 at clipped taps.
#[must_use]
pub fn local_grad_weights(layer: &Geometry, input: &[f64], grad_output: &[f64]) -> Vec<f64> {
    let (inputs, outputs) = (layer.inputs() as usize, layer.outputs() as usize);
    let batch = grad_output.len() / outputs;
    let mut grad = vec![0.0; layer.weights() as usize];
    for_each_connection(layer, |at| {
        for n in 0..batch {
            grad[at.weight] += input[n * inputs + at.input] * grad_output[n * outputs + at.output];
        }
    });
    grad
}

/// In Keras's order, from the gradient before the activation; empty without bias.
#[must_use]
pub fn grad_bias(layer: &Geometry, grad_output: &[f64]) -> Vec<f64> {
    let mut grad = vec![0.0; layer.biases() as usize];
    for sample in grad_output.chunks_exact(layer.outputs() as usize) {
        for_each_bias(layer, |o, b| grad[b] += sample[o]);
    }
    grad
}

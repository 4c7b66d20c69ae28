//! Twins of `loop_forward`, `loop_grad_input`, `loop_grad_kernel` and `grad_bias`.

use crate::config::Bias;
use crate::geometry::Geometry;

/// One connection of a sample: what it multiplies.
struct Connection {
    input: usize,
    output: usize,
    weight: usize,
}

/// Calls `visit` for every connection of the layer, filters innermost.
fn for_each_connection(geometry: &Geometry, mut visit: impl FnMut(Connection)) {
    let (groups, channels, filters) = (geometry.groups(), geometry.group_channels(), geometry.group_filters());
    for p in 0..geometry.locations() {
        for t in 0..geometry.taps() {
            let Some(position) = geometry.tap(p, t) else { continue };
            for g in 0..groups {
                for c in 0..channels {
                    for f in 0..filters {
                        let cell = (p * groups + g) as usize;
                        let k = (t * channels + c) as usize;
                        visit(Connection {
                            input: geometry.input_index(position, g * channels + c) as usize,
                            output: geometry.output_index(p, g * filters + f) as usize,
                            weight: (cell * geometry.window() as usize + k) * filters as usize + f as usize,
                        });
                    }
                }
            }
        }
    }
}

/// Index of an output element's bias, where there is one.
fn bias_index(geometry: &Geometry, location: u32, filter: u32) -> Option<usize> {
    match geometry.config().bias {
        Bias::None => None,
        Bias::PerFilter => Some(filter as usize),
        // Keras reshapes the bias to the output's memory order in either data format.
        Bias::PerLocation => Some(geometry.output_index(location, filter) as usize),
    }
}

/// `[batch][output shape]` before the activation.
#[must_use]
pub fn loop_forward<T: Copy + Into<f64>>(geometry: &Geometry, input: &[T], kernel: &[T], bias: &[T]) -> Vec<f64> {
    let (inputs, outputs) = (geometry.inputs() as usize, geometry.outputs() as usize);
    let batch = input.len() / inputs;
    let mut output = vec![0.0; batch * outputs];
    for_each_connection(geometry, |at| {
        for n in 0..batch {
            output[n * outputs + at.output] += input[n * inputs + at.input].into() * kernel[at.weight].into();
        }
    });
    add_bias(geometry, &mut output, bias);
    output
}

/// Adds the bias to outputs before the activation.
pub(super) fn add_bias<T: Copy + Into<f64>>(geometry: &Geometry, output: &mut [f64], bias: &[T]) {
    for sample in output.chunks_exact_mut(geometry.outputs() as usize) {
        for p in 0..geometry.locations() {
            for f in 0..geometry.filters() {
                if let Some(b) = bias_index(geometry, p, f) {
                    sample[geometry.output_index(p, f) as usize] += bias[b].into();
                }
            }
        }
    }
}

/// `[batch][input shape]`, from the gradient before the activation.
#[must_use]
pub fn loop_grad_input<T: Copy + Into<f64>>(geometry: &Geometry, kernel: &[T], dz: &[f64]) -> Vec<f64> {
    let (inputs, outputs) = (geometry.inputs() as usize, geometry.outputs() as usize);
    let batch = dz.len() / outputs;
    let mut grad = vec![0.0; batch * inputs];
    for_each_connection(geometry, |at| {
        for n in 0..batch {
            grad[n * inputs + at.input] += kernel[at.weight].into() * dz[n * outputs + at.output];
        }
    });
    grad
}

/// Canonical order, from the gradient before the activation; 0 at clipped taps.
#[must_use]
pub fn loop_grad_kernel<T: Copy + Into<f64>>(geometry: &Geometry, input: &[T], dz: &[f64]) -> Vec<f64> {
    let (inputs, outputs) = (geometry.inputs() as usize, geometry.outputs() as usize);
    let batch = dz.len() / outputs;
    let mut grad = vec![0.0; geometry.weights() as usize];
    for_each_connection(geometry, |at| {
        for n in 0..batch {
            grad[at.weight] += input[n * inputs + at.input].into() * dz[n * outputs + at.output];
        }
    });
    grad
}

/// Gradient of a bias per location, in Keras's order, from the gradient before the activation.
#[must_use]
pub fn grad_bias(geometry: &Geometry, dz: &[f64]) -> Vec<f64> {
    let mut grad = vec![0.0; geometry.outputs() as usize];
    for sample in dz.chunks_exact(grad.len()) {
        for (sum, dz) in grad.iter_mut().zip(sample) {
            *sum += dz;
        }
    }
    grad
}

/// Gradient of a bias that all locations share, from the gradient before the activation.
#[must_use]
pub fn grad_bias_shared(geometry: &Geometry, dz: &[f64]) -> Vec<f64> {
    let mut grad = vec![0.0; geometry.filters() as usize];
    for sample in dz.chunks_exact(geometry.outputs() as usize) {
        for p in 0..geometry.locations() {
            for f in 0..geometry.filters() {
                grad[f as usize] += sample[geometry.output_index(p, f) as usize];
            }
        }
    }
    grad
}

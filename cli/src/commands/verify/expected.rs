//! Random operands of a layer and what the CPU reference makes of them.

use crate::failure::Failure;
use crate::memory;
use half::f16;
use locally_connected::model::{layer_backward, layer_forward, layer_names as names};
use locally_connected::{Activation, Gradients, WeightType, reference};
use locally_connected_keras::Local;
use std::sync::Arc;

/// Operands and results of one layer.
pub(super) struct Expected {
    pub(super) input: Vec<f32>,
    pub(super) grad_output: Vec<f32>,
    pub(super) output: ReferenceValues,
    pub(super) grad_input: ReferenceValues,
    /// In canonical order.
    pub(super) grad_weights: ReferenceValues,
    pub(super) grad_bias: ReferenceValues,
}

/// Reference values and the magnitude that errors are measured by.
pub(super) struct ReferenceValues {
    values: Vec<f64>,
    scale: f64,
}

impl ReferenceValues {
    /// `values`, whose magnitude would be `factor` times as large had nothing cancelled.
    fn new(values: Vec<f64>, factor: f64) -> Self {
        let scale = largest(&values) * factor;
        // With nothing but zeroes any error is too large; the smallest number keeps 0/0 away.
        Self { values, scale: if scale > 0.0 { scale } else { f64::MIN_POSITIVE } }
    }

    /// The largest difference from `found` in parts of the largest value; infinite where only one is a number.
    pub(super) fn error(&self, found: &[f32]) -> f64 {
        if found.len() != self.values.len() {
            return f64::INFINITY;
        }
        let difference = |(&found, &expected): (&f32, &f64)| {
            let found = f64::from(found);
            // Weights may be infinite or no numbers: then so are the results. Infinite in f32 is enough.
            let same =
                found == expected || (found.is_nan() && expected.is_nan()) || found == f64::from(expected as f32);
            let difference = (found - expected).abs();
            if same {
                0.0
            } else if difference.is_finite() {
                difference / self.scale
            } else {
                f64::INFINITY
            }
        };
        found.iter().zip(&self.values).map(difference).fold(0.0, f64::max)
    }
}

/// The largest finite magnitude.
fn largest(values: &[f64]) -> f64 {
    values.iter().map(|value| value.abs()).filter(|value| value.is_finite()).fold(0.0, f64::max)
}

impl Expected {
    pub(super) fn new(local: &Local, batch: u32) -> Result<Self, Failure> {
        let geometry = &local.geometry;
        let activation = geometry.config().activation;
        let (inputs, outputs) = (geometry.inputs() * u64::from(batch), geometry.outputs() * u64::from(batch));
        // f32 operands, f64 ones and results: of the outputs before and after the activation, and their gradients.
        memory::check("the CPU reference", 20 * (geometry.weights() + inputs + geometry.biases()) + 48 * outputs)?;
        let input = random(1, inputs);
        let mut grad_output = random(2, outputs);
        let mut kernel = local.canonical()?;
        if geometry.config().dtype == WeightType::F16 {
            // The device has no more of them than that.
            kernel.iter_mut().for_each(|weight| *weight = f16::from_f32(*weight).to_f32());
        }
        let layer = Arc::new(geometry.clone());
        let bias = local.bias.as_deref().unwrap_or_default();
        let given = [(names::INPUT, wide(&input)), (names::WEIGHTS, wide(&kernel)), (names::BIAS, wide(bias))];
        drop(kernel);
        let mut values: reference::Values = given.map(|(name, values)| (name.to_owned(), values)).into();
        values.extend(reference::run(&layer_forward(&layer, true), batch, &values)?);
        clear_corners(&values[names::PRE_ACTIVATION], activation, &mut grad_output);
        values.insert(names::GRAD_OUTPUT.to_owned(), wide(&grad_output));
        values.extend(reference::run(&layer_backward(&layer, Gradients::ALL), batch, &values)?);

        let mut take = |name| values.remove(name);
        // A saturated activation makes gradients small by cancelling what isn't: that much may be lost to rounding.
        let largest_of = |values: Option<Vec<f64>>| values.map_or(0.0, |values| largest(&values));
        let (dy, small) = (largest_of(take(names::GRAD_OUTPUT)), largest_of(take(names::GRAD_PRE_ACTIVATION)));
        let factor = if small > 0.0 { (dy / small).max(1.0) } else { 1.0 };
        let mut result = |name, factor| ReferenceValues::new(take(name).unwrap_or_default(), factor);
        Ok(Self {
            output: result(names::OUTPUT, 1.0),
            grad_input: result(names::GRAD_INPUT, factor),
            grad_weights: result(names::GRAD_WEIGHTS, factor),
            grad_bias: result(names::GRAD_BIAS, factor),
            input,
            grad_output,
        })
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// Leaves outputs out of the loss where the derivative jumps within the rounding of the sums: the sign of a sum that
/// is all but zero decides there, and no two orders of summation agree on it.
fn clear_corners(z: &[f64], activation: Activation, grad_output: &mut [f32]) {
    let reach = largest(z) * 1e-5;
    for (&z, dy) in z.iter().zip(grad_output) {
        let [below, above] = [z - reach, z + reach].map(|z| reference::derivative(z, activation));
        if (above - below).abs() > 0.01 {
            *dy = 0.0;
        }
    }
}

/// Uniform values in -1..1 from a seed (splitmix64).
fn random(seed: u64, count: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

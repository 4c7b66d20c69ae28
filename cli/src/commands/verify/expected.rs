//! Random operands of a layer or a model, and the CPU reference's results for them.

use crate::failure::Failure;
use crate::memory;
use crate::random::Random;
use half::f16;
use locally_connected::headless::NamedGradients;
use locally_connected::model::{
    Convolution, Depthwise, End, Graph, Kind, Layer, Local, Model, Separable, Sequential, Wanted, names,
};
use locally_connected::{Activation, WeightType, reference};
use std::collections::BTreeMap;

/// Operands of a model or of one of its layers, and the reference's results. Whole models have no gradients here.
pub(super) struct Expected {
    inputs: Vec<(String, Vec<f32>)>,
    grad_outputs: Vec<(String, Vec<f32>)>,
    outputs: Vec<(String, ReferenceValues)>,
    grad_inputs: Vec<(String, ReferenceValues)>,
    /// By the names of [`names::gradient`].
    grad_parameters: Vec<(String, ReferenceValues)>,
}

/// Reference values, and the magnitude that errors are relative to.
pub(super) struct ReferenceValues {
    values: Vec<f64>,
    scale: f64,
}

impl ReferenceValues {
    /// `values`, whose magnitude would be `factor` times as large if nothing cancelled.
    fn new(values: Vec<f64>, factor: f64) -> Self {
        let scale = largest(&values) * factor;
        // If all values are zero any error is too large; the smallest number avoids 0/0.
        Self { values, scale: if scale > 0.0 { scale } else { f64::MIN_POSITIVE } }
    }

    /// The largest difference from `found`, relative to the largest value; infinite if only one of two values is a
    /// number.
    pub(super) fn error(&self, found: &[f32]) -> f64 {
        if found.len() != self.values.len() {
            return f64::INFINITY;
        }
        let difference = |(&found, &expected): (&f32, &f64)| {
            let found = f64::from(found);
            // Weights, and so results, may be infinite or NaN. A value that is infinite in f32 counts as infinite.
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
    /// One layer alone, forward and backward.
    pub(super) fn layer(model: &Model, batch: u32) -> Result<Self, Failure> {
        let (forward, backward) = (model.graph.forward(), model.graph.backward(Wanted::All));
        // All values at once in f64, besides the operands in f32.
        memory::check("the CPU reference", 3 * backward.bytes(batch))?;
        let graph = &model.graph;
        let mut expected = Self::operands(model, batch);
        let mut values = expected.values(model);
        let dtype = |name: &str| forward.find(name).and_then(|id| Some(forward.buffer(id)?.dtype));
        for (name, values) in &mut values {
            if dtype(name) == Some(WeightType::F16) {
                // A device gets these values as 16-bit floats.
                values.iter_mut().for_each(|value| *value = f16::from_f64(*value).to_f64());
            }
        }
        // Where an activation saturates, gradients are small because larger terms cancel, and rounding may lose that
        // much.
        let mut factor = 1.0;
        if let Some(before) = Before::new(model)? {
            let sums = reference::run(&before.model.graph.forward(), batch, &values)?;
            let z = sums.into_values().next().unwrap_or_default();
            for (_, dy) in &mut expected.grad_outputs {
                clear_corners(&z, before.activation, dy);
                factor = cancelled(&z, dy, &before, batch)?;
            }
        }
        let results = reference::run(&forward, batch, &values)?;
        expected.outputs = ends(&graph.outputs(), |name| graph.output_buffer(names::OUTPUT, name), &results, 1.0);
        for (end, (_, dy)) in graph.outputs().iter().zip(&expected.grad_outputs) {
            values.insert(graph.output_buffer(names::GRAD_OUTPUT, end.name), wide(dy));
        }
        let results = reference::run(&backward, batch, &values)?;
        let of_input = |name: &str| graph.input_buffer(names::GRAD_INPUT, name);
        expected.grad_inputs = ends(&graph.inputs(), of_input, &results, factor);
        for (layer, parameter) in
            graph.layers().iter().flat_map(|layer| layer.parameters().iter().map(move |p| (layer, p)))
        {
            let name = names::gradient(layer.name(), parameter.name);
            if let Some(values) = results.get(&name) {
                expected.grad_parameters.push((name, ReferenceValues::new(values.clone(), factor)));
            }
        }
        Ok(expected)
    }

    /// A whole model, forward.
    pub(super) fn whole(model: &Model, batch: u32) -> Result<Self, Failure> {
        let program = model.graph.forward();
        memory::check("the CPU reference", 3 * program.bytes(batch))?;
        let mut expected = Self { grad_outputs: Vec::new(), ..Self::operands(model, batch) };
        let results = reference::run(&program, batch, &expected.values(model))?;
        let of_output = |name: &str| model.graph.output_buffer(names::OUTPUT, name);
        expected.outputs = ends(&model.graph.outputs(), of_output, &results, 1.0);
        Ok(expected)
    }

    fn operands(model: &Model, batch: u32) -> Self {
        let random = |seed: u64, ends: &[End<'_>]| -> Vec<(String, Vec<f32>)> {
            let seeds = (seed..).step_by(2);
            let of_end =
                |(end, seed): (&End<'_>, u64)| (end.name.to_owned(), random(seed, end.elements() * u64::from(batch)));
            ends.iter().zip(seeds).map(of_end).collect()
        };
        Self {
            inputs: random(1, &model.graph.inputs()),
            grad_outputs: random(2, &model.graph.outputs()),
            outputs: Vec::new(),
            grad_inputs: Vec::new(),
            grad_parameters: Vec::new(),
        }
    }

    /// Inputs and parameters by the names of their buffers.
    fn values(&self, model: &Model) -> reference::Values {
        let inputs =
            self.inputs.iter().map(|(name, values)| (model.graph.input_buffer(names::INPUT, name), wide(values)));
        let parameters = model.parameters.iter().map(|(name, values)| (name.clone(), wide(values)));
        inputs.chain(parameters).collect()
    }

    pub(super) fn inputs(&self) -> Vec<(&str, &[f32])> {
        borrowed(&self.inputs)
    }

    /// Empty if only the forward pass is compared.
    pub(super) fn grad_outputs(&self) -> Vec<(&str, &[f32])> {
        borrowed(&self.grad_outputs)
    }

    pub(super) fn output_error(&self, found: &BTreeMap<String, Vec<f32>>) -> Option<f64> {
        worst(&self.outputs, found, |_| true)
    }

    pub(super) fn gradient_errors(&self, found: &NamedGradients) -> [Option<f64>; 3] {
        let biases = |name: &str| name.ends_with("/grad_bias") || name.ends_with("/grad_beta");
        [
            worst(&self.grad_inputs, &found.inputs, |_| true),
            worst(&self.grad_parameters, &found.parameters, |name| !biases(name)),
            worst(&self.grad_parameters, &found.parameters, biases),
        ]
    }
}

/// A layer without its activation: it gives the value that the activation is computed from.
struct Before {
    model: Model,
    activation: Activation,
}

impl Before {
    /// None where the layer has no activation of its own.
    fn new(model: &Model) -> Result<Option<Self>, Failure> {
        let [layer] = model.graph.layers() else { return Ok(None) };
        let linear = Activation::Linear;
        let (kind, activation): (Kind, Activation) = match layer.kind().clone() {
            Kind::Local(Local::Config(config)) => {
                (Local::Config(config.clone().activation(linear)).into(), config.activation)
            }
            Kind::Local(Local::Geometry(geometry)) => {
                (Local::Geometry(geometry.with_activation(linear).into()).into(), geometry.config().activation)
            }
            Kind::Convolution(Convolution(config)) => {
                (Convolution(config.clone().activation(linear)).into(), config.activation)
            }
            Kind::Depthwise(Depthwise(config)) => {
                (Depthwise(config.clone().activation(linear)).into(), config.activation)
            }
            Kind::Separable(layer) => {
                let activation = layer.activation;
                (Separable { activation: linear, ..layer }.into(), activation)
            }
            Kind::Dense(dense) => (dense.activation(linear).into(), dense.activation),
            _ => return Ok(None),
        };
        let mut graph = Graph::new();
        let inputs = model.graph.inputs().into_iter().map(|end| graph.input(end.shape));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let output = graph.add(Layer::new(kind).named(layer.name()), &inputs)?;
        graph.output(output);
        // Its parameters have the layer's names.
        Ok(Some(Self { model: Model { graph, ..Model::default() }, activation }))
    }
}

fn borrowed(values: &[(String, Vec<f32>)]) -> Vec<(&str, &[f32])> {
    values.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect()
}

/// The reference's values of inputs or outputs, by their own names. A gradient that nothing depends on is left out.
fn ends(
    ends: &[End<'_>],
    buffer: impl Fn(&str) -> String,
    results: &reference::Values,
    factor: f64,
) -> Vec<(String, ReferenceValues)> {
    let of_end = |end: &End<'_>| {
        let values = results.get(&buffer(end.name))?.clone();
        Some((end.name.to_owned(), ReferenceValues::new(values, factor)))
    };
    ends.iter().filter_map(of_end).collect()
}

/// The largest error among the `wanted` results; infinite if one is missing, none if there are none.
fn worst(
    expected: &[(String, ReferenceValues)],
    found: &BTreeMap<String, Vec<f32>>,
    wanted: impl Fn(&str) -> bool,
) -> Option<f64> {
    let wanted = expected.iter().filter(|(name, _)| wanted(name));
    wanted.map(|(name, values)| found.get(name).map_or(f64::INFINITY, |found| values.error(found))).reduce(f64::max)
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// How much larger the outputs' gradients are than what the activation's derivative leaves of them; at least 1.
fn cancelled(z: &[f64], dy: &[f32], before: &Before, batch: u32) -> Result<f64, Failure> {
    let shape = before.model.graph.outputs().first().map_or(Vec::new(), |end| end.shape.to_vec());
    let alone = Sequential::new(shape).add(before.activation).graph()?;
    let given = [(names::INPUT, z.to_vec()), (names::GRAD_OUTPUT, wide(dy))];
    let given = given.map(|(name, values)| (name.to_owned(), values)).into();
    let results = reference::run(&alone.backward(Wanted::All), batch, &given)?;
    let small = results.get(names::GRAD_INPUT).map_or(0.0, |values| largest(values));
    let dy = dy.iter().map(|dy| f64::from(dy.abs())).fold(0.0, f64::max);
    Ok(if small > 0.0 { (dy / small).max(1.0) } else { 1.0 })
}

/// Takes outputs out of the loss where the derivative jumps within the rounding of the sums: there the sign of a sum
/// that is almost 0 decides, and different orders of summation don't agree on it.
fn clear_corners(z: &[f64], activation: Activation, grad_output: &mut [f32]) {
    let reach = largest(z) * 1e-5;
    for (&z, dy) in z.iter().zip(grad_output) {
        let [below, above] = [z - reach, z + reach].map(|z| reference::derivative(z, activation));
        if (above - below).abs() > 0.01 {
            *dy = 0.0;
        }
    }
}

/// Uniform values between -1 and 1, from a seed.
fn random(seed: u64, count: u64) -> Vec<f32> {
    let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..count).map(|_| (random.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

//! Keras's merging and normalising layers and PReLU, made of operations as a model makes them, forward and backward.

use crate::common::{Arrays, assert_near, on_every_executor, root};
use locally_connected::Activation;
use locally_connected::ops::{
    BufferId, Combine, CombineGrad, How, LayerNorm, LayerNormGrad, NormFactor, Normalise, Operation, Part, Shape,
    Sizes, Sum, Usage, broadcast,
};
use locally_connected::program::Program;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    class: String,
    config: Arguments,
    inputs: Vec<Array>,
    weights: BTreeMap<String, Array>,
    y: Array,
    dy: Array,
    grads: BTreeMap<String, Array>,
}

#[derive(Deserialize)]
struct Arguments {
    axis: Option<Vec<usize>>,
    epsilon: Option<f32>,
    shared_axes: Option<Vec<usize>>,
}

#[derive(Deserialize)]
struct Array {
    shape: Vec<u64>,
    values: Vec<f32>,
}

impl Array {
    /// Without the batch.
    fn sample(&self) -> &[u64] {
        &self.shape[1..]
    }
}

/// A program that is being made.
#[derive(Default)]
struct Making(Program);

impl Making {
    fn between(&mut self, shape: Shape) -> BufferId {
        let name = format!("between {}", self.0.buffers.len());
        self.0.add(name, Usage::Scratch, shape)
    }

    fn push(&mut self, operation: Operation) {
        self.0.operations.push(operation);
    }

    fn samples(sizes: Sizes) -> Shape {
        Shape::Samples(sizes.iter().product())
    }

    /// Two values combined and divided, to a buffer of its own or the one given.
    fn combine(&mut self, (how, divisor): (How, f32), [a, b]: [Part; 2], to: Option<BufferId>) -> Part {
        let sizes = std::array::from_fn(|axis| a.sizes[axis].max(b.sizes[axis]));
        let output = to.unwrap_or_else(|| self.between(Self::samples(sizes)));
        self.push(Operation::Combine(Combine { how, sizes, a, b, divisor, output }));
        Part::samples(output, sizes)
    }

    /// The sum of a gradient over the axes along which its operand repeats, and the samples if it has none.
    fn sum(&mut self, from: Part, to: &Part, (divisor, output): (f32, BufferId)) {
        let along = std::array::from_fn(|axis| to.sizes[axis] == 1 && from.sizes[axis] > 1);
        let (sizes, input, over_batch) = (from.sizes, from.buffer, !to.batched);
        self.push(Operation::Sum(Sum {
            sizes,
            along,
            over_batch,
            divisor,
            by_batch: false,
            input,
            output,
            accumulate: false,
        }));
    }

    /// The gradient of one of two combined values, before it is summed.
    fn grad(&mut self, (how, of_second): (How, bool), [a, b]: [Part; 2], dy: Part) -> (Part, f32) {
        match how {
            How::Add => (dy, 1.0),
            How::Subtract => (dy, if of_second { -1.0 } else { 1.0 }),
            How::Multiply => (self.combine((How::Multiply, 1.0), [dy, if of_second { a } else { b }], None), 1.0),
            How::Maximum | How::Minimum | How::PRelu => {
                let (sizes, grad_output) = (dy.sizes, dy.buffer);
                let grad = self.between(Self::samples(sizes));
                self.push(Operation::CombineGrad(CombineGrad { how, of_second, sizes, a, b, grad_output, grad }));
                (Part::samples(grad, sizes), 1.0)
            }
        }
    }

    /// All inputs combined one after another, and the gradient of each.
    fn merge(&mut self, merged: &Merged<'_>) {
        let &Merged { how, average, parts, y, dy, grads } = merged;
        let mut steps: Vec<[Part; 2]> = Vec::new();
        let mut all = parts[0];
        for (part, at) in parts.iter().zip(0usize..).skip(1) {
            steps.push([all, *part]);
            let last = at + 1 == parts.len();
            let divisor = if average && last { parts.len() as f32 } else { 1.0 };
            all = self.combine((how, divisor), [all, *part], last.then_some(y));
        }
        let divisor = if average { parts.len() as f32 } else { 1.0 };
        let mut dy = Part::samples(dy, all.sizes);
        for at in (1..=steps.len()).rev() {
            let operands = &steps[at - 1];
            let (grad, sign) = self.grad((how, true), *operands, dy);
            self.sum(grad, &operands[1], (sign * divisor, grads[at]));
            let (grad, sign) = self.grad((how, false), *operands, dy);
            let to = if at == 1 { grads[0] } else { self.between(Self::samples(operands[0].sizes)) };
            let divisor = if at == 1 { sign * divisor } else { sign };
            self.sum(grad, &operands[0], (divisor, to));
            dy = Part::samples(to, operands[0].sizes);
        }
    }
}

/// Inputs that are combined, their result, its gradient and theirs.
struct Merged<'a> {
    how: How,
    average: bool,
    parts: &'a [Part],
    y: BufferId,
    dy: BufferId,
    grads: &'a [BufferId],
}

/// The buffers of a case.
struct Buffers {
    inputs: Vec<BufferId>,
    dy: BufferId,
    y: BufferId,
    weights: BTreeMap<String, BufferId>,
    grads: BTreeMap<String, BufferId>,
}

impl Case {
    fn buffers(&self, making: &mut Making) -> Buffers {
        let length = |array: &Array| array.sample().iter().product::<u64>();
        let program = &mut making.0;
        let mut samples = |name: String, usage, array: &Array| program.add(name, usage, Shape::Samples(length(array)));
        let inputs = self.inputs.iter().zip(0..).map(|(x, i)| samples(format!("input_{i}"), Usage::Input, x)).collect();
        let dy = samples("dy".into(), Usage::Input, &self.dy);
        let y = samples("y".into(), Usage::Output, &self.y);
        let fixed = |program: &mut Program, name: &str, prefix: &str, usage, array: &Array| {
            let shape = Shape::Fixed(array.values.len() as u64);
            (name.to_owned(), program.add(format!("{prefix}{name}"), usage, shape))
        };
        let weights =
            self.weights.iter().map(|(name, array)| fixed(program, name, "", Usage::Parameter, array)).collect();
        let grads = self.grads.iter().map(|(name, array)| {
            if name.starts_with("input") {
                let shape = Shape::Samples(length(array));
                (name.clone(), program.add(format!("grad {name}"), Usage::Output, shape))
            } else {
                fixed(program, name, "grad ", Usage::Gradient, array)
            }
        });
        let grads = grads.collect();
        Buffers { inputs, dy, y, weights, grads }
    }

    fn program(&self) -> Program {
        let mut making = Making::default();
        let buffers = self.buffers(&mut making);
        match self.class.as_str() {
            "BatchNormalization" => self.batch_normalization(&mut making, &buffers),
            "LayerNormalization" => self.layer_normalization(&mut making, &buffers),
            "PReLU" => self.prelu(&mut making, &buffers),
            merge => {
                let shapes: Vec<&[u64]> = self.inputs.iter().map(Array::sample).collect();
                let (sizes, _) = broadcast(&shapes).expect("shapes that Keras merges");
                let parts: Vec<Part> = buffers.inputs.iter().zip(sizes).map(|(x, s)| Part::samples(*x, s)).collect();
                let grads: Vec<BufferId> = (0..parts.len()).map(|i| buffers.grads[&format!("input_{i}")]).collect();
                let how = match merge {
                    "Add" | "Average" => How::Add,
                    "Subtract" => How::Subtract,
                    "Multiply" => How::Multiply,
                    "Maximum" => How::Maximum,
                    "Minimum" => How::Minimum,
                    other => panic!("{other}"),
                };
                let (average, y, dy) = (merge == "Average", buffers.y, buffers.dy);
                making.merge(&Merged { how, average, parts: &parts, y, dy, grads: &grads });
            }
        }
        making.0
    }

    fn prelu(&self, making: &mut Making, buffers: &Buffers) {
        let x = self.inputs[0].sample();
        let shared = self.config.shared_axes.clone().unwrap_or_default();
        let slopes: Vec<u64> =
            x.iter().zip(1..).map(|(size, axis)| if shared.contains(&axis) { 1 } else { *size }).collect();
        let (sizes, _) = broadcast(&[x, &slopes]).expect("slopes repeat");
        let operands = [Part::samples(buffers.inputs[0], sizes[0]), Part::fixed(buffers.weights["alpha"], sizes[1])];
        let dy = Part::samples(buffers.dy, sizes[0]);
        making.combine((How::PRelu, 1.0), operands, Some(buffers.y));
        for (of_second, name) in [(false, "input_0"), (true, "alpha")] {
            let (grad, _) = making.grad((How::PRelu, of_second), operands, dy);
            making.sum(grad, &operands[usize::from(of_second)], (1.0, buffers.grads[name]));
        }
    }

    fn batch_normalization(&self, making: &mut Making, buffers: &Buffers) {
        let axis = self.config.axis.as_ref().expect("it has an axis")[0];
        let x = &self.inputs[0];
        let (channels, inner) = (x.shape[axis], x.shape[axis + 1..].iter().product());
        let elements = x.sample().iter().product();
        let weight = |name: &str| buffers.weights.get(name).copied();
        let (mean, variance) = (weight("moving_mean").expect("there"), weight("moving_variance").expect("there"));
        let epsilon = self.config.epsilon.expect("it has one");
        let mut factor = |gamma| {
            let factor = making.between(Shape::Fixed(channels));
            making.push(Operation::NormFactor(NormFactor { channels, epsilon, variance, gamma, factor }));
            factor
        };
        let (scaled, plain) = (factor(weight("gamma")), factor(None));
        let input = buffers.inputs[0];
        let normalise = |factor, beta, output| {
            let activation = Activation::Linear;
            Operation::Normalise(Normalise { elements, channels, inner, input, mean, factor, beta, activation, output })
        };
        making.push(normalise(scaled, weight("beta"), buffers.y));
        let whole = [1, elements / channels / inner, channels, inner];
        let by_channel = [1, 1, channels, 1];
        let dy = Part::samples(buffers.dy, whole);
        making.combine((How::Multiply, 1.0), [dy, Part::fixed(scaled, by_channel)], Some(buffers.grads["input_0"]));
        if let Some(grad) = buffers.grads.get("beta") {
            making.sum(dy, &Part::fixed(*grad, by_channel), (1.0, *grad));
        }
        if let Some(grad) = buffers.grads.get("gamma") {
            let normalised = making.between(Shape::Samples(elements));
            making.push(normalise(plain, None, normalised));
            let along = making.combine((How::Multiply, 1.0), [dy, Part::samples(normalised, whole)], None);
            making.sum(along, &Part::fixed(*grad, by_channel), (1.0, *grad));
        }
    }

    fn layer_normalization(&self, making: &mut Making, buffers: &Buffers) {
        let x = &self.inputs[0];
        let axes = self.config.axis.as_ref().expect("it has axes");
        let row: u64 = axes.iter().map(|&axis| x.shape[axis]).product();
        let elements: u64 = x.sample().iter().product();
        let weight = |name: &str| buffers.weights.get(name).copied();
        let (epsilon, input) = (self.config.epsilon.expect("it has one"), buffers.inputs[0]);
        let (gamma, beta) = (weight("gamma"), weight("beta"));
        let norm = |gamma, beta, output| {
            Operation::LayerNorm(LayerNorm { elements, row, epsilon, input, gamma, beta, output })
        };
        making.push(norm(gamma, beta, buffers.y));
        making.push(Operation::LayerNormGrad(LayerNormGrad {
            elements,
            row,
            epsilon,
            input,
            gamma,
            grad_output: buffers.dy,
            grad_input: buffers.grads["input_0"],
        }));
        let (whole, by_row) = ([1, 1, elements / row, row], [1, 1, 1, row]);
        let dy = Part::samples(buffers.dy, whole);
        if let Some(grad) = buffers.grads.get("beta") {
            making.sum(dy, &Part::fixed(*grad, by_row), (1.0, *grad));
        }
        if let Some(grad) = buffers.grads.get("gamma") {
            let normalised = making.between(Shape::Samples(elements));
            making.push(norm(None, None, normalised));
            let along = making.combine((How::Multiply, 1.0), [dy, Part::samples(normalised, whole)], None);
            making.sum(along, &Part::fixed(*grad, by_row), (1.0, *grad));
        }
    }

    fn given(&self) -> Arrays {
        let inputs = self.inputs.iter().zip(0..).map(|(x, i)| (format!("input_{i}"), x.values.clone()));
        let weights = self.weights.iter().map(|(name, array)| (name.clone(), array.values.clone()));
        inputs.chain(weights).chain([("dy".to_owned(), self.dy.values.clone())]).collect()
    }
}

#[test]
fn layers_are_keras_s() {
    let text = std::fs::read_to_string(root().join("tests/fixtures/operations/layers.json")).expect("it is there");
    let fixture: Fixture = serde_json::from_str(&text).expect("it is JSON");
    let mut classes: Vec<&str> = Vec::new();
    for (case, at) in fixture.cases.iter().zip(0..) {
        let batch = case.y.shape[0] as u32;
        for (executor, written) in on_every_executor(&case.program(), batch, &case.given()) {
            let what = |name: &str| format!("{name} of case {at}, {}, by {executor}", case.class);
            let wide = |array: &Array| array.values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
            assert_near(what("y"), &written["y"], &wide(&case.y), 2e-5);
            for (name, grad) in &case.grads {
                assert_near(what(name), &written[&format!("grad {name}")], &wide(grad), 2e-5);
            }
        }
        classes.push(&case.class);
    }
    classes.dedup();
    assert_eq!(classes.len(), 9, "{classes:?}");
}

//! Layers one after another, and the programs that they make.

use super::local;
use crate::config::{Activation, Implementation, Saved, WeightType};
use crate::geometry::Geometry;
use crate::ops::{Activate, ActivateGrad, Buffer, BufferId, Operation, Shape, Transpose, Usage};
use crate::program::Program;
use std::sync::Arc;

/// What a layer of a [`Chain`] does to its values.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A locally connected layer, with its bias and activation.
    Local {
        /// Shapes, taps, connectivity, bias and activation, and the implementation where one is forced.
        geometry: Arc<Geometry>,
        /// Whether [`Chain::backward`] computes the gradients of its parameters.
        trainable: bool,
    },
    /// An activation alone.
    Activation {
        /// Which one.
        activation: Activation,
        /// Elements of a row, the last axis.
        row: u64,
    },
    /// `[rows][columns]` to `[columns][rows]` in each sample.
    Transpose {
        /// Of the input.
        rows: u64,
        /// Of the input.
        columns: u64,
    },
}

/// A layer of a [`Chain`].
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Unique in the chain: the names of the layer's buffers begin with it.
    pub name: String,
    /// What it does.
    pub kind: Kind,
}

/// Layers one after another. What only gives values another shape is no layer of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chain {
    /// Elements of one sample of the input.
    pub inputs: u64,
    /// In the order of execution; each takes as many elements as the one before gives.
    pub layers: Vec<Layer>,
}

/// Names of the buffers of [`Chain`]'s programs that aren't a layer's own.
pub mod names {
    /// The first layer's input.
    pub const INPUT: &str = "input";
    /// The last layer's output.
    pub const OUTPUT: &str = "output";
    /// The gradient of the loss by the last layer's output.
    pub const GRAD_OUTPUT: &str = "grad_output";
    /// The gradient of the loss by the first layer's input.
    pub const GRAD_INPUT: &str = "grad_input";

    /// A layer's weights, in the canonical order.
    #[must_use]
    pub fn weights(layer: &str) -> String {
        format!("{layer}/weights")
    }

    /// A layer's bias, in Keras's order.
    #[must_use]
    pub fn bias(layer: &str) -> String {
        format!("{layer}/bias")
    }

    /// The gradient of the loss by a layer's weights.
    #[must_use]
    pub fn grad_weights(layer: &str) -> String {
        format!("{layer}/grad_weights")
    }

    /// The gradient of the loss by a layer's bias.
    #[must_use]
    pub fn grad_bias(layer: &str) -> String {
        format!("{layer}/grad_bias")
    }
}

/// The buffers that a layer's forward pass leaves to its backward pass.
struct Trace {
    input: BufferId,
    /// Elements of a sample of it.
    inputs: u64,
    weights: Option<BufferId>,
    /// What [`Activation::saved`] asks for.
    saved: BufferId,
}

impl Layer {
    /// A buffer that the layer writes, or its parameter.
    fn add(&self, program: &mut Program, name: String, usage: Usage, shape: Shape) -> BufferId {
        let (layer, dtype) = (Some(self.name.clone()), WeightType::F32);
        program.add_buffer(Buffer { name, layer, usage, shape, dtype })
    }

    /// Elements of a sample that it gives for a sample of `inputs`.
    fn outputs(&self, inputs: u64) -> u64 {
        match &self.kind {
            Kind::Local { geometry, .. } => geometry.outputs(),
            Kind::Activation { .. } | Kind::Transpose { .. } => inputs,
        }
    }

    /// Its activation with the length of a row; linear where it has none.
    fn activation(&self) -> (Activation, u64) {
        match &self.kind {
            Kind::Local { geometry, .. } => (geometry.config().activation, geometry.softmax_row().into()),
            &Kind::Activation { activation, row } => (activation, row),
            Kind::Transpose { .. } => (Activation::Linear, 1),
        }
    }

    fn forward(&self, program: &mut Program, (input, inputs): (BufferId, u64), output: BufferId, keep: bool) -> Trace {
        let (activation, row) = self.activation();
        let mut trace = Trace { input, inputs, weights: None, saved: output };
        let saves_sums = activation.saved() == Saved::PreActivation;
        match &self.kind {
            Kind::Local { geometry, .. } => {
                let weights = program.add_buffer(Buffer {
                    layer: Some(self.name.clone()),
                    ..local::weights(geometry, names::weights(&self.name))
                });
                let bias = (geometry.biases() > 0).then(|| {
                    self.add(program, names::bias(&self.name), Usage::Parameter, Shape::Fixed(geometry.biases()))
                });
                let apart = activation.over_rows() || keep && saves_sums;
                let pre_activation = apart.then(|| {
                    let shape = Shape::Samples(geometry.outputs());
                    self.add(program, format!("{}/pre_activation", self.name), Usage::Scratch, shape)
                });
                let forward = local::Forward { input, weights, bias, pre_activation, output };
                program.operations.extend(forward.operations(geometry));
                trace.weights = Some(weights);
                if saves_sums {
                    trace.saved = pre_activation.unwrap_or(output);
                }
            }
            Kind::Activation { .. } => {
                let activate = Activate { activation, elements: inputs, row, input, output };
                program.operations.push(Operation::Activate(activate));
                if saves_sums {
                    trace.saved = input;
                }
            }
            &Kind::Transpose { rows, columns } => {
                program.operations.push(Operation::Transpose(Transpose { rows, columns, input, output }));
            }
        }
        trace
    }

    /// `grad_output` becomes `grad_input`, by way of the gradient before the activation where there is one.
    fn backward(&self, program: &mut Program, trace: &Trace, Flow { grad_output, grad_input }: Flow) {
        let (activation, row) = self.activation();
        let activated = activation.saved() != Saved::Nothing;
        match (&self.kind, trace.weights) {
            (Kind::Local { geometry, trainable, .. }, Some(weights)) => {
                let outputs = Shape::Samples(geometry.outputs());
                let (grads, biases) = (Shape::of_weights(geometry), Shape::Fixed(geometry.biases()));
                let mut gradient = |name, shape| self.add(program, name, Usage::Gradient, shape);
                let grad_bias =
                    (*trainable && geometry.biases() > 0).then(|| gradient(names::grad_bias(&self.name), biases));
                let grad_weights = trainable.then(|| gradient(names::grad_weights(&self.name), grads));
                let activation = activated.then(|| {
                    let name = format!("{}/grad_pre_activation", self.name);
                    [trace.saved, self.add(program, name, Usage::Scratch, outputs)]
                });
                let grad_weights = grad_weights.map(|grad_weights| [trace.input, grad_weights]);
                let grad_input = grad_input.map(|grad_input| [weights, grad_input]);
                let backward = local::Backward { activation, grad_output, grad_bias, grad_weights, grad_input };
                program.operations.extend(backward.operations(geometry));
            }
            (&Kind::Transpose { rows, columns }, _) => program.operations.extend(grad_input.map(|output| {
                Operation::Transpose(Transpose { rows: columns, columns: rows, input: grad_output, output })
            })),
            _ if activated => program.operations.extend(grad_input.map(|grad_input| {
                let (elements, saved) = (trace.inputs, trace.saved);
                Operation::ActivateGrad(ActivateGrad { activation, elements, row, saved, grad_output, grad_input })
            })),
            _ => program.operations.extend(grad_input.map(|to| copy(trace.inputs, grad_output, to))),
        }
    }
}

/// A layer's gradients by its output and by its input.
#[derive(Clone, Copy)]
struct Flow {
    grad_output: BufferId,
    /// None where nobody wants it.
    grad_input: Option<BufferId>,
}

/// Which gradients [`Chain::backward`] computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// That of the input, and those of all trainable layers' parameters.
    All,
    /// Those of the parameters alone, which is what training needs: nothing is computed below the first trainable layer.
    Parameters,
}

/// The values as they are.
fn copy(elements: u64, input: BufferId, output: BufferId) -> Operation {
    Operation::Activate(Activate { activation: Activation::Linear, elements, row: 1, input, output })
}

impl Chain {
    /// Elements of one sample of the output.
    #[must_use]
    pub fn outputs(&self) -> u64 {
        self.layers.iter().fold(self.inputs, |inputs, layer| layer.outputs(inputs))
    }

    /// The same chain with all locally connected layers executed by one implementation, or as the planner likes.
    #[must_use]
    pub fn with_implementation(mut self, implementation: impl Into<Option<Implementation>>) -> Self {
        let implementation = implementation.into();
        for layer in &mut self.layers {
            if let Kind::Local { geometry, .. } = &mut layer.kind {
                *geometry = Arc::new(geometry.with_implementation(implementation));
            }
        }
        self
    }

    /// From [`names::INPUT`] to [`names::OUTPUT`].
    #[must_use]
    pub fn forward(&self) -> Program {
        let mut program = Program::default();
        self.run_forward(&mut program, self.layers.len());
        program
    }

    /// From [`names::INPUT`] and [`names::GRAD_OUTPUT`] to [`names::OUTPUT`], [`names::GRAD_INPUT`] if it is wanted, and the
    /// gradients of the parameters of all trainable layers, for the loss `Σ output · grad_output`.
    #[must_use]
    pub fn backward(&self, wanted: Wanted) -> Program {
        let mut program = Program::default();
        let trains = |layer: &Layer| matches!(layer.kind, Kind::Local { trainable: true, .. });
        // The layers from the first whose gradients are wanted on; before it nothing needs any.
        let first = match wanted {
            Wanted::All => 0,
            Wanted::Parameters => self.layers.iter().position(trains).unwrap_or(self.layers.len()),
        };
        let traces = self.run_forward(&mut program, first);
        let mut grad_output = program.add(names::GRAD_OUTPUT, Usage::Input, Shape::Samples(self.outputs()));
        for ((layer, trace), at) in self.layers.iter().zip(&traces).zip(0..self.layers.len()).skip(first).rev() {
            let grad_input = (at > first || wanted == Wanted::All).then(|| {
                let (name, usage) = match at {
                    0 => (names::GRAD_INPUT.to_owned(), Usage::Output),
                    _ => (format!("{}/grad_input", layer.name), Usage::Scratch),
                };
                layer.add(&mut program, name, usage, Shape::Samples(trace.inputs))
            });
            layer.backward(&mut program, trace, Flow { grad_output, grad_input });
            grad_output = grad_input.unwrap_or(grad_output);
        }
        if self.layers.is_empty() && wanted == Wanted::All {
            let grad_input = program.add(names::GRAD_INPUT, Usage::Output, Shape::Samples(self.inputs));
            program.operations.push(copy(self.inputs, grad_output, grad_input));
        }
        program
    }

    /// The layers from `keep_from` on leave what a backward pass needs.
    fn run_forward(&self, program: &mut Program, keep_from: usize) -> Vec<Trace> {
        let mut input = program.add(names::INPUT, Usage::Input, Shape::Samples(self.inputs));
        let (mut traces, mut inputs) = (Vec::new(), self.inputs);
        for (layer, at) in self.layers.iter().zip(0..) {
            let (name, usage) = match self.layers.len() - at {
                1 => (names::OUTPUT.to_owned(), Usage::Output),
                _ => (format!("{}/output", layer.name), Usage::Scratch),
            };
            let outputs = layer.outputs(inputs);
            let output = layer.add(program, name, usage, Shape::Samples(outputs));
            traces.push(layer.forward(program, (input, inputs), output, keep_from <= at));
            (input, inputs) = (output, outputs);
        }
        if self.layers.is_empty() {
            let output = program.add(names::OUTPUT, Usage::Output, Shape::Samples(self.inputs));
            program.operations.push(copy(self.inputs, input, output));
        }
        traces
    }
}

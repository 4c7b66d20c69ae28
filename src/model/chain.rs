//! Layers one after another, and the programs that they make.

use crate::config::{Activation, Implementation, Saved};
use crate::geometry::Geometry;
use crate::ops::{
    Activate, ActivateGrad, Buffer, BufferId, GradBias, LocalForward, LocalGradInput, LocalGradWeights, Operation,
    Shape, Transpose, Usage,
};
use crate::program::Program;
use std::sync::Arc;

/// What a layer of a [`Chain`] does to its values.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A locally connected layer, with its bias and activation.
    Local {
        /// Shapes, taps, connectivity, bias and activation.
        geometry: Arc<Geometry>,
        /// How it is executed; none leaves it to the planner.
        implementation: Option<Implementation>,
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
        match &self.kind {
            Kind::Local { geometry, implementation, .. } => {
                let weights = program.add_buffer(Buffer {
                    name: names::weights(&self.name),
                    usage: Usage::Parameter,
                    shape: Shape::of_weights(geometry),
                    dtype: geometry.config().dtype,
                });
                let bias = (geometry.biases() > 0)
                    .then(|| program.add(names::bias(&self.name), Usage::Parameter, Shape::Fixed(geometry.biases())));
                let apart = activation.over_rows() || keep && activation.saved() == Saved::PreActivation;
                let sums = if apart {
                    let shape = Shape::Samples(geometry.outputs());
                    program.add(format!("{}/pre_activation", self.name), Usage::Scratch, shape)
                } else {
                    output
                };
                program.operations.push(Operation::LocalForward(LocalForward {
                    layer: geometry.clone(),
                    implementation: *implementation,
                    activation: if apart { Activation::Linear } else { activation },
                    input,
                    weights,
                    bias,
                    output: sums,
                }));
                if apart {
                    let activate = Activate { activation, row, input: sums, output };
                    program.operations.push(Operation::Activate(activate));
                }
                trace.weights = Some(weights);
                if activation.saved() == Saved::PreActivation {
                    trace.saved = sums;
                }
            }
            Kind::Activation { .. } => {
                program.operations.push(Operation::Activate(Activate { activation, row, input, output }));
                if activation.saved() == Saved::PreActivation {
                    trace.saved = input;
                }
            }
            &Kind::Transpose { rows, columns } => {
                program.operations.push(Operation::Transpose(Transpose { rows, columns, input, output }));
            }
        }
        trace
    }

    /// `grad_output` becomes `grad_input`, by way of `grad_sums` where there is an activation.
    fn backward(&self, program: &mut Program, trace: &Trace, Gradients { grad_output, grad_input }: Gradients) {
        let (activation, row) = self.activation();
        let activated = activation.saved() != Saved::Nothing;
        let grad = |grad_input| {
            Operation::ActivateGrad(ActivateGrad { activation, row, saved: trace.saved, grad_output, grad_input })
        };
        match (&self.kind, trace.weights) {
            (Kind::Local { geometry, implementation, trainable }, Some(weights)) => {
                let (layer, implementation) = (geometry.clone(), *implementation);
                let mut grad_sums = grad_output;
                if activated {
                    let shape = Shape::Samples(geometry.outputs());
                    grad_sums = program.add(format!("{}/grad_pre_activation", self.name), Usage::Scratch, shape);
                    program.operations.push(grad(grad_sums));
                }
                if *trainable {
                    let shape = Shape::of_weights(geometry);
                    let grad_weights = program.add(names::grad_weights(&self.name), Usage::Gradient, shape);
                    program.operations.push(Operation::LocalGradWeights(LocalGradWeights {
                        layer: layer.clone(),
                        implementation,
                        input: trace.input,
                        grad_output: grad_sums,
                        grad_weights,
                        accumulate: false,
                    }));
                }
                if *trainable && geometry.biases() > 0 {
                    let shape = Shape::Fixed(geometry.biases());
                    let grad_bias = program.add(names::grad_bias(&self.name), Usage::Gradient, shape);
                    let layer = layer.clone();
                    program.operations.push(Operation::GradBias(GradBias {
                        layer,
                        grad_output: grad_sums,
                        grad_bias,
                        accumulate: false,
                    }));
                }
                let grad_output = grad_sums;
                program.operations.extend(grad_input.map(|grad_input| {
                    Operation::LocalGradInput(LocalGradInput {
                        layer,
                        implementation,
                        weights,
                        grad_output,
                        grad_input,
                    })
                }));
            }
            (&Kind::Transpose { rows, columns }, _) => program.operations.extend(grad_input.map(|output| {
                Operation::Transpose(Transpose { rows: columns, columns: rows, input: grad_output, output })
            })),
            _ if activated => program.operations.extend(grad_input.map(grad)),
            _ => program.operations.extend(grad_input.map(|grad_input| copy(grad_output, grad_input))),
        }
    }
}

/// A layer's gradients by its output and by its input.
#[derive(Clone, Copy)]
struct Gradients {
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
fn copy(input: BufferId, output: BufferId) -> Operation {
    Operation::Activate(Activate { activation: Activation::Linear, row: 1, input, output })
}

impl Chain {
    /// Elements of one sample of the output.
    #[must_use]
    pub fn outputs(&self) -> u64 {
        self.layers.iter().fold(self.inputs, |inputs, layer| layer.outputs(inputs))
    }

    /// From [`names::INPUT`] to [`names::OUTPUT`].
    #[must_use]
    pub fn forward(&self) -> Program {
        let mut program = Program::default();
        self.run_forward(&mut program, false);
        program
    }

    /// From [`names::INPUT`] and [`names::GRAD_OUTPUT`] to [`names::OUTPUT`], [`names::GRAD_INPUT`] if it is wanted, and the
    /// gradients of the parameters of all trainable layers, for the loss `Σ output · grad_output`.
    #[must_use]
    pub fn backward(&self, wanted: Wanted) -> Program {
        let mut program = Program::default();
        let traces = self.run_forward(&mut program, true);
        let mut grad_output = program.add(names::GRAD_OUTPUT, Usage::Input, Shape::Samples(self.outputs()));
        let trains = |layer: &Layer| matches!(layer.kind, Kind::Local { trainable: true, .. });
        // The layers from the first whose gradients are wanted on; before it nothing needs any.
        let first = match wanted {
            Wanted::All => 0,
            Wanted::Parameters => self.layers.iter().position(trains).unwrap_or(self.layers.len()),
        };
        for ((layer, trace), at) in self.layers.iter().zip(&traces).zip(0..self.layers.len()).skip(first).rev() {
            let grad_input = (at > first || wanted == Wanted::All).then(|| {
                let (name, usage) = match at {
                    0 => (names::GRAD_INPUT.to_owned(), Usage::Output),
                    _ => (format!("{}/grad_input", layer.name), Usage::Scratch),
                };
                program.add(name, usage, Shape::Samples(trace.inputs))
            });
            layer.backward(&mut program, trace, Gradients { grad_output, grad_input });
            grad_output = grad_input.unwrap_or(grad_output);
        }
        if self.layers.is_empty() && wanted == Wanted::All {
            let grad_input = program.add(names::GRAD_INPUT, Usage::Output, Shape::Samples(self.inputs));
            program.operations.push(copy(grad_output, grad_input));
        }
        program
    }

    fn run_forward(&self, program: &mut Program, keep: bool) -> Vec<Trace> {
        let mut input = program.add(names::INPUT, Usage::Input, Shape::Samples(self.inputs));
        let (mut traces, mut inputs) = (Vec::new(), self.inputs);
        for (layer, left) in self.layers.iter().zip((0..self.layers.len()).rev()) {
            let (name, usage) = match left {
                0 => (names::OUTPUT.to_owned(), Usage::Output),
                _ => (format!("{}/output", layer.name), Usage::Scratch),
            };
            let outputs = layer.outputs(inputs);
            let output = program.add(name, usage, Shape::Samples(outputs));
            traces.push(layer.forward(program, (input, inputs), output, keep));
            (input, inputs) = (output, outputs);
        }
        if self.layers.is_empty() {
            let output = program.add(names::OUTPUT, Usage::Output, Shape::Samples(self.inputs));
            program.operations.push(copy(input, output));
        }
        traces
    }
}

//! A locally connected layer's passes as operations, and the programs of a layer alone.

use crate::config::{Activation, Saved};
use crate::geometry::Geometry;
use crate::ops::{
    Activate, ActivateGrad, Buffer, BufferId, Change, GradBias, LocalForward, LocalGradInput, LocalGradWeights,
    Operation, Shape, Usage,
};
use crate::program::Program;
use std::sync::Arc;

/// Names of the buffers of a layer's programs.
pub mod layer_names {
    /// `[batch][input shape]`.
    pub const INPUT: &str = "input";
    /// `[batch][output shape]`.
    pub const OUTPUT: &str = "output";
    /// `[batch][output shape]`, before the activation.
    pub const PRE_ACTIVATION: &str = "pre_activation";
    /// The weights, in the canonical order.
    pub const WEIGHTS: &str = "weights";
    /// The bias, in Keras's order.
    pub const BIAS: &str = "bias";
    /// `[batch][output shape]`.
    pub const GRAD_OUTPUT: &str = "grad_output";
    /// `[batch][output shape]`, before the activation.
    pub const GRAD_PRE_ACTIVATION: &str = "grad_pre_activation";
    /// `[batch][input shape]`.
    pub const GRAD_INPUT: &str = "grad_input";
    /// The gradient by the weights, laid out as they are.
    pub const GRAD_WEIGHTS: &str = "grad_weights";
    /// The gradient by the bias, laid out as it is.
    pub const GRAD_BIAS: &str = "grad_bias";
    /// All names.
    pub const ALL: [&str; 10] = [
        INPUT,
        OUTPUT,
        PRE_ACTIVATION,
        WEIGHTS,
        BIAS,
        GRAD_OUTPUT,
        GRAD_PRE_ACTIVATION,
        GRAD_INPUT,
        GRAD_WEIGHTS,
        GRAD_BIAS,
    ];
}

/// Which gradients a backward pass computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gradients {
    /// With respect to the input.
    pub input: bool,
    /// With respect to the weights.
    pub weights: bool,
    /// With respect to the bias, where there is one.
    pub bias: bool,
}

impl Gradients {
    /// All three gradients.
    pub const ALL: Self = Self { input: true, weights: true, bias: true };
}

/// Where the gradient of a parameter goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gradient {
    pub(crate) buffer: BufferId,
    /// Whether it is added to what another call of the layer wrote there.
    pub(crate) accumulate: bool,
}

/// The buffers of a forward pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forward {
    pub(super) input: BufferId,
    pub(super) weights: BufferId,
    pub(super) bias: Option<BufferId>,
    /// Needed for an activation over rows. Without it the activation is applied to the sums directly.
    pub(super) pre_activation: Option<BufferId>,
    pub(super) output: BufferId,
}

impl Forward {
    pub(super) fn operations(&self, layer: &Arc<Geometry>) -> Vec<Operation> {
        let &Self { input, weights, bias, pre_activation, output } = self;
        let activation = layer.config().activation;
        let forward = |activation, output| {
            let (implementation, layer) = (layer.config().implementation, layer.clone());
            Operation::LocalForward(LocalForward { layer, implementation, activation, input, weights, bias, output })
        };
        let Some(sums) = pre_activation else { return vec![forward(activation, output)] };
        let (elements, row) = (layer.outputs(), layer.softmax_row().into());
        let activate = Activate { activation, elements, row, input: sums, output };
        vec![forward(Activation::Linear, sums), Operation::Activate(activate)]
    }
}

/// The buffers of a backward pass. It computes the gradients that have one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backward<'a> {
    /// The buffer that [`Activation::saved`] asks for, and the one for the gradient before the activation; none without
    /// an activation.
    pub(super) activation: Option<[BufferId; 2]>,
    pub(super) grad_output: BufferId,
    pub(super) grad_bias: Option<Gradient>,
    /// The forward pass's input, and the gradient.
    pub(super) grad_weights: Option<(BufferId, Gradient)>,
    /// The forward pass's input, and the update of the weights by a gradient that is kept nowhere.
    #[cfg_attr(not(feature = "models"), expect(dead_code, reason = "layers alone aren't trained here"))]
    pub(super) update: Option<(BufferId, &'a Change)>,
    /// The weights, and the gradient.
    pub(super) grad_input: Option<[BufferId; 2]>,
}

impl Backward<'_> {
    pub(super) fn operations(&self, layer: &Arc<Geometry>) -> Vec<Operation> {
        let &Self { activation, mut grad_output, grad_bias, grad_weights, grad_input, .. } = self;
        let implementation = layer.config().implementation;
        let mut operations = Vec::new();
        if let Some([saved, grad_input]) = activation {
            let (activation, elements, row) =
                (layer.config().activation, layer.outputs(), u64::from(layer.softmax_row()));
            operations.push(Operation::ActivateGrad(ActivateGrad {
                activation,
                elements,
                row,
                saved,
                grad_output,
                grad_input,
            }));
            grad_output = grad_input;
        }
        operations.extend(grad_bias.map(|Gradient { buffer: grad_bias, accumulate }| {
            Operation::GradBias(GradBias { layer: layer.clone(), grad_output, grad_bias, accumulate })
        }));
        operations.extend(grad_weights.map(|(input, Gradient { buffer: grad_weights, accumulate })| {
            let layer = layer.clone();
            Operation::LocalGradWeights(LocalGradWeights {
                layer,
                implementation,
                input,
                grad_output,
                grad_weights,
                accumulate,
            })
        }));
        operations.extend(grad_input.map(|[weights, grad_input]| {
            let layer = layer.clone();
            Operation::LocalGradInput(LocalGradInput { layer, implementation, weights, grad_output, grad_input })
        }));
        // Nothing after this reads the weights as they were before.
        #[cfg(feature = "models")]
        operations.extend(self.update.map(|(input, change)| {
            let (layer, change) = (layer.clone(), change.clone());
            Operation::LocalUpdate(crate::ops::LocalUpdate { layer, implementation, input, grad_output, change })
        }));
        operations
    }
}

/// The weights of a layer as a program's buffer.
pub(super) fn weights(layer: &Geometry, name: impl Into<String>) -> Buffer {
    let (shape, dtype) = (Shape::of_weights(layer), layer.config().dtype);
    Buffer { name: name.into(), layer: None, usage: Usage::Parameter, shape, dtype }
}

/// The buffers of a layer alone, each with its name and shape.
struct Alone<'a> {
    layer: &'a Geometry,
    program: Program,
}

impl Alone<'_> {
    fn inputs(&mut self, name: &str, usage: Usage) -> BufferId {
        self.program.add(name, usage, Shape::Samples(self.layer.inputs()))
    }

    fn outputs(&mut self, name: &str, usage: Usage) -> BufferId {
        self.program.add(name, usage, Shape::Samples(self.layer.outputs()))
    }

    fn weights(&mut self) -> BufferId {
        self.program.add_buffer(weights(self.layer, layer_names::WEIGHTS))
    }

    fn grad_weights(&mut self) -> BufferId {
        self.program.add(layer_names::GRAD_WEIGHTS, Usage::Gradient, Shape::of_weights(self.layer))
    }

    fn bias(&mut self, name: &str, usage: Usage) -> Option<BufferId> {
        let biases = self.layer.biases();
        (biases > 0).then(|| self.program.add(name, usage, Shape::Fixed(biases)))
    }
}

/// The forward pass of a layer alone. With `keep` the values before the activation are an output, too.
#[must_use]
pub fn layer_forward(layer: &Arc<Geometry>, keep: bool) -> Program {
    let mut alone = Alone { layer, program: Program::default() };
    let input = alone.inputs(layer_names::INPUT, Usage::Input);
    let weights = alone.weights();
    let bias = alone.bias(layer_names::BIAS, Usage::Parameter);
    let apart = keep || layer.config().activation.over_rows();
    let usage = if keep { Usage::Output } else { Usage::Scratch };
    let pre_activation = apart.then(|| alone.outputs(layer_names::PRE_ACTIVATION, usage));
    let output = alone.outputs(layer_names::OUTPUT, Usage::Output);
    let forward = Forward { input, weights, bias, pre_activation, output };
    alone.program.operations = forward.operations(layer);
    alone.program
}

/// The backward pass of a layer alone, from what a forward pass read and wrote. It computes the gradients that are
/// `wanted` and that the layer has.
#[must_use]
pub fn layer_backward(layer: &Arc<Geometry>, wanted: Gradients) -> Program {
    let mut alone = Alone { layer, program: Program::default() };
    let saved = match layer.config().activation.saved() {
        Saved::Nothing => None,
        Saved::Output => Some(layer_names::OUTPUT),
        Saved::PreActivation => Some(layer_names::PRE_ACTIVATION),
    };
    let activation = saved.map(|saved| {
        let saved = alone.outputs(saved, Usage::Input);
        [saved, alone.outputs(layer_names::GRAD_PRE_ACTIVATION, Usage::Scratch)]
    });
    let grad_output = alone.outputs(layer_names::GRAD_OUTPUT, Usage::Input);
    let grad_input = wanted.input.then(|| [alone.weights(), alone.inputs(layer_names::GRAD_INPUT, Usage::Output)]);
    let of = |buffer| Gradient { buffer, accumulate: false };
    let grad_weights =
        wanted.weights.then(|| (alone.inputs(layer_names::INPUT, Usage::Input), of(alone.grad_weights())));
    let grad_bias = if wanted.bias { alone.bias(layer_names::GRAD_BIAS, Usage::Gradient).map(of) } else { None };
    let backward = Backward { activation, grad_output, grad_bias, grad_weights, update: None, grad_input };
    alone.program.operations = backward.operations(layer);
    alone.program
}

/// Both passes of a layer alone: from the input and the output's gradient to all gradients that there are.
#[must_use]
pub fn layer_gradients(layer: &Arc<Geometry>) -> Program {
    let mut alone = Alone { layer, program: Program::default() };
    let input = alone.inputs(layer_names::INPUT, Usage::Input);
    let weights = alone.weights();
    let mut forward = Vec::new();
    let saved = layer.config().activation.saved();
    let activation = (saved != Saved::Nothing).then(|| {
        let bias = alone.bias(layer_names::BIAS, Usage::Parameter);
        let sums = |alone: &mut Alone<'_>| alone.outputs(layer_names::PRE_ACTIVATION, Usage::Scratch);
        let kept = if saved == Saved::PreActivation {
            // The sums alone: nobody reads what is made of them.
            let sums = sums(&mut alone);
            forward = Forward { input, weights, bias, pre_activation: Some(sums), output: sums }.operations(layer);
            forward.truncate(1);
            sums
        } else {
            let pre_activation = layer.config().activation.over_rows().then(|| sums(&mut alone));
            let output = alone.outputs(layer_names::OUTPUT, Usage::Scratch);
            forward = Forward { input, weights, bias, pre_activation, output }.operations(layer);
            output
        };
        [kept, alone.outputs(layer_names::GRAD_PRE_ACTIVATION, Usage::Scratch)]
    });
    let grad_output = alone.outputs(layer_names::GRAD_OUTPUT, Usage::Input);
    let grad_input = Some([weights, alone.inputs(layer_names::GRAD_INPUT, Usage::Output)]);
    let of = |buffer| Gradient { buffer, accumulate: false };
    let grad_weights = Some((input, of(alone.grad_weights())));
    let grad_bias = alone.bias(layer_names::GRAD_BIAS, Usage::Gradient).map(of);
    let backward = Backward { activation, grad_output, grad_bias, grad_weights, update: None, grad_input };
    alone.program.operations = forward;
    alone.program.operations.extend(backward.operations(layer));
    alone.program
}

/// The forward pass of the transposed layer: the input gradient of `layer`, from its output's shape to its input's.
#[cfg(feature = "gpu")]
#[must_use]
pub(crate) fn transposed_forward(layer: &Arc<Geometry>) -> Program {
    let mut alone = Alone { layer, program: Program::default() };
    let grad_output = alone.outputs(layer_names::INPUT, Usage::Input);
    let weights = alone.weights();
    let grad_input = alone.inputs(layer_names::OUTPUT, Usage::Output);
    let (implementation, layer) = (layer.config().implementation, layer.clone());
    alone.program.operations =
        vec![Operation::LocalGradInput(LocalGradInput { layer, implementation, weights, grad_output, grad_input })];
    alone.program
}

/// The backward pass of the transposed layer. The gradient of its input is `layer`'s forward pass; that of its weights
/// is `layer`'s own with the two operands exchanged. There is no bias.
#[cfg(feature = "gpu")]
#[must_use]
pub(crate) fn transposed_backward(layer: &Arc<Geometry>, wanted: Gradients) -> Program {
    let mut alone = Alone { layer, program: Program::default() };
    let grad_output = alone.inputs(layer_names::GRAD_OUTPUT, Usage::Input);
    let (implementation, shared) = (layer.config().implementation, layer.clone());
    if wanted.input {
        let weights = alone.weights();
        let output = alone.outputs(layer_names::GRAD_INPUT, Usage::Output);
        let (layer, activation, input, bias) = (shared.clone(), Activation::Linear, grad_output, None);
        let forward = LocalForward { layer, implementation, activation, input, weights, bias, output };
        alone.program.operations.push(Operation::LocalForward(forward));
    }
    if wanted.weights {
        let input = alone.outputs(layer_names::INPUT, Usage::Input);
        let grad_weights = alone.grad_weights();
        alone.program.operations.push(Operation::LocalGradWeights(LocalGradWeights {
            layer: shared,
            implementation,
            input: grad_output,
            grad_output: input,
            grad_weights,
            accumulate: false,
        }));
    }
    alone.program
}

//! Operations of a locally connected layer.

#[cfg(feature = "models")]
use super::Change;
use super::describe::accumulates;
use super::{BufferId, Describe, Operand, Shape};
use crate::config::{Activation, Implementation};
use crate::geometry::Geometry;
use std::sync::Arc;

/// `output = activation(weights · window of input + bias)` at each location.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LocalForward {
    /// Shapes, taps and connectivity.
    pub layer: Arc<Geometry>,
    /// How it is executed; none leaves it to the planner.
    pub implementation: Option<Implementation>,
    /// An activation of single elements, never one over rows; [`Activation::Linear`] if another operation activates.
    pub activation: Activation,
    /// `[batch][layer.inputs()]`.
    pub input: BufferId,
    /// [`Shape::of_weights`].
    pub weights: BufferId,
    /// `[layer.biases()]`, in Keras's order.
    pub bias: Option<BufferId>,
    /// `[batch][layer.outputs()]`.
    pub output: BufferId,
}

/// `grad_input`: each input's gradient is a sum over the locations that read it, of weights times gradients.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LocalGradInput {
    /// Shapes, taps and connectivity.
    pub layer: Arc<Geometry>,
    /// How it is executed; none leaves it to the planner.
    pub implementation: Option<Implementation>,
    /// [`Shape::of_weights`].
    pub weights: BufferId,
    /// `[batch][layer.outputs()]`, before the activation.
    pub grad_output: BufferId,
    /// `[batch][layer.inputs()]`.
    pub grad_input: BufferId,
}

/// `grad_weights`: each weight's gradient is a sum over the batch, and over the locations that share the weight, of its
/// input times its output's gradient. It is 0 at clipped taps.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LocalGradWeights {
    /// Shapes, taps and connectivity.
    pub layer: Arc<Geometry>,
    /// How it is executed; none leaves it to the planner.
    pub implementation: Option<Implementation>,
    /// `[batch][layer.inputs()]`.
    pub input: BufferId,
    /// `[batch][layer.outputs()]`, before the activation.
    pub grad_output: BufferId,
    /// [`Shape::of_weights`].
    pub grad_weights: BufferId,
    /// Adds to the values in `grad_weights`, as for the pieces of a batch.
    pub accumulate: bool,
}

/// An optimizer's step by the gradient that [`LocalGradWeights`] would give, which is kept nowhere. The weights and
/// their states are updated while the gradient is at hand, so that they are read and written once.
///
/// It gives the same bits as the two operations would. Nothing may read the weights after it, so it comes after
/// [`LocalGradInput`]. It is only for layers whose locations don't share weights, or whose locations are like samples,
/// as in dense layers.
#[cfg(feature = "models")]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LocalUpdate {
    /// Shapes, taps and connectivity.
    pub layer: Arc<Geometry>,
    /// How it is executed; none leaves it to the planner.
    pub implementation: Option<Implementation>,
    /// `[batch][layer.inputs()]`.
    pub input: BufferId,
    /// `[batch][layer.outputs()]`, before the activation.
    pub grad_output: BufferId,
    /// How weights and states change, each of the shape [`Shape::of_weights`].
    pub change: Change,
}

/// `grad_bias`: a sum of the output's gradient over the batch, and over the locations that share the bias.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GradBias {
    /// The layer whose bias it is.
    pub layer: Arc<Geometry>,
    /// `[batch][layer.outputs()]`, before the activation.
    pub grad_output: BufferId,
    /// `[layer.biases()]`, in Keras's order.
    pub grad_bias: BufferId,
    /// Adds to the values in `grad_bias`, as for the pieces of a batch.
    pub accumulate: bool,
}

fn inputs(id: BufferId, layer: &Geometry) -> Operand {
    Operand::samples(id, layer.inputs())
}

fn outputs(id: BufferId, layer: &Geometry) -> Operand {
    Operand::samples(id, layer.outputs())
}

fn biases(id: BufferId, layer: &Geometry) -> Operand {
    Operand::of(id, Shape::Fixed(layer.biases()))
}

fn weights(id: BufferId, layer: &Geometry) -> Operand {
    Operand { id, shape: Shape::of_weights(layer), dtype: layer.config().dtype }
}

#[cfg(feature = "models")]
impl LocalUpdate {
    /// The gradient's operation, as if it were kept in the place of the weights. Implementations are chosen for this
    /// one, so that the gradient has the bits of a kept one.
    pub(crate) fn gradient(&self) -> LocalGradWeights {
        let Self { layer, implementation, input, grad_output, change } = self;
        LocalGradWeights {
            layer: layer.clone(),
            implementation: *implementation,
            input: *input,
            grad_output: *grad_output,
            grad_weights: change.parameter,
            accumulate: false,
        }
    }
}

impl Describe for LocalForward {
    fn name(&self) -> &'static str {
        "local_forward"
    }

    fn reads(&self) -> Vec<BufferId> {
        [self.input, self.weights].into_iter().chain(self.bias).collect()
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let layer = &self.layer;
        let rest = [inputs(self.input, layer), weights(self.weights, layer), outputs(self.output, layer)];
        rest.into_iter().chain(self.bias.map(|bias| biases(bias, layer))).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        if self.activation.over_rows() {
            return Some("an activation over rows is an operation alone");
        }
        (self.bias.is_some() != (self.layer.biases() > 0)).then_some("its layer says whether there is a bias")
    }

    fn layer(&self) -> Option<&Arc<Geometry>> {
        Some(&self.layer)
    }
}

impl Describe for LocalGradInput {
    fn name(&self) -> &'static str {
        "local_grad_input"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.weights, self.grad_output]
    }

    fn writes(&self) -> BufferId {
        self.grad_input
    }

    fn operands(&self) -> Vec<Operand> {
        let layer = &self.layer;
        vec![weights(self.weights, layer), outputs(self.grad_output, layer), inputs(self.grad_input, layer)]
    }

    fn layer(&self) -> Option<&Arc<Geometry>> {
        Some(&self.layer)
    }
}

impl Describe for LocalGradWeights {
    fn name(&self) -> &'static str {
        "local_grad_weights"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.input, self.grad_output]
    }

    fn writes(&self) -> BufferId {
        self.grad_weights
    }

    fn operands(&self) -> Vec<Operand> {
        let gradient = Operand::of(self.grad_weights, Shape::of_weights(&self.layer));
        vec![inputs(self.input, &self.layer), outputs(self.grad_output, &self.layer), gradient]
    }

    fn layer(&self) -> Option<&Arc<Geometry>> {
        Some(&self.layer)
    }

    accumulates!();
}

#[cfg(feature = "models")]
impl Describe for LocalUpdate {
    fn name(&self) -> &'static str {
        "local_update"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.input, self.grad_output, self.change.step]
    }

    fn writes(&self) -> BufferId {
        self.change.parameter
    }

    fn updates(&self) -> Vec<BufferId> {
        self.change.updates()
    }

    fn operands(&self) -> Vec<Operand> {
        let samples = [inputs(self.input, &self.layer), outputs(self.grad_output, &self.layer)];
        samples.into_iter().chain(self.change.operands(&Shape::of_weights(&self.layer))).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        if !self.layer.sums_over_samples() {
            return Some("locations share its weights: they are updated by their gradient, kept");
        }
        self.change.fault()
    }

    fn layer(&self) -> Option<&Arc<Geometry>> {
        Some(&self.layer)
    }
}

impl Describe for GradBias {
    fn name(&self) -> &'static str {
        "grad_bias"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.grad_output]
    }

    fn writes(&self) -> BufferId {
        self.grad_bias
    }

    fn operands(&self) -> Vec<Operand> {
        vec![outputs(self.grad_output, &self.layer), biases(self.grad_bias, &self.layer)]
    }

    fn fault(&self) -> Option<&'static str> {
        (self.layer.biases() == 0).then_some("its layer has no bias")
    }

    fn layer(&self) -> Option<&Arc<Geometry>> {
        Some(&self.layer)
    }

    accumulates!();
}

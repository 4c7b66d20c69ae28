//! What is computed, whatever the device: buffers, and the operations that read and write them.
//!
//! An operation is a struct of names and sizes. What it computes is said by `reference`, one function an operation; an
//! executor has one `match` over [`Operation`] without a default arm, so that a new operation does not compile until every
//! executor knows it.

use crate::config::{Activation, Implementation};
use crate::geometry::Geometry;
use std::sync::Arc;

/// A buffer of a [`Program`](crate::program::Program), by its place in [`Program::buffers`](crate::program::Program).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub(crate) u32);

impl BufferId {
    /// The place in the program's list of buffers.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a buffer is to those who run a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Given with every run.
    Input,
    /// What a run is for.
    Output,
    /// Of the model: it outlives the program, and other programs share it.
    Parameter,
    /// The gradient of a parameter, summed over the batch.
    Gradient,
    /// Between operations. What it holds is nobody's once its last reader is done, and its memory others'.
    Scratch,
}

/// How many f32 a buffer holds, and how they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `[batch][elements]`.
    Samples(u64),
    /// `[elements]`, whatever the batch.
    Fixed(u64),
    /// `[cells][window][filters]`: the canonical order of unshared weights. `window` counts taps times channels of a
    /// group, `filters` those of a group.
    Weights {
        /// Locations times groups.
        cells: u64,
        /// Weights of a filter in a cell.
        window: u64,
        /// Filters of a cell.
        filters: u64,
    },
}

impl Shape {
    /// The shape of a layer's weights: for a connectivity of the user's one row for each connection.
    #[must_use]
    pub fn of_weights(layer: &Geometry) -> Self {
        let filters = u64::from(layer.group_filters());
        match layer.pattern() {
            Some(_) => Self::Weights { cells: 1, window: layer.weights() / filters, filters },
            None => Self::Weights { cells: layer.cells().into(), window: layer.window().into(), filters },
        }
    }

    /// Elements for a batch of this size.
    #[must_use]
    pub const fn elements(self, batch: u32) -> u64 {
        match self {
            Self::Samples(elements) => elements.saturating_mul(batch as u64),
            Self::Fixed(elements) => elements,
            Self::Weights { cells, window, filters } => cells.saturating_mul(window).saturating_mul(filters),
        }
    }
}

/// A buffer of f32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// Unique in its program, such as `input` or `local_1/weights`.
    pub name: String,
    /// What it is.
    pub usage: Usage,
    /// How much it holds.
    pub shape: Shape,
}

/// `output = activation(weights · window of input + bias)` at each location.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalForward {
    /// Shapes, taps and connectivity.
    pub layer: Arc<Geometry>,
    /// How it is executed; none leaves it to the planner.
    pub implementation: Option<Implementation>,
    /// Element-wise, never one over rows; [`Activation::Linear`] where another operation activates.
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

/// `grad_input`: each input element's sum over the locations that read it of weights times their gradient.
#[derive(Debug, Clone, PartialEq)]
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

/// `grad_weights`: each weight's sum over the batch of its input times its output's gradient; 0 at clipped taps.
#[derive(Debug, Clone, PartialEq)]
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
}

/// `grad_bias`: the sum of the output's gradient over the batch, and over the locations that share a bias.
#[derive(Debug, Clone, PartialEq)]
pub struct GradBias {
    /// Whose bias.
    pub layer: Arc<Geometry>,
    /// `[batch][layer.outputs()]`, before the activation.
    pub grad_output: BufferId,
    /// `[layer.biases()]`, in Keras's order.
    pub grad_bias: BufferId,
}

/// `output = activation(input)`, along rows of `row` where the activation is one over rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Activate {
    /// Any.
    pub activation: Activation,
    /// Elements of a row: the last axis.
    pub row: u64,
    /// As many samples and elements as `output`.
    pub input: BufferId,
    /// The values after the activation.
    pub output: BufferId,
}

/// `grad_input = grad_output · activation'`, the derivative from what [`Activation::saved`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivateGrad {
    /// Any but [`Activation::Linear`].
    pub activation: Activation,
    /// Elements of a row: the last axis.
    pub row: u64,
    /// The activation's output or, where that isn't enough, its input.
    pub saved: BufferId,
    /// As many samples and elements as `saved`.
    pub grad_output: BufferId,
    /// The gradient before the activation.
    pub grad_input: BufferId,
}

/// `[rows][columns]` to `[columns][rows]` in each sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transpose {
    /// Of the input.
    pub rows: u64,
    /// Of the input.
    pub columns: u64,
    /// `[batch][rows][columns]`.
    pub input: BufferId,
    /// `[batch][columns][rows]`.
    pub output: BufferId,
}

/// A step of a program.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each is the operation of its name")]
pub enum Operation {
    LocalForward(LocalForward),
    LocalGradInput(LocalGradInput),
    LocalGradWeights(LocalGradWeights),
    GradBias(GradBias),
    Activate(Activate),
    ActivateGrad(ActivateGrad),
    Transpose(Transpose),
}

impl Operation {
    /// The buffers that it reads.
    #[must_use]
    pub fn reads(&self) -> Vec<BufferId> {
        match self {
            Self::LocalForward(o) => [o.input, o.weights].into_iter().chain(o.bias).collect(),
            Self::LocalGradInput(o) => vec![o.weights, o.grad_output],
            Self::LocalGradWeights(o) => vec![o.input, o.grad_output],
            Self::GradBias(o) => vec![o.grad_output],
            Self::Activate(o) => vec![o.input],
            Self::ActivateGrad(o) => vec![o.saved, o.grad_output],
            Self::Transpose(o) => vec![o.input],
        }
    }

    /// Its operands with the shapes that they must have; those of an operation that fits operands of any size have that of
    /// what it writes, `written`.
    pub(crate) fn shapes(&self, written: Shape) -> Vec<(BufferId, Shape)> {
        let inputs = |layer: &Geometry| Shape::Samples(layer.inputs());
        let outputs = |layer: &Geometry| Shape::Samples(layer.outputs());
        match self {
            Self::LocalForward(o) => {
                let bias = o.bias.map(|bias| (bias, Shape::Fixed(o.layer.biases())));
                let rest = [(o.input, inputs(&o.layer)), (o.weights, Shape::of_weights(&o.layer))];
                rest.into_iter().chain([(o.output, outputs(&o.layer))]).chain(bias).collect()
            }
            Self::LocalGradInput(o) => vec![
                (o.weights, Shape::of_weights(&o.layer)),
                (o.grad_output, outputs(&o.layer)),
                (o.grad_input, inputs(&o.layer)),
            ],
            Self::LocalGradWeights(o) => vec![
                (o.input, inputs(&o.layer)),
                (o.grad_output, outputs(&o.layer)),
                (o.grad_weights, Shape::of_weights(&o.layer)),
            ],
            Self::GradBias(o) => {
                vec![(o.grad_output, outputs(&o.layer)), (o.grad_bias, Shape::Fixed(o.layer.biases()))]
            }
            Self::Activate(o) => vec![(o.input, written)],
            Self::ActivateGrad(o) => vec![(o.saved, written), (o.grad_output, written)],
            Self::Transpose(o) => {
                let shape = Shape::Samples(o.rows.saturating_mul(o.columns));
                vec![(o.input, shape), (o.output, shape)]
            }
        }
    }

    /// What is wrong with its own numbers, where something is; `written` is the shape of what it writes.
    pub(crate) fn fault(&self, written: Shape) -> Option<&'static str> {
        let rows = |row: u64| match written {
            Shape::Samples(elements) => row > 0 && elements.is_multiple_of(row),
            Shape::Fixed(_) | Shape::Weights { .. } => false,
        };
        match self {
            Self::LocalForward(o) if o.activation.over_rows() => Some("an activation over rows is an operation alone"),
            Self::LocalForward(o) if o.bias.is_some() != (o.layer.biases() > 0) => {
                Some("its layer says whether there is a bias")
            }
            Self::GradBias(o) if o.layer.biases() == 0 => Some("its layer has no bias"),
            Self::Activate(Activate { row, .. }) | Self::ActivateGrad(ActivateGrad { row, .. }) if !rows(*row) => {
                Some("a sample isn't made of its rows")
            }
            Self::Transpose(o) if o.rows == 0 || o.columns == 0 => Some("it has no rows or no columns"),
            _ => None,
        }
    }

    /// The one buffer that it writes, whole; never one that it reads.
    #[must_use]
    pub fn writes(&self) -> BufferId {
        match self {
            Self::LocalForward(o) => o.output,
            Self::LocalGradInput(o) => o.grad_input,
            Self::LocalGradWeights(o) => o.grad_weights,
            Self::GradBias(o) => o.grad_bias,
            Self::Activate(o) => o.output,
            Self::ActivateGrad(o) => o.grad_input,
            Self::Transpose(o) => o.output,
        }
    }
}

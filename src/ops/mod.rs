//! What is computed, whatever the device: buffers, and the operations that read and write them.
//!
//! An operation is a struct of names and sizes. What it computes is said by `reference`, one function an operation; an
//! executor has one `match` over [`Operation`] without a default arm, so that a new operation does not compile until every
//! executor knows it.

use crate::Error;
use crate::config::{Activation, Implementation, WeightType};
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

/// How many elements a buffer holds, and how they lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// `[connections][filters]`: the weights of a connectivity of the user's, row after row.
    Connections {
        /// The first connection of each row, and behind the last the number of all.
        starts: Arc<[u32]>,
        /// Weights of a connection.
        filters: u64,
    },
}

impl Shape {
    /// The shape of a layer's weights.
    #[must_use]
    pub fn of_weights(layer: &Geometry) -> Self {
        let filters = u64::from(layer.group_filters());
        match layer.pattern() {
            Some(pattern) => Self::Connections { starts: pattern.shared_starts(), filters },
            None => Self::Weights { cells: layer.cells().into(), window: layer.window().into(), filters },
        }
    }

    /// What is wrong with its own numbers, where something is.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        const MOST: u64 = i64::MAX as u64 / 4;
        match self {
            Self::Samples(elements) if *elements > u32::MAX.into() => Some("a sample has more than 2³² elements"),
            Self::Connections { starts, .. } if starts.first() != Some(&0) || !starts.is_sorted() => {
                Some("the first connections of its rows don't ascend from 0")
            }
            _ if self.elements(1) > MOST => Some("its bytes can't be addressed"),
            _ => None,
        }
    }

    /// Whether plans cut it into chunks: weights and their gradients.
    pub(crate) const fn is_cut(&self) -> bool {
        matches!(self, Self::Weights { .. } | Self::Connections { .. })
    }

    /// Its sizes, without a batch.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        match self {
            Self::Samples(elements) | Self::Fixed(elements) => vec![*elements as usize],
            Self::Weights { cells, window, filters } => [*cells, *window, *filters].map(|size| size as usize).into(),
            Self::Connections { starts, filters } => {
                vec![starts.last().copied().unwrap_or(0) as usize, *filters as usize]
            }
        }
    }

    /// Elements for a batch of this size.
    #[must_use]
    pub fn elements(&self, batch: u32) -> u64 {
        match self {
            Self::Samples(elements) => elements.saturating_mul(batch.into()),
            Self::Fixed(elements) => *elements,
            Self::Weights { cells, window, filters } => cells.saturating_mul(*window).saturating_mul(*filters),
            Self::Connections { starts, filters } => {
                u64::from(starts.last().copied().unwrap_or(0)).saturating_mul(*filters)
            }
        }
    }
}

/// A buffer of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// Unique in its program, such as `input` or `local_1/weights`.
    pub name: String,
    /// The layer of a model that writes it or whose parameter it is, for messages and debuggers; none of a layer alone.
    pub layer: Option<String>,
    /// What it is.
    pub usage: Usage,
    /// How much it holds.
    pub shape: Shape,
    /// How its elements are stored: all but the weights of layers that ask for less as 32-bit floats.
    pub dtype: WeightType,
}

impl Buffer {
    /// What is wrong with it, where something is: samples are a run's, weights a model's.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let of_model = matches!(self.usage, Usage::Parameter | Usage::Gradient);
        match self.shape {
            Shape::Samples(_) if of_model => Some("a parameter or its gradient has no samples"),
            Shape::Weights { .. } | Shape::Connections { .. } if !of_model => {
                Some("what is shaped as weights is a parameter or its gradient")
            }
            _ => self.shape.fault(),
        }
    }

    /// The error for `found` elements in its place.
    pub(crate) fn wrong_length(&self, batch: u32, found: u64) -> Error {
        let what = match self.usage {
            Usage::Input => "input",
            Usage::Output => "output",
            Usage::Parameter => "parameter",
            Usage::Gradient => "gradient",
            Usage::Scratch => "a value between operations",
        };
        let batched = matches!(self.shape, Shape::Samples(_)).then_some(batch as usize);
        let shape = batched.into_iter().chain(self.shape.sizes()).collect();
        let error = Error::Length { what, expected: self.shape.elements(batch), found, shape };
        match &self.layer {
            Some(layer) => error.in_layer(layer),
            None => error,
        }
    }

    /// Bytes for a batch of this size, each buffer being a whole number of words.
    #[must_use]
    pub fn bytes(&self, batch: u32) -> u64 {
        self.dtype.bytes(self.shape.elements(batch))
    }
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
    /// Adds to what `grad_weights` holds, as the pieces of a batch do.
    pub accumulate: bool,
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
    /// Adds to what `grad_bias` holds, as the pieces of a batch do.
    pub accumulate: bool,
}

/// `output = activation(input)`, along rows of `row` where the activation is one over rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Activate {
    /// Any.
    pub activation: Activation,
    /// Elements of a sample.
    pub elements: u64,
    /// Elements of a row: the last axis.
    pub row: u64,
    /// `[batch][elements]`.
    pub input: BufferId,
    /// `[batch][elements]`, after the activation.
    pub output: BufferId,
}

/// `grad_input = grad_output · activation'`, the derivative from what [`Activation::saved`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivateGrad {
    /// Any but [`Activation::Linear`].
    pub activation: Activation,
    /// Elements of a sample.
    pub elements: u64,
    /// Elements of a row: the last axis.
    pub row: u64,
    /// `[batch][elements]`, the activation's output or, where that isn't enough, its input.
    pub saved: BufferId,
    /// `[batch][elements]`.
    pub grad_output: BufferId,
    /// `[batch][elements]`, before the activation.
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

/// What a buffer must be for an operation.
pub(crate) struct Operand {
    pub(crate) id: BufferId,
    pub(crate) shape: Shape,
    pub(crate) dtype: WeightType,
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

    /// Its operands and what they must be.
    pub(crate) fn operands(&self) -> Vec<Operand> {
        let operand = |id, shape| Operand { id, shape, dtype: WeightType::F32 };
        let inputs = |id, layer: &Geometry| operand(id, Shape::Samples(layer.inputs()));
        let outputs = |id, layer: &Geometry| operand(id, Shape::Samples(layer.outputs()));
        let biases = |id, layer: &Geometry| operand(id, Shape::Fixed(layer.biases()));
        let weights =
            |id, layer: &Geometry| Operand { id, shape: Shape::of_weights(layer), dtype: layer.config().dtype };
        match self {
            Self::LocalForward(o) => {
                let rest = [inputs(o.input, &o.layer), weights(o.weights, &o.layer), outputs(o.output, &o.layer)];
                rest.into_iter().chain(o.bias.map(|bias| biases(bias, &o.layer))).collect()
            }
            Self::LocalGradInput(o) => {
                vec![weights(o.weights, &o.layer), outputs(o.grad_output, &o.layer), inputs(o.grad_input, &o.layer)]
            }
            Self::LocalGradWeights(o) => vec![
                inputs(o.input, &o.layer),
                outputs(o.grad_output, &o.layer),
                operand(o.grad_weights, Shape::of_weights(&o.layer)),
            ],
            Self::GradBias(o) => vec![outputs(o.grad_output, &o.layer), biases(o.grad_bias, &o.layer)],
            Self::Activate(o) => [o.input, o.output].map(|id| operand(id, Shape::Samples(o.elements))).into(),
            Self::ActivateGrad(o) => {
                [o.saved, o.grad_output, o.grad_input].map(|id| operand(id, Shape::Samples(o.elements))).into()
            }
            Self::Transpose(o) => {
                let shape = Shape::Samples(o.rows.saturating_mul(o.columns));
                vec![operand(o.input, shape.clone()), operand(o.output, shape)]
            }
        }
    }

    /// What is wrong with its own numbers, where something is.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let rows = |elements: u64, row: u64| row > 0 && elements.is_multiple_of(row);
        match self {
            Self::LocalForward(o) if o.activation.over_rows() => Some("an activation over rows is an operation alone"),
            Self::LocalForward(o) if o.bias.is_some() != (o.layer.biases() > 0) => {
                Some("its layer says whether there is a bias")
            }
            Self::GradBias(o) if o.layer.biases() == 0 => Some("its layer has no bias"),
            &(Self::Activate(Activate { elements, row, .. })
            | Self::ActivateGrad(ActivateGrad { elements, row, .. }))
                if !rows(elements, row) =>
            {
                Some("a sample isn't made of its rows")
            }
            Self::ActivateGrad(o) if o.activation == Activation::Linear => Some("it has nothing to derive"),
            Self::Transpose(o) if o.rows == 0 || o.columns == 0 => Some("it has no rows or no columns"),
            _ => None,
        }
    }

    /// Its name, for reports and debuggers.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::LocalForward(_) => "local_forward",
            Self::LocalGradInput(_) => "local_grad_input",
            Self::LocalGradWeights(_) => "local_grad_weights",
            Self::GradBias(_) => "grad_bias",
            Self::Activate(_) => "activate",
            Self::ActivateGrad(_) => "activate_grad",
            Self::Transpose(_) => "transpose",
        }
    }

    /// Of an operation that has several implementations the one that is asked for, or [`Implementation::Auto`].
    #[must_use]
    pub fn implementation(&self) -> Option<Implementation> {
        let asked = match self {
            Self::LocalForward(o) => o.implementation,
            Self::LocalGradInput(o) => o.implementation,
            Self::LocalGradWeights(o) => o.implementation,
            Self::GradBias(_) | Self::Activate(_) | Self::ActivateGrad(_) | Self::Transpose(_) => return None,
        };
        Some(asked.unwrap_or(Implementation::Auto))
    }

    /// Whether it adds to what the buffer holds that it writes.
    #[must_use]
    pub fn accumulates(&self) -> bool {
        match self {
            Self::LocalGradWeights(o) => o.accumulate,
            Self::GradBias(o) => o.accumulate,
            Self::LocalForward(_)
            | Self::LocalGradInput(_)
            | Self::Activate(_)
            | Self::ActivateGrad(_)
            | Self::Transpose(_) => false,
        }
    }

    /// The layer that it is of, where it is one's.
    #[must_use]
    pub fn layer(&self) -> Option<&Arc<Geometry>> {
        match self {
            Self::LocalForward(o) => Some(&o.layer),
            Self::LocalGradInput(o) => Some(&o.layer),
            Self::LocalGradWeights(o) => Some(&o.layer),
            Self::GradBias(o) => Some(&o.layer),
            Self::Activate(_) | Self::ActivateGrad(_) | Self::Transpose(_) => None,
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

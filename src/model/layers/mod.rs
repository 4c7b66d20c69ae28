//! The kinds of layers, a file each: what shape a layer's output has, its parameters, and the operations of its passes.
//!
//! A new kind is a file with a type that has the trait [`Computes`], and a line in `kinds!`.

mod activation;
mod concatenate;
mod convolution;
mod local;
mod merge;
mod moves;
mod normalisation;
mod pooling;
mod prelu;
mod reshape;
mod softmax;
mod windows;

pub use activation::ActivationLayer;
pub use concatenate::Concatenate;
pub use convolution::{Convolution, Dense, Depthwise, Separable};
pub use local::Local;
pub use merge::Merge;
pub use moves::Move;
pub use normalisation::{BatchNormalization, LayerNormalization};
pub use pooling::{GlobalPooling, Pooling};
pub use prelu::PRelu;
pub use reshape::{Flatten, Reshape};
pub use softmax::Softmax;

use crate::config::WeightType;
use crate::geometry::Geometry;
use crate::ops::{AxisMap, Buffer, BufferId, Operation, Shape, Usage, Windows};
use crate::program::Program;
use crate::{Error, Result};
use std::sync::Arc;

/// A layer's parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Keras's name of it, such as `kernel`.
    pub name: &'static str,
    /// How it lies: weights of windows in the canonical order, all else as Keras has it.
    pub shape: Shape,
    /// How its elements are stored.
    pub dtype: WeightType,
    /// Whether it has a gradient, where its layer is trained: all but moving statistics have.
    pub learned: bool,
}

impl Parameter {
    /// A learned one of 32-bit floats.
    pub(super) fn fixed(name: &'static str, elements: u64) -> Self {
        Self { name, shape: Shape::Fixed(elements), dtype: WeightType::F32, learned: true }
    }
}

/// What a layer is for inputs of given shapes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Built {
    /// Shape of one output sample.
    pub(super) shape: Vec<usize>,
    /// Of its windows, where it has any.
    pub(super) geometries: Vec<Arc<Geometry>>,
    /// Those of pooling.
    pub(super) windows: Option<Windows>,
    /// Where the values of a layer that moves them go.
    pub(super) axes: Vec<AxisMap>,
    pub(super) parameters: Vec<Parameter>,
}

impl Built {
    /// One without parameters.
    pub(super) fn of_shape(shape: impl Into<Vec<usize>>) -> Self {
        Self { shape: shape.into(), ..Self::default() }
    }
}

/// A value of a graph while a program is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) buffer: BufferId,
    /// Of one sample.
    pub(super) shape: &'a [usize],
}

impl Value<'_> {
    pub(super) fn elements(&self) -> u64 {
        elements(self.shape)
    }

    /// Elements of the last axis.
    pub(super) fn row(&self) -> u64 {
        self.shape.last().map_or(1, |&row| row as u64)
    }
}

/// Elements of a sample of that shape; those of a graph were checked to be few enough.
pub(super) fn elements(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64))
}

/// A call of a layer as its forward operations are made.
pub(super) struct ForwardCall<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) inputs: &'a [Value<'a>],
    /// In the order of [`Built::parameters`].
    pub(super) parameters: &'a [BufferId],
    /// Whether a backward pass follows.
    pub(super) keep: bool,
}

/// What a forward pass leaves.
pub(super) struct Trace {
    pub(super) output: BufferId,
    /// What the layer's own backward pass asks for besides inputs and output.
    pub(super) saved: Vec<BufferId>,
}

impl Trace {
    pub(super) fn of(output: BufferId) -> Self {
        Self { output, saved: Vec::new() }
    }
}

/// A call of a layer as its backward operations are made.
pub(super) struct BackwardCall<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) inputs: &'a [Value<'a>],
    pub(super) parameters: &'a [BufferId],
    pub(super) trace: &'a Trace,
    pub(super) grad_output: BufferId,
    /// For each input whether anybody wants its gradient.
    pub(super) wanted: &'a [bool],
    /// For each parameter where its gradient goes, if anybody wants it.
    pub(super) gradients: &'a [Option<Gradient>],
}

impl BackwardCall<'_> {
    /// A buffer for the gradient of an input; none where nobody wants it.
    pub(super) fn grad_input(&mut self, index: usize) -> Option<BufferId> {
        let value = *self.inputs.get(index).filter(|_| self.wanted.get(index) == Some(&true))?;
        let role = if self.inputs.len() > 1 { format!("grad_input_{index}") } else { "grad_input".to_owned() };
        Some(self.scope.scratch(&role, value.elements()))
    }

    /// Where the gradient of a parameter goes, if anybody wants it.
    pub(super) fn gradient(&self, index: usize) -> Option<Gradient> {
        self.gradients.get(index).copied().flatten()
    }
}

/// Where the gradient of a parameter goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gradient {
    pub(super) buffer: BufferId,
    /// Whether it is added to what another call of the layer wrote there.
    pub(super) accumulate: bool,
}

/// A layer's call in the program that is made.
pub(super) struct Scope<'a> {
    pub(super) program: &'a mut Program,
    /// Of the layer.
    pub(super) layer: &'a str,
    /// Of the call: the names of its buffers begin with it.
    pub(super) call: &'a str,
    pub(super) built: &'a Built,
}

impl<'a> Scope<'a> {
    /// A buffer between operations.
    pub(super) fn scratch(&mut self, role: &str, elements: u64) -> BufferId {
        self.program.add_buffer(Buffer {
            name: format!("{}/{role}", self.call),
            layer: Some(self.layer.to_owned()),
            usage: Usage::Scratch,
            shape: Shape::Samples(elements),
            dtype: WeightType::F32,
        })
    }

    /// The buffer of the layer's output.
    pub(super) fn output(&mut self) -> BufferId {
        self.scratch("output", elements(&self.built.shape))
    }

    pub(super) fn push(&mut self, operation: Operation) {
        self.program.operations.push(operation);
    }

    /// The windows of that index.
    pub(super) fn geometry(&self, index: usize) -> Option<&'a Arc<Geometry>> {
        self.built.geometries.get(index)
    }
}

/// What a kind of layer has to say.
pub(super) trait Computes {
    /// Keras's class of it, in snake case: what a layer is named where the caller names none.
    fn class(&self) -> &'static str;

    /// Its output's shape and its parameters for inputs of these shapes, all of them positive.
    fn build(&self, inputs: &[&[usize]]) -> Result<Built>;

    /// Its operations, from its inputs to its output.
    fn forward(&self, call: ForwardCall<'_>) -> Trace;

    /// Its operations, from the gradient of its output to those of its inputs, which it names, and of its parameters.
    fn backward(&self, call: BackwardCall<'_>) -> Vec<Option<BufferId>>;
}

/// The one input of a layer that has one.
pub(super) fn one<'a>(inputs: &[&'a [usize]]) -> Result<&'a [usize]> {
    match inputs {
        [input] => Ok(input),
        _ => Err(Error::Inputs { expected: "1", found: inputs.len() }),
    }
}

/// The enum of all kinds.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($type:ty),)*) => {
        /// What a layer does to its values.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $kind($type),)*
        }

        impl Kind {
            pub(super) fn computes(&self) -> &dyn Computes {
                match self {
                    $(Self::$kind(layer) => layer,)*
                }
            }

            /// Shape of a sample of its output for inputs of these shapes, all without the batch.
            ///
            /// # Errors
            /// Where it doesn't take such inputs, or as many of them.
            pub fn output_shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>> {
                Ok(self.computes().build(inputs)?.shape)
            }
        }

        $(impl From<$type> for Kind {
            fn from(layer: $type) -> Self {
                Self::$kind(layer)
            }
        }

        impl From<$type> for Layer {
            fn from(layer: $type) -> Self {
                Self::new(layer)
            }
        })*
    };
}

kinds! {
    /// Unshared weights of windows.
    Local(Local),
    /// Weights of windows that all locations share.
    Convolution(Convolution),
    /// A convolution of each channel for itself.
    Depthwise(Depthwise),
    /// That, and then one of windows of one position.
    Separable(Separable),
    /// Weights of the last axis.
    Dense(Dense),
    /// The largest value or the average of windows.
    Pooling(Pooling),
    /// The largest value or the average of all positions.
    GlobalPooling(GlobalPooling),
    /// By moving statistics.
    BatchNormalization(BatchNormalization),
    /// Rows by their own statistics.
    LayerNormalization(LayerNormalization),
    /// Learned slopes of negative values.
    PRelu(PRelu),
    /// Softmax over any axes.
    Softmax(Softmax),
    /// Values padded, cut off, repeated, or their axes in another order.
    Move(Move),
    /// Several values element by element.
    Merge(Merge),
    /// Several values side by side.
    Concatenate(Concatenate),
    /// An activation alone.
    Activation(ActivationLayer),
    /// Another shape for the same values.
    Reshape(Reshape),
    /// All axes become one.
    Flatten(Flatten),
}

/// A layer, before it is in a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub(super) name: Option<String>,
    pub(super) kind: Kind,
    pub(super) trainable: bool,
}

impl Layer {
    /// A trainable layer, which its graph names after its class: `dense`, `dense_1`, ….
    pub fn new(kind: impl Into<Kind>) -> Self {
        Self { name: None, kind: kind.into(), trainable: true }
    }

    /// The same layer under a name of its own.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// The same layer, whose parameters are trained or not.
    #[must_use]
    pub fn trainable(self, trainable: bool) -> Self {
        Self { trainable, ..self }
    }
}

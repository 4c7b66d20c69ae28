//! What all kinds of layers have in common: their parameters, and their calls while programs are made.

use crate::config::{Activation, WeightType};
use crate::geometry::Geometry;
pub(crate) use crate::model::local::Gradient;
use crate::model::mode::Mode;
use crate::ops::{AxisMap, Buffer, BufferId, Change, Operation, Shape, Usage, Windows};
use crate::program::Program;
use crate::{Error, Result};
use std::sync::Arc;

/// A layer's parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Keras's name of it, for example `kernel`.
    pub name: &'static str,
    /// How it is laid out: weights of windows in canonical order, all else as in Keras.
    pub shape: Shape,
    /// How its elements are stored.
    pub dtype: WeightType,
    /// Whether it has a gradient if its layer is trained: moving statistics don't.
    pub learned: bool,
    /// Shape of Keras's variable; empty for weights of windows, whose shape depends on their layout.
    pub stored: Vec<usize>,
}

impl Parameter {
    /// A learned parameter of 32-bit floats.
    pub(crate) fn fixed(name: &'static str, elements: u64) -> Self {
        Self::shaped(name, &[elements as usize])
    }

    /// A learned parameter of 32-bit floats with several axes.
    pub(crate) fn shaped(name: &'static str, stored: &[usize]) -> Self {
        let (shape, stored) = (Shape::Fixed(elements(stored)), stored.to_vec());
        Self { name, shape, dtype: WeightType::F32, learned: true, stored }
    }
}

/// What a layer has for inputs of given shapes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Built {
    /// Shape of one output sample.
    pub(crate) shape: Vec<usize>,
    /// The geometries of its windows, if it has any.
    pub(crate) geometries: Vec<Arc<Geometry>>,
    /// The windows of a pooling layer.
    pub(crate) windows: Option<Windows>,
    /// The axes of a layer that moves values.
    pub(crate) axes: Vec<AxisMap>,
    pub(crate) parameters: Vec<Parameter>,
}

impl Built {
    /// Whether a parameter can be updated by the operation that computes its gradient: only weights of windows that no
    /// locations share.
    pub(crate) fn updates_at_once(&self, parameter: usize) -> bool {
        let of_windows = self.parameters.get(parameter).is_some_and(|parameter| parameter.shape.is_cut());
        of_windows && self.geometries.get(parameter).is_some_and(|geometry| geometry.sums_over_samples())
    }

    /// A layer without parameters whose output has this shape.
    pub(crate) fn of_shape(shape: impl Into<Vec<usize>>) -> Self {
        Self { shape: shape.into(), ..Self::default() }
    }
}

/// A value of a graph while a program is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) buffer: BufferId,
    /// Shape of one sample.
    pub(crate) shape: &'a [usize],
}

impl Value<'_> {
    pub(crate) fn elements(&self) -> u64 {
        elements(self.shape)
    }

    /// Length of the last axis.
    pub(crate) fn row(&self) -> u64 {
        self.shape.last().map_or(1, |&row| row as u64)
    }
}

/// Elements of a sample of that shape. A graph's shapes were checked to be small enough.
pub(crate) fn elements(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64))
}

/// A call of a layer, for making its forward operations.
pub(crate) struct ForwardCall<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) inputs: &'a [Value<'a>],
    /// In the order of [`Built::parameters`].
    pub(crate) parameters: &'a [BufferId],
    /// Whether a backward pass follows, for which values are kept.
    pub(crate) keep: bool,
}

/// What a call's forward pass gave.
pub(crate) struct Trace {
    pub(crate) output: BufferId,
    /// Buffers that the layer's backward pass reads besides inputs and output.
    pub(crate) saved: Vec<BufferId>,
}

impl Trace {
    pub(crate) fn of(output: BufferId) -> Self {
        Self { output, saved: Vec::new() }
    }
}

/// A call of a layer, for making its backward operations.
pub(crate) struct BackwardCall<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) inputs: &'a [Value<'a>],
    pub(crate) parameters: &'a [BufferId],
    pub(crate) trace: &'a Trace,
    pub(crate) grad_output: BufferId,
    /// For each input whether its gradient is wanted.
    pub(crate) wanted: &'a [bool],
    /// For each parameter where its gradient goes, if it is wanted.
    pub(crate) gradients: &'a [Option<Gradient>],
    /// For each parameter the update by its gradient, if the operation that computes the gradient does it; the gradient
    /// is then kept nowhere.
    pub(crate) updates: &'a [Option<Change>],
}

impl<'a> BackwardCall<'a> {
    /// A buffer for the gradient of an input; none if it isn't wanted.
    pub(crate) fn grad_input(&mut self, index: usize) -> Option<BufferId> {
        let value = *self.inputs.get(index).filter(|_| self.wanted.get(index) == Some(&true))?;
        let role = if self.inputs.len() > 1 { format!("grad_input_{index}") } else { "grad_input".to_owned() };
        Some(self.scope.scratch(&role, value.elements()))
    }

    /// Where the gradient of a parameter goes, if it is wanted.
    pub(crate) fn gradient(&self, index: usize) -> Option<Gradient> {
        self.gradients.get(index).copied().flatten()
    }

    /// The update of a parameter by its gradient, if the operation that computes the gradient does it.
    pub(crate) fn update(&self, index: usize) -> Option<&'a Change> {
        self.updates.get(index).and_then(Option::as_ref)
    }
}

/// A layer's call, and the program that is being made.
pub(crate) struct Scope<'a> {
    pub(crate) program: &'a mut Program,
    /// Name of the layer.
    pub(crate) layer: &'a str,
    /// Name of the call, with which its buffers' names begin.
    pub(crate) call: &'a str,
    pub(crate) built: &'a Built,
    pub(crate) mode: Mode,
    /// Whether the layer's parameters are trained.
    pub(crate) trainable: bool,
}

impl<'a> Scope<'a> {
    /// A buffer between operations whose size doesn't depend on the batch.
    pub(crate) fn fixed(&mut self, role: &str, elements: u64) -> BufferId {
        self.program.add_buffer(Buffer {
            name: format!("{}/{role}", self.call),
            layer: Some(self.layer.to_owned()),
            usage: Usage::Scratch,
            shape: Shape::Fixed(elements),
            dtype: WeightType::F32,
        })
    }

    /// The buffer of the training step's numbers.
    pub(crate) fn step(&mut self) -> BufferId {
        self.program.step()
    }

    /// The seed of the call's random numbers; it depends on the layer's own seed if that has one. None at inference.
    pub(crate) fn seed(&self, own: Option<u64>) -> Option<u64> {
        self.mode.seed(own, self.layer, self.call)
    }

    /// A buffer between operations.
    pub(crate) fn scratch(&mut self, role: &str, elements: u64) -> BufferId {
        self.program.add_buffer(Buffer {
            name: format!("{}/{role}", self.call),
            layer: Some(self.layer.to_owned()),
            usage: Usage::Scratch,
            shape: Shape::Samples(elements),
            dtype: WeightType::F32,
        })
    }

    /// The buffer of the layer's output.
    pub(crate) fn output(&mut self) -> BufferId {
        self.scratch("output", elements(&self.built.shape))
    }

    pub(crate) fn push(&mut self, operation: Operation) {
        self.program.operations.push(operation);
    }

    /// The geometry of the window with that index.
    pub(crate) fn geometry(&self, index: usize) -> Option<&'a Arc<Geometry>> {
        self.built.geometries.get(index)
    }
}

/// What each kind of layer implements.
pub(crate) trait Computes {
    /// Keras's class in snake case, after which a layer without a name is named.
    fn class(&self) -> &'static str;

    /// The output's shape and the parameters, for inputs of these shapes. All sizes are positive.
    fn build(&self, inputs: &[&[usize]]) -> Result<Built>;

    /// The activation that it applies, for a layer that does nothing else.
    fn only_activates(&self) -> Option<Activation> {
        None
    }

    /// Makes its operations, from its inputs to its output.
    fn forward(&self, call: ForwardCall<'_>) -> Trace;

    /// Makes its operations, from the gradient of its output to those of its parameters and of its inputs; gives the
    /// buffers of the latter.
    fn backward(&self, call: BackwardCall<'_>) -> Vec<Option<BufferId>>;
}

/// The shape of the only input.
pub(crate) fn one<'a>(inputs: &[&'a [usize]]) -> Result<&'a [usize]> {
    match inputs {
        [input] => Ok(input),
        _ => Err(Error::Inputs { expected: "1", found: inputs.len() }),
    }
}

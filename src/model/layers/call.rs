//! What kinds of layers have in common: their calls while programs are made.

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
    /// Keras's name of it, such as `kernel`.
    pub name: &'static str,
    /// How it lies: weights of windows in the canonical order, all else as Keras has it.
    pub shape: Shape,
    /// How its elements are stored.
    pub dtype: WeightType,
    /// Whether it has a gradient, where its layer is trained: all but moving statistics have.
    pub learned: bool,
    /// Shape of Keras's variable; empty of weights of windows, where it depends on their layout.
    pub stored: Vec<usize>,
}

impl Parameter {
    /// A learned one of 32-bit floats.
    pub(crate) fn fixed(name: &'static str, elements: u64) -> Self {
        Self::shaped(name, &[elements as usize])
    }

    /// The same of several axes.
    pub(crate) fn shaped(name: &'static str, stored: &[usize]) -> Self {
        let (shape, stored) = (Shape::Fixed(elements(stored)), stored.to_vec());
        Self { name, shape, dtype: WeightType::F32, learned: true, stored }
    }
}

/// What a layer is for inputs of given shapes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Built {
    /// Shape of one output sample.
    pub(crate) shape: Vec<usize>,
    /// Of its windows, where it has any.
    pub(crate) geometries: Vec<Arc<Geometry>>,
    /// Those of pooling.
    pub(crate) windows: Option<Windows>,
    /// Where the values of a layer that moves them go.
    pub(crate) axes: Vec<AxisMap>,
    pub(crate) parameters: Vec<Parameter>,
}

impl Built {
    /// Whether the operation that computes a parameter's gradient may update the parameter by it: weights of windows which no locations
    /// share.
    pub(crate) fn updates_at_once(&self, parameter: usize) -> bool {
        let of_windows = self.parameters.get(parameter).is_some_and(|parameter| parameter.shape.is_cut());
        of_windows && self.geometries.get(parameter).is_some_and(|geometry| geometry.sums_over_samples())
    }

    /// One without parameters.
    pub(crate) fn of_shape(shape: impl Into<Vec<usize>>) -> Self {
        Self { shape: shape.into(), ..Self::default() }
    }
}

/// A value of a graph while a program is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) buffer: BufferId,
    /// Of one sample.
    pub(crate) shape: &'a [usize],
}

impl Value<'_> {
    pub(crate) fn elements(&self) -> u64 {
        elements(self.shape)
    }

    /// Elements of the last axis.
    pub(crate) fn row(&self) -> u64 {
        self.shape.last().map_or(1, |&row| row as u64)
    }
}

/// Elements of a sample of that shape; those of a graph were checked to be few enough.
pub(crate) fn elements(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64))
}

/// A call of a layer as its forward operations are made.
pub(crate) struct ForwardCall<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) inputs: &'a [Value<'a>],
    /// In the order of [`Built::parameters`].
    pub(crate) parameters: &'a [BufferId],
    /// Whether a backward pass follows.
    pub(crate) keep: bool,
}

/// What a forward pass leaves.
pub(crate) struct Trace {
    pub(crate) output: BufferId,
    /// What the layer's own backward pass asks for besides inputs and output.
    pub(crate) saved: Vec<BufferId>,
}

impl Trace {
    pub(crate) fn of(output: BufferId) -> Self {
        Self { output, saved: Vec::new() }
    }
}

/// A call of a layer as its backward operations are made.
pub(crate) struct BackwardCall<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) inputs: &'a [Value<'a>],
    pub(crate) parameters: &'a [BufferId],
    pub(crate) trace: &'a Trace,
    pub(crate) grad_output: BufferId,
    /// For each input whether anybody wants its gradient.
    pub(crate) wanted: &'a [bool],
    /// For each parameter where its gradient goes, if anybody wants it.
    pub(crate) gradients: &'a [Option<Gradient>],
    /// For each parameter how it follows its gradient at once, if it does; the gradient then goes nowhere.
    pub(crate) updates: &'a [Option<Change>],
}

impl<'a> BackwardCall<'a> {
    /// A buffer for the gradient of an input; none where nobody wants it.
    pub(crate) fn grad_input(&mut self, index: usize) -> Option<BufferId> {
        let value = *self.inputs.get(index).filter(|_| self.wanted.get(index) == Some(&true))?;
        let role = if self.inputs.len() > 1 { format!("grad_input_{index}") } else { "grad_input".to_owned() };
        Some(self.scope.scratch(&role, value.elements()))
    }

    /// Where the gradient of a parameter goes, if anybody wants it.
    pub(crate) fn gradient(&self, index: usize) -> Option<Gradient> {
        self.gradients.get(index).copied().flatten()
    }

    /// How a parameter follows its gradient, if it does at once.
    pub(crate) fn update(&self, index: usize) -> Option<&'a Change> {
        self.updates.get(index).and_then(Option::as_ref)
    }
}

/// A layer's call in the program that is made.
pub(crate) struct Scope<'a> {
    pub(crate) program: &'a mut Program,
    /// Of the layer.
    pub(crate) layer: &'a str,
    /// Of the call: the names of its buffers begin with it.
    pub(crate) call: &'a str,
    pub(crate) built: &'a Built,
    pub(crate) mode: Mode,
    /// Whether the layer's parameters are trained.
    pub(crate) trainable: bool,
}

impl<'a> Scope<'a> {
    /// A buffer between operations that has no samples.
    pub(crate) fn fixed(&mut self, role: &str, elements: u64) -> BufferId {
        self.program.add_buffer(Buffer {
            name: format!("{}/{role}", self.call),
            layer: Some(self.layer.to_owned()),
            usage: Usage::Scratch,
            shape: Shape::Fixed(elements),
            dtype: WeightType::F32,
        })
    }

    /// The numbers of the training step.
    pub(crate) fn step(&mut self) -> BufferId {
        self.program.step()
    }

    /// The seed of the call's random numbers, the layer's own coming first; none at inference.
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

    /// The windows of that index.
    pub(crate) fn geometry(&self, index: usize) -> Option<&'a Arc<Geometry>> {
        self.built.geometries.get(index)
    }
}

/// What a kind of layer has to say.
pub(crate) trait Computes {
    /// Keras's class of it, in snake case: what a layer is named where the caller names none.
    fn class(&self) -> &'static str;

    /// Its output's shape and its parameters for inputs of these shapes, all of them positive.
    fn build(&self, inputs: &[&[usize]]) -> Result<Built>;

    /// What it does to each value, where it does nothing else.
    fn only_activates(&self) -> Option<Activation> {
        None
    }

    /// Its operations, from its inputs to its output.
    fn forward(&self, call: ForwardCall<'_>) -> Trace;

    /// Its operations, from the gradient of its output to those of its inputs, which it names, and of its parameters.
    fn backward(&self, call: BackwardCall<'_>) -> Vec<Option<BufferId>>;
}

/// The one input of a layer that has one.
pub(crate) fn one<'a>(inputs: &[&'a [usize]]) -> Result<&'a [usize]> {
    match inputs {
        [input] => Ok(input),
        _ => Err(Error::Inputs { expected: "1", found: inputs.len() }),
    }
}

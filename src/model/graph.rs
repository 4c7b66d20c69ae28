//! Graphs of layers: which layers there are, and which values they take.

use super::layers::{Built, Kind, Layer, Parameter, elements};
use super::names;
use super::rules::Rules;
use super::taken::Taken;
use crate::config::{Implementation, KerasLayout};
use crate::geometry::{Geometry, batch_bytes};
use crate::{Error, Result};
use std::sync::Arc;

/// A value of a [`Graph`]: an input, or the result of a layer's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Node(u32);

impl Node {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Layers, the values that they take, and which values are the outputs. Shapes are those of one sample, without the
/// batch.
///
/// ```
/// use locally_connected::model::{Graph, Layer};
/// use locally_connected::{Activation, Config};
/// # fn main() -> locally_connected::Result<()> {
/// let mut graph = Graph::new();
/// let signal = graph.input([64, 2])?;
/// let first = graph.add(Config::new(8, [3]).activation(Activation::RELU), &[signal])?;
/// let second = graph.add(Layer::new(Config::new(4, [5])).named("head"), &[first])?;
/// graph.output(second);
/// assert_eq!(graph.shape(second), [58, 4]);
/// // Bytes of all that a batch of 8 takes, before anything is allocated.
/// assert!(graph.forward().bytes(8) < graph.backward(locally_connected::model::Wanted::All).bytes(8));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "super::written::Written", into = "super::written::Written"))]
pub struct Graph {
    pub(super) layers: Vec<GraphLayer>,
    /// In the order of execution: each takes values of earlier ones.
    pub(super) steps: Vec<Step>,
    pub(super) inputs: Vec<Node>,
    pub(super) outputs: Vec<Output>,
    /// The names of steps.
    pub(super) names: Taken,
    output_names: Taken,
}

/// Which names are taken follows from the others.
impl PartialEq for Graph {
    fn eq(&self, other: &Self) -> bool {
        (&self.layers, &self.steps, &self.inputs, &self.outputs)
            == (&other.layers, &other.steps, &other.inputs, &other.outputs)
    }
}

/// A layer in a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphLayer {
    name: String,
    kind: Kind,
    pub(super) trainable: bool,
    rules: Rules,
    pub(super) stored_in: Option<KerasLayout>,
    /// Initial values of its weights, as Keras lists them, if the user gave some.
    pub(crate) initial: Option<Arc<[Vec<f32>]>>,
    parameters: Vec<Parameter>,
}

impl GraphLayer {
    pub(super) fn new(name: String, kind: Kind, rules: Rules, parameters: Vec<Parameter>) -> Self {
        Self { name, kind, trainable: true, rules, stored_in: None, initial: None, parameters }
    }

    pub(super) fn rules_mut(&mut self) -> &mut Rules {
        &mut self.rules
    }

    /// Unique in its graph: the names of its parameters and buffers begin with it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of layer it is.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether its parameters are trained.
    #[must_use]
    pub fn is_trainable(&self) -> bool {
        self.trainable
    }

    /// Regularizers and constraints of its parameters and output.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Its parameters, in Keras's order.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Whether a parameter has a gradient.
    pub(super) fn learns(&self, parameter: &Parameter) -> bool {
        self.trainable && parameter.learned
    }
}

/// The layer as it was added, with the name that its graph gave it.
impl From<GraphLayer> for Layer {
    fn from(layer: GraphLayer) -> Self {
        let GraphLayer { name, kind, trainable, rules, stored_in, initial, .. } = layer;
        Self { name: Some(name), kind, trainable, rules, stored_in, initial }
    }
}

/// Where a value of a graph comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// The name of the input, or of the layer's call.
    pub(super) name: String,
    /// The layer; none for an input.
    pub(super) layer: Option<usize>,
    pub(super) inputs: Vec<Node>,
    pub(super) built: Built,
}

/// An output of a graph.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Output {
    pub(super) name: String,
    pub(super) node: Node,
}

/// An input or an output of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End<'a> {
    /// Its name, without what its buffers have in front.
    pub name: &'a str,
    /// Shape of one sample.
    pub shape: &'a [usize],
}

impl End<'_> {
    /// Elements of one sample.
    #[must_use]
    pub fn elements(&self) -> u64 {
        elements(self.shape)
    }

    /// Bytes of `batch` samples, f32: what a host's buffer needs.
    #[must_use]
    pub fn bytes(&self, batch: u32) -> u64 {
        batch_bytes(self.elements(), batch)
    }
}

impl Graph {
    /// A graph without layers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input of samples of that shape, named `input`, `input_1`, ….
    ///
    /// # Errors
    /// [`Error::InputAxis`] for an axis of size 0, [`Error::TooLarge`] for samples of 2³² elements or more than [`MOST_AXES`] axes.
    pub fn input(&mut self, shape: impl Into<Vec<usize>>) -> Result<Node> {
        let name = self.names.free("input");
        self.named_input(name, shape)
    }

    /// As [`Graph::input`], with a name.
    ///
    /// # Errors
    /// As [`Graph::input`], and [`Error::TwoLayers`].
    pub fn named_input(&mut self, name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Result<Node> {
        let (name, shape) = (name.into(), shape.into());
        self.check_name(&name)?;
        check_shape(&shape)?;
        let node = self.push(Step { name, layer: None, inputs: Vec::new(), built: Built::of_shape(shape) });
        self.inputs.push(node);
        Ok(node)
    }

    /// Adds a layer that takes these values, and gives its result.
    ///
    /// # Errors
    /// With the layer's name, where it doesn't take so many values or values of such shapes, or where its values can't
    /// be addressed; [`Error::TwoLayers`].
    pub fn add(&mut self, layer: impl Into<Layer>, inputs: &[Node]) -> Result<Node> {
        let Layer { name, kind, trainable, rules, stored_in, initial } = layer.into();
        let name = match name {
            Some(name) => name,
            None => self.names.free(kind.class()),
        };
        self.check_name(&name)?;
        let built = self.build(&kind, inputs).map_err(|error| error.in_layer(&name))?;
        let parameters = built.parameters.clone();
        let of_config = kind.config().map(|(config, weights)| Rules::of(config, weights)).unwrap_or_default();
        let rules = rules.or(of_config);
        rules.check(&parameters).map_err(|error| error.in_layer(&name))?;
        let layer = Some(self.layers.len());
        self.layers.push(GraphLayer {
            trainable,
            stored_in,
            initial: initial.clone(),
            ..GraphLayer::new(name.clone(), kind, rules, parameters)
        });
        let node = self.push(Step { name: name.clone(), layer, inputs: inputs.to_vec(), built });
        // How they are stored is known only now that the layer is in the graph.
        if let Some(Err(error)) = initial.map(|weights| self.canonical_weights(&name, &weights)) {
            self.steps.pop();
            self.layers.pop();
            self.names.give_back(&name);
            return Err(error);
        }
        Ok(node)
    }

    /// Calls the layer that gave `like` once more, on other values, with the same parameters.
    ///
    /// # Errors
    /// As [`Graph::add`]; [`Error::Unsupported`] where `like` is an input, or where the layer would need parameters of
    /// other shapes.
    pub fn call(&mut self, like: Node, inputs: &[Node]) -> Result<Node> {
        let index = self.steps.get(like.index()).and_then(|step| step.layer);
        let Some((index, layer)) = index.and_then(|index| Some((index, self.layers.get(index)?))) else {
            return Err(Error::Unsupported { what: "a call".into(), with: "of an input, which is no layer".into() });
        };
        let built = self.build(&layer.kind, inputs).map_err(|error| error.in_layer(&layer.name))?;
        if built.parameters != layer.parameters {
            let what = format!("a call with parameters {}", shown(&built.parameters));
            let with = format!("of a layer with parameters {}", shown(&layer.parameters));
            return Err(Error::Unsupported { what, with }.in_layer(&layer.name));
        }
        let name = self.names.numbered(&format!("{}:", layer.name));
        Ok(self.push(Step { name, layer: Some(index), inputs: inputs.to_vec(), built }))
    }

    /// Makes a value an output, with the name of its layer. [`Graph::check`] refuses a value of another graph.
    pub fn output(&mut self, node: Node) {
        let name = self.steps.get(node.index()).map_or("output", |step| &step.name).to_owned();
        self.named_output(&name, node);
    }

    /// Makes a value an output with this name; if another output has it, a number is appended.
    pub fn named_output(&mut self, name: &str, node: Node) {
        let name = self.output_names.free(name);
        self.output_names.take(&name);
        self.outputs.push(Output { name, node });
    }

    /// Shape of a sample of a value; empty for one of another graph.
    #[must_use]
    pub fn shape(&self, node: Node) -> &[usize] {
        self.steps.get(node.index()).map_or(&[], |step| &step.built.shape)
    }

    /// The layers, in the order in which they were added.
    #[must_use]
    pub fn layers(&self) -> &[GraphLayer] {
        &self.layers
    }

    /// The graph of one layer alone, which takes values of the shapes that its first call takes here.
    ///
    /// # Errors
    /// [`Error::UnknownValue`] where there is no layer of that name.
    pub fn alone(&self, layer: &str) -> Result<Self> {
        let found = self.layers.iter().position(|own| own.name == layer);
        let step = self.steps.iter().find(|step| found.is_some() && step.layer == found);
        let Some((step, own)) = step.and_then(|step| Some((step, self.layers.get(step.layer?)?))) else {
            let (argument, expected, value) = ("layer", "the name of one of the graph's layers", layer.to_owned());
            return Err(Error::UnknownValue { argument, expected, value });
        };
        let mut alone = Self::new();
        let shapes = step.inputs.iter().map(|&node| self.shape(node));
        let inputs = shapes.map(|shape| alone.input(shape)).collect::<Result<Vec<Node>>>()?;
        let output = alone.add(own.clone(), &inputs)?;
        alone.output(output);
        Ok(alone)
    }

    /// The layers of windows with the geometries of their windows, those of all calls.
    pub fn geometries(&self) -> impl Iterator<Item = (&GraphLayer, &Arc<Geometry>)> {
        let of_layer = |step: &Step| step.layer.and_then(|layer| self.layers.get(layer));
        let steps = self.steps.iter().filter_map(move |step| Some((of_layer(step)?, step)));
        steps.flat_map(|(layer, step)| step.built.geometries.iter().map(move |geometry| (layer, geometry)))
    }

    /// The result of a call by its name: a layer's first call has the layer's name, further ones are `<layer>:1` and so
    /// on. None if there is no such call.
    #[must_use]
    pub fn call_named(&self, name: &str) -> Option<Node> {
        self.calls().find(|(_, of, _)| *of == name).map(|(node, ..)| node)
    }

    /// The results of all calls of layers, in order, each with the call's name and the layer.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (Node, &str, &GraphLayer)> {
        let calls = self.steps.iter().zip(0..);
        calls.filter_map(|(step, at)| Some((Node(at), step.name.as_str(), self.layers.get(step.layer?)?)))
    }

    /// The inputs.
    #[must_use]
    pub fn inputs(&self) -> Vec<End<'_>> {
        self.inputs.iter().map(|&node| self.end(self.name(node), node)).collect()
    }

    /// The outputs.
    #[must_use]
    pub fn outputs(&self) -> Vec<End<'_>> {
        self.outputs.iter().map(|output| self.end(&output.name, output.node)).collect()
    }

    /// The name of an input's buffer in the graph's programs, or of another buffer that belongs to it: `what` is one of
    /// [`names`]' constants for inputs.
    #[must_use]
    pub fn input_buffer(&self, what: &str, name: &str) -> String {
        names::of_several(what, name, self.inputs.len() > 1)
    }

    /// As [`Graph::input_buffer`], for an output.
    #[must_use]
    pub fn output_buffer(&self, what: &str, name: &str) -> String {
        names::of_several(what, name, self.outputs.len() > 1)
    }

    /// Checks that there is something to run.
    ///
    /// # Errors
    /// [`Error::Missing`] without an input or an output, or where one is a value of another graph.
    pub fn check(&self) -> Result<()> {
        if self.inputs.is_empty() {
            return Err(Error::Missing { what: "an input", why: "the graph has none" });
        }
        if self.outputs.is_empty() {
            return Err(Error::Missing { what: "an output", why: "the graph has none" });
        }
        if self.own_outputs().count() < self.outputs.len() {
            return Err(Error::Missing { what: "a value", why: "one that is an output is of another graph" });
        }
        Ok(())
    }

    /// The same graph with all layers of windows executed by one implementation, or as the planner likes.
    #[must_use]
    pub fn with_implementation(mut self, implementation: impl Into<Option<Implementation>>) -> Self {
        let implementation = implementation.into();
        for geometry in self.steps.iter_mut().flat_map(|step| &mut step.built.geometries) {
            *geometry = Arc::new(geometry.with_implementation(implementation));
        }
        self
    }

    /// The outputs that are values of this graph; [`Graph::check`] refuses others.
    pub(super) fn own_outputs(&self) -> impl Iterator<Item = &Output> {
        self.outputs.iter().filter(|output| output.node.index() < self.steps.len())
    }

    /// The values that are outputs, in their order.
    pub(crate) fn output_nodes(&self) -> Vec<Node> {
        self.outputs.iter().map(|output| output.node).collect()
    }

    pub(super) fn name(&self, node: Node) -> &str {
        self.steps.get(node.index()).map_or("", |step| &step.name)
    }

    fn end<'a>(&'a self, name: &'a str, node: Node) -> End<'a> {
        End { name, shape: self.shape(node) }
    }

    pub(super) fn push(&mut self, step: Step) -> Node {
        self.names.take(&step.name);
        self.steps.push(step);
        Node(self.steps.len() as u32 - 1)
    }

    fn build(&self, kind: &Kind, inputs: &[Node]) -> Result<Built> {
        let step = |node: &Node| self.steps.get(node.index());
        let shapes: Option<Vec<&[usize]>> =
            inputs.iter().map(|node| step(node).map(|step| step.built.shape.as_slice())).collect();
        let missing = Error::Missing { what: "a value", why: "one that it takes is of another graph" };
        let built = kind.build(&shapes.ok_or(missing)?)?;
        check_shape(&built.shape)?;
        Ok(built)
    }

    fn check_name(&self, name: &str) -> Result<()> {
        let taken = self.names.has(name) || name.is_empty();
        if taken { Err(Error::TwoLayers { name: name.to_owned() }) } else { Ok(()) }
    }
}

/// Parameters as an error message shows them.
fn shown(parameters: &[Parameter]) -> String {
    let one = |parameter: &Parameter| format!("{} {:?}", parameter.name, parameter.shape.sizes());
    parameters.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The most axes of a sample. Files hold shapes: each layer keeps its own.
pub const MOST_AXES: usize = 16;

/// Checks that a sample has elements, and no more than 32-bit indices reach.
fn check_shape(shape: &[usize]) -> Result<()> {
    if shape.len() > MOST_AXES {
        let (value, limit) = (shape.len() as u128, MOST_AXES as u64);
        return Err(Error::TooLarge { what: "the number of axes of a sample", value, limit });
    }
    if let Some(axis) = shape.iter().position(|&size| size == 0) {
        return Err(Error::InputAxis { axis, shape: shape.to_vec() });
    }
    let value = shape.iter().fold(1u128, |product, &size| product.saturating_mul(size as u128));
    let limit = u64::from(u32::MAX) - 1;
    if value > limit.into() {
        return Err(Error::TooLarge { what: "the number of elements of one sample", value, limit });
    }
    Ok(())
}

/// Layers one after another.
///
/// ```
/// use locally_connected::model::Sequential;
/// use locally_connected::{Activation, Config};
/// # fn main() -> locally_connected::Result<()> {
/// let graph = Sequential::new([64, 2]).add(Config::new(8, [3])).add(Activation::Softmax).graph()?;
/// assert_eq!(graph.outputs()[0].shape, [62, 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sequential {
    shape: Vec<usize>,
    layers: Vec<Layer>,
}

impl Sequential {
    /// A chain of layers for samples of that shape.
    #[must_use]
    pub fn new(shape: impl Into<Vec<usize>>) -> Self {
        Self { shape: shape.into(), layers: Vec::new() }
    }

    /// Appends a layer.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "Keras's name of it")]
    pub fn add(mut self, layer: impl Into<Layer>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// The graph of one input and one output.
    ///
    /// # Errors
    /// Those of [`Graph::input`] and [`Graph::add`].
    pub fn graph(self) -> Result<Graph> {
        let mut graph = Graph::new();
        let input = graph.input(self.shape)?;
        let last = self.layers.into_iter().try_fold(input, |value, layer| graph.add(layer, &[value]))?;
        graph.output(last);
        Ok(graph)
    }
}

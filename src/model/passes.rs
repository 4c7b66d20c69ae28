//! The programs of a graph.

use super::graph::{Graph, GraphLayer, Node, Step};
use super::layers::{BackwardCall, Built, ForwardCall, Gradient, Scope, Trace, Value, elements};
use super::mode::Mode;
use super::names;
use crate::config::{Activation, WeightType};
use crate::ops::{Activate, Buffer, BufferId, Change, Combine, How, Operation, Part, Shape, Usage};
use crate::program::Program;
use std::collections::BTreeMap;

/// Which gradients [`Graph::backward`] computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those of the inputs, and those of all trainable layers' parameters.
    All,
    /// Those of all trainable layers' parameters, which is what training needs. Gradients that no trainable layer needs
    /// aren't computed.
    Parameters,
}

impl Graph {
    /// From the inputs to the outputs. What no output needs isn't computed, and a value between layers is in memory
    /// only until its last reader is done: [`Program::bytes`] says how much that is.
    #[must_use]
    pub fn forward(&self) -> Program {
        self.forward_in(Mode::Inference)
    }

    /// As [`Graph::forward`], for either mode. A training pass changes moving statistics, which are parameters, in
    /// place.
    #[must_use]
    pub fn forward_in(&self, mode: Mode) -> Program {
        let mut passes = Passes::new(self, &self.output_nodes(), mode, None);
        passes.only_outputs = true;
        passes.forward();
        passes.outputs();
        passes.program
    }

    /// From the inputs and the gradients of the outputs to the outputs and to the gradients, for the loss `Σ output ·
    /// grad_output`: those of the parameters of all trainable layers, and if wanted those of the inputs. An input that
    /// no output depends on has no gradient.
    #[must_use]
    pub fn backward(&self, wanted: Wanted) -> Program {
        self.backward_in(Mode::Inference, wanted)
    }

    /// As [`Graph::backward`], for either mode: the gradients of what [`Graph::forward_in`] computes.
    #[must_use]
    pub fn backward_in(&self, mode: Mode, wanted: Wanted) -> Program {
        let mut passes = Passes::new(self, &self.output_nodes(), mode, Some(wanted));
        passes.forward();
        passes.outputs();
        let seeds = passes.grad_outputs();
        passes.backward(seeds);
        passes.program
    }

    /// A forward pass whose values `judge` reads in operations of its own; none of the values is an output. If it is a
    /// training pass, a backward pass follows for the parameters of trainable layers, from the gradients that `judge`
    /// gave to values.
    ///
    /// What none of `values` depends on isn't computed. Where `updates` has an update for a parameter, and its
    /// gradient's operation can do that, the parameter is updated there and its gradient is kept nowhere.
    pub(crate) fn judged(
        &self,
        values: &[Node],
        (mode, updates): (Mode, &Updates<'_>),
        judge: impl FnOnce(&mut Judging<'_>),
    ) -> Program {
        let derived = mode != Mode::Inference;
        let mut passes = Passes::new(self, values, mode, derived.then_some(Wanted::Parameters));
        passes.updates = Some(updates);
        passes.forward();
        let buffers = passes.traces.iter().map(|trace| trace.as_ref().map(|trace| trace.output)).collect();
        let (program, needed) = (&mut passes.program, &passes.needed[..]);
        let mut judging = Judging { graph: self, program, buffers, needed, seeds: Vec::new() };
        judge(&mut judging);
        let seeds = judging.seeds;
        if derived {
            passes.backward(seeds);
        }
        passes.program
    }
}

/// The update of a parameter by its name, if its gradient's operation may do it. What the update reads may be added to
/// the program.
pub(crate) type Updates<'a> = dyn Fn(&mut Program, &str) -> Option<Change> + 'a;

/// A program between its forward and its backward pass.
pub(crate) struct Judging<'a> {
    graph: &'a Graph,
    pub(crate) program: &'a mut Program,
    buffers: Vec<Option<BufferId>>,
    needed: &'a [bool],
    seeds: Vec<(Node, BufferId)>,
}

impl<'a> Judging<'a> {
    /// The buffer of a value, if it is computed.
    pub(crate) fn buffer(&self, node: Node) -> Option<BufferId> {
        self.buffers.get(node.index()).copied().flatten()
    }

    /// Whether a value's gradient is needed.
    pub(crate) fn is_derived(&self, node: Node) -> bool {
        self.needed.get(node.index()) == Some(&true)
    }

    /// Adds a gradient to those that a value's gradient is the sum of.
    pub(crate) fn seed(&mut self, node: Node, gradient: BufferId) {
        self.seeds.push((node, gradient));
    }

    /// The results of layers' calls, each with the call's name and its layer.
    pub(crate) fn calls(&self) -> Vec<(Node, &'a str, &'a GraphLayer)> {
        self.graph.calls().filter(|(node, ..)| self.buffer(*node).is_some()).collect()
    }
}

/// The programs of a graph while they are made.
struct Passes<'a> {
    graph: &'a Graph,
    mode: Mode,
    program: Program,
    /// Whether no other value is read from outside the program.
    only_outputs: bool,
    /// For each step whether a value that is asked for depends on it.
    live: Vec<bool>,
    /// For each step whether its gradient is needed, for itself or for what feeds it.
    needed: Vec<bool>,
    wants_inputs: bool,
    /// For each step, what its forward pass gave, if it is computed.
    traces: Vec<Option<Trace>>,
    /// For each step, how many times its value is read by steps, or asked for.
    readers: Vec<usize>,
    /// The same of the values in a buffer: steps may pass a buffer on as it is.
    readers_of: BTreeMap<BufferId, usize>,
    /// For each layer, how many steps call it.
    calls: Vec<usize>,
    /// For each layer, the buffers of its parameters, if it is called.
    parameters: Vec<Vec<BufferId>>,
    updates: Option<&'a Updates<'a>>,
}

/// What is done with the gradients of a layer's parameters.
#[derive(Debug, Clone, Default)]
struct OfLayer {
    kept: Vec<Option<BufferId>>,
    updates: Vec<Option<Change>>,
}

impl<'a> Passes<'a> {
    /// Makes the forward pass from the inputs to `values`; `wanted` is none if no backward pass follows.
    fn new(graph: &'a Graph, values: &[Node], mode: Mode, wanted: Option<Wanted>) -> Self {
        let steps = &graph.steps;
        let mut live = vec![false; steps.len()];
        for value in values.iter().filter(|value| value.index() < steps.len()) {
            live[value.index()] = true;
        }
        for (at, step) in steps.iter().enumerate().rev().filter(|(_, step)| step.layer.is_some()) {
            if live[at] {
                step.inputs.iter().for_each(|input| live[input.index()] = true);
            }
        }
        let wants_inputs = wanted == Some(Wanted::All);
        let mut needed = vec![false; steps.len()];
        for (at, step) in steps.iter().enumerate().filter(|(at, _)| wanted.is_some() && live[*at]) {
            let of_layer = |layer: usize| {
                let layer = &graph.layers[layer];
                layer.parameters().iter().any(|parameter| layer.learns(parameter))
            };
            let itself = step.layer.map_or(wants_inputs, of_layer);
            needed[at] = itself || step.inputs.iter().any(|input| needed[input.index()]);
        }
        let mut readers = vec![0; steps.len()];
        let taken = steps.iter().zip(&live).filter(|(_, live)| **live).flat_map(|(step, _)| &step.inputs);
        for value in taken.chain(values) {
            readers.get_mut(value.index()).into_iter().for_each(|count| *count += 1);
        }
        let mut calls = vec![0; graph.layers.len()];
        steps.iter().filter_map(|step| step.layer).for_each(|layer| calls[layer] += 1);
        Self {
            graph,
            mode,
            program: Program::default(),
            only_outputs: false,
            live,
            needed,
            wants_inputs,
            traces: steps.iter().map(|_| None).collect(),
            readers,
            readers_of: BTreeMap::new(),
            calls,
            parameters: vec![Vec::new(); graph.layers.len()],
            updates: None,
        }
    }

    fn forward(&mut self) {
        let graph = self.graph;
        for &node in &graph.inputs {
            let (name, shape) = (graph.input_buffer(names::INPUT, graph.name(node)), graph.shape(node));
            let buffer = self.program.add(name, Usage::Input, Shape::Samples(elements(shape)));
            self.computed(node.index(), Trace::of(buffer));
        }
        for (step, at) in graph.steps.iter().zip(0..) {
            let Some(layer) = step.layer.filter(|_| self.live[at]) else { continue };
            if let Some(activated) = self.activated(at) {
                self.computed(at, activated);
                continue;
            }
            self.add_parameters(layer);
            let inputs = values(graph, &self.traces, step);
            let (layer, parameters) = (&graph.layers[layer], &self.parameters[layer]);
            let (mode, trainable) = (self.mode, layer.is_trainable());
            let (program, name, built) = (&mut self.program, layer.name(), &step.built);
            let scope = Scope { program, layer: name, call: &step.name, built, mode, trainable };
            let call = ForwardCall { scope, inputs: &inputs, parameters, keep: self.needed[at] };
            let trace = layer.kind().computes().forward(call);
            self.computed(at, trace);
        }
    }

    /// Takes what a step's forward pass gave.
    fn computed(&mut self, at: usize, trace: Trace) {
        *self.readers_of.entry(trace.output).or_default() += self.readers[at];
        self.traces[at] = Some(trace);
    }

    /// The value of an activation layer, if the operation before it can activate its result itself: that saves a pass
    /// over memory and gives the same bits. Nothing else may need the value before the activation.
    fn activated(&mut self, at: usize) -> Option<Trace> {
        let step = self.graph.steps.get(at)?;
        let activation = self.graph.layers.get(step.layer?)?.kind().computes().only_activates()?;
        let &[input] = &step.inputs[..] else { return None };
        let buffer = self.traces[input.index()].as_ref()?.output;
        let is_shared = self.readers_of.get(&buffer).is_some_and(|&readers| readers > 1);
        if !self.only_outputs || is_shared || self.program.buffer(buffer)?.usage != Usage::Scratch {
            return None;
        }
        let operation = self.program.operations.iter_mut().rfind(|operation| operation.writes() == buffer)?;
        operation.activate(activation).then(|| Trace::of(buffer))
    }

    /// Makes the graph's outputs outputs of the program.
    fn outputs(&mut self) {
        let graph = self.graph;
        for output in graph.own_outputs() {
            let name = graph.output_buffer(names::OUTPUT, &output.name);
            let Some(trace) = &self.traces[output.node.index()] else { continue };
            self.give(trace.output, name, elements(graph.shape(output.node)));
        }
    }

    fn add_parameters(&mut self, layer: usize) {
        let described = &self.graph.layers[layer];
        if !self.parameters[layer].is_empty() {
            return;
        }
        for parameter in described.parameters() {
            let buffer = Buffer {
                name: names::parameter(described.name(), parameter.name),
                layer: Some(described.name().to_owned()),
                usage: Usage::Parameter,
                shape: parameter.shape.clone(),
                dtype: parameter.dtype,
            };
            self.parameters[layer].push(self.program.add_buffer(buffer));
        }
    }

    /// The gradients of the outputs, as inputs of the program.
    fn grad_outputs(&mut self) -> Vec<(Node, BufferId)> {
        let graph = self.graph;
        let given = graph.own_outputs().map(|output| {
            let name = graph.output_buffer(names::GRAD_OUTPUT, &output.name);
            let shape = Shape::Samples(elements(graph.shape(output.node)));
            (output.node, self.program.add(name, Usage::Input, shape))
        });
        given.collect()
    }

    /// Makes the backward pass from the gradients of some values to all gradients that are needed.
    fn backward(&mut self, seeds: Vec<(Node, BufferId)>) {
        let graph = self.graph;
        // The gradients that each value's readers give; the value's gradient is their sum.
        let mut parts: Vec<Vec<BufferId>> = vec![Vec::new(); graph.steps.len()];
        for (node, gradient) in seeds {
            parts[node.index()].push(gradient);
        }
        let mut gradients: Vec<Option<OfLayer>> = graph.layers.iter().map(|_| None).collect();
        for (at, step) in graph.steps.iter().enumerate().rev() {
            if !self.needed[at] {
                continue;
            }
            let Some(grad_output) = self.sum(step, &parts[at]) else { continue };
            let Some(layer) = step.layer else {
                let name = graph.input_buffer(names::GRAD_INPUT, &step.name);
                self.give(grad_output, name, elements(&step.built.shape));
                continue;
            };
            let first = gradients[layer].is_none();
            let of_layer = gradients[layer].get_or_insert_with(|| self.gradients(layer, &step.built));
            let gradient = |buffer: &Option<BufferId>| buffer.map(|buffer| Gradient { buffer, accumulate: !first });
            let buffers: Vec<_> = of_layer.kept.iter().map(gradient).collect();
            let updates = &of_layer.updates[..];
            let inputs = values(graph, &self.traces, step);
            let wanted: Vec<bool> = step.inputs.iter().map(|input| self.needed[input.index()]).collect();
            let Some(trace) = &self.traces[at] else { continue };
            let (layer, parameters) = (&graph.layers[layer], &self.parameters[layer]);
            let (mode, trainable) = (self.mode, layer.is_trainable());
            let (program, name, built) = (&mut self.program, layer.name(), &step.built);
            let scope = Scope { program, layer: name, call: &step.name, built, mode, trainable };
            let (inputs, wanted, gradients) = (&inputs[..], &wanted[..], &buffers[..]);
            let call = BackwardCall { scope, inputs, parameters, trace, grad_output, wanted, gradients, updates };
            let grad_inputs = layer.kind().computes().backward(call);
            for ((input, wanted), gradient) in step.inputs.iter().zip(wanted).zip(grad_inputs) {
                if let Some(gradient) = gradient.filter(|_| *wanted) {
                    parts[input.index()].push(gradient);
                }
            }
        }
        debug_assert!(self.wants_inputs || self.program.find(names::GRAD_INPUT).is_none());
    }

    /// What is done with the gradients of a layer's parameters: updates, or buffers for the gradients.
    fn gradients(&mut self, layer: usize, built: &Built) -> OfLayer {
        let (calls, layer) = (self.calls[layer], &self.graph.layers[layer]);
        let mut of_layer = OfLayer::default();
        for (parameter, index) in layer.parameters().iter().zip(0..) {
            let learns = layer.learns(parameter);
            // The gradients of several calls must be added first.
            let updates = self.updates.filter(|_| learns && calls == 1 && built.updates_at_once(index));
            let name = || names::parameter(layer.name(), parameter.name);
            let update = updates.and_then(|updates| updates(&mut self.program, &name()));
            let kept = (learns && update.is_none()).then(|| {
                self.program.add_buffer(Buffer {
                    name: names::gradient(layer.name(), parameter.name),
                    layer: Some(layer.name().to_owned()),
                    usage: Usage::Gradient,
                    shape: parameter.shape.clone(),
                    dtype: WeightType::F32,
                })
            });
            of_layer.kept.push(kept);
            of_layer.updates.push(update);
        }
        of_layer
    }

    /// The gradient of a value, as the sum of those that its readers give.
    fn sum(&mut self, step: &Step, parts: &[BufferId]) -> Option<BufferId> {
        match parts {
            [] => None,
            &[one] => Some(one),
            [first, others @ ..] => {
                let elements = elements(&step.built.shape);
                let sizes = [1, 1, 1, elements];
                let sum = |(sum, at): (BufferId, usize), &part: &BufferId| {
                    let output = self.program.add_buffer(Buffer {
                        name: format!("{}/grad_sum_{at}", step.name),
                        layer: None,
                        usage: Usage::Scratch,
                        shape: Shape::Samples(elements),
                        dtype: WeightType::F32,
                    });
                    let [a, b] = [sum, part].map(|buffer| Part::samples(buffer, sizes));
                    let add = Combine { how: How::Add, sizes, a, b, divisor: 1.0, output };
                    self.program.operations.push(Operation::Combine(add));
                    (output, at + 1)
                };
                Some(others.iter().fold((*first, 1), sum).0)
            }
        }
    }

    /// Makes a value an output of the program under a name: its own buffer or, where that is the host's already, a
    /// copy.
    fn give(&mut self, buffer: BufferId, name: String, elements: u64) {
        let held = &mut self.program.buffers[buffer.index()];
        if held.usage == Usage::Scratch {
            (held.name, held.usage) = (name, Usage::Output);
            return;
        }
        let output = self.program.add(name, Usage::Output, Shape::Samples(elements));
        let copy = Activate { activation: Activation::Linear, elements, row: 1, input: buffer, output };
        self.program.operations.push(Operation::Activate(copy));
    }
}

/// The values that a step takes.
fn values<'a>(graph: &'a Graph, traces: &[Option<Trace>], step: &Step) -> Vec<Value<'a>> {
    let value = |node: &super::graph::Node| {
        let buffer = traces[node.index()].as_ref()?.output;
        Some(Value { buffer, shape: graph.shape(*node) })
    };
    step.inputs.iter().filter_map(value).collect()
}

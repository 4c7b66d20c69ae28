//! From a file's contents to a model that runs, and from a model's gradients back to the file's arrays.

use crate::config::rules;
use crate::error::{Error, Result};
use crate::model_file::{FileLayer, LayerKind, ModelFile};
use crate::npy::NpyArray;
use crate::wiring::{Tensor, Wiring};
use locally_connected::Activation;
use locally_connected::model::{self, Flatten, Graph, Layer, Node, Reshape, Rules, names};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An array as a file stores it: Keras's name, shape and values.
type StoredArray = (&'static str, Vec<usize>, Vec<f32>);

impl ModelFile {
    /// The locally connected layer of the name `only`.
    ///
    /// # Errors
    /// [`locally_connected::Error::UnknownValue`] where there is no layer of that name, and [`Error::UnsupportedLayers`]
    /// where it isn't locally connected or can't run.
    fn alone(&self, only: &str) -> Result<&FileLayer> {
        let expected = "the names of the model's layers";
        let unknown =
            || locally_connected::Error::UnknownValue { argument: "layer", expected, value: format!("{only:?}") };
        let layer = self.layer(only).ok_or_else(unknown)?;
        let refused = |reason| Err(Error::UnsupportedLayers(vec![layer.unsupported(reason)]));
        match &layer.kind {
            LayerKind::LocallyConnected(_) => Ok(layer),
            LayerKind::Unsupported { reason: reason @ Some(_) } => refused(reason.clone()),
            _ => refused(Some("only a locally connected layer runs alone".into())),
        }
    }

    /// The model that runs, with parameters in canonical order: all layers, or the locally connected layer of the name
    /// `only`. Layers that no output depends on are left out.
    ///
    /// # Errors
    /// Those of [`ModelFile::check_runnable`]; [`locally_connected::Error::UnknownValue`] where there is no layer of that
    /// name, and [`Error::UnsupportedLayers`] where it isn't locally connected or can't run; those of [`Graph::add`] and
    /// [`Local::canonical`](crate::Local::canonical).
    pub fn model(&self, only: Option<&str>) -> Result<model::Model> {
        let building = self.building(only, true)?;
        Ok(model::Model { graph: building.graph, parameters: building.parameters })
    }

    /// As [`ModelFile::model`], but takes the weights out of the file instead of copying them. Weights that programs
    /// lay out as the file does are moved; the others are converted one by one. What is left still describes the
    /// layers, so [`ModelFile::gradients`] knows their names and layouts, but these weights are gone.
    ///
    /// # Errors
    /// Those of [`ModelFile::model`].
    pub fn take_model(&mut self, only: Option<&str>) -> Result<model::Model> {
        let Building { graph, mut parameters, called, .. } = self.building(only, false)?;
        let mut waiting: Vec<&mut FileLayer> = self.layers.iter_mut().collect();
        while let Some(layer) = waiting.pop() {
            if called.contains_key(&layer.name) {
                for (what, values) in layer.take_canonical()? {
                    parameters.insert(names::parameter(&layer.name, what), values);
                }
            }
            waiting.extend(layer.inner.iter_mut());
        }
        Ok(model::Model { graph, parameters })
    }

    /// All layers or the one of the name `only`, with or without their parameters.
    fn building(&self, only: Option<&str>, with_parameters: bool) -> Result<Building> {
        let Some(only) = only else {
            self.check_runnable()?;
            return self.whole(with_parameters);
        };
        let layer = self.alone(only)?;
        let mut building = Building { with_parameters, ..Building::default() };
        let input = building.graph.input(layer.input_shape.clone())?;
        let output = building.layer(layer, &[Some(input)], &BTreeSet::from([0]))?;
        output.into_iter().flatten().for_each(|node| building.graph.output(node));
        Ok(building)
    }

    /// The first call of a layer and all that it depends on: a model with the layer's output as its only output. Layers
    /// after it don't have to run here.
    ///
    /// # Errors
    /// [`locally_connected::Error::UnknownValue`] if no layer of the model itself (inner layers don't count) has that
    /// name; [`Error::UnsupportedLayers`] with the first layer that stands in the way;
    /// [`locally_connected::Error::InputAxis`] if the size of an input is left open; those of [`ModelFile::model`].
    pub fn model_up_to(&self, layer: &str) -> Result<model::Model> {
        let at = self.layers.iter().position(|known| known.name == layer);
        let call = at.and_then(|at| self.wiring.calls.iter().position(|call| call.layer == at));
        let Some(call) = call else {
            let (argument, expected) = ("layer", "the names of the layers that the model calls itself");
            let value = format!("{layer:?}");
            return Err(locally_connected::Error::UnknownValue { argument, expected, value }.into());
        };
        let (mut known, mut waiting, mut read) = (BTreeSet::new(), vec![call], BTreeSet::new());
        while let Some(call) = waiting.pop() {
            for tensor in self.wiring.calls.get(call).into_iter().flat_map(|call| &call.inputs) {
                match *tensor {
                    Tensor::Input(index) => drop(read.insert(index)),
                    Tensor::Output { call, .. } => waiting.extend(known.insert(call).then_some(call)),
                }
            }
        }
        // Inputs that nothing reads aren't inputs of this model.
        let place = |index: usize| read.iter().position(|&kept| kept == index).unwrap_or(usize::MAX);
        let mut wiring = self.wiring.clone();
        for tensor in wiring.calls.iter_mut().flat_map(|call| &mut call.inputs) {
            if let Tensor::Input(index) = tensor {
                *index = place(*index);
            }
        }
        wiring.outputs = vec![Tensor::Output { call, index: 0 }];
        wiring.output_names = vec![layer.to_owned()];
        let inputs = self.inputs().into_iter().enumerate().filter(|(index, _)| read.contains(index));
        let building = self.wired(&wiring, inputs.map(|(_, input)| input).collect(), true)?;
        Ok(model::Model { graph: building.graph, parameters: building.parameters })
    }

    /// The graph of [`ModelFile::model`] with all layers, without the parameters.
    ///
    /// # Errors
    /// Those of [`ModelFile::model`].
    pub fn graph(&self) -> Result<Graph> {
        self.check_runnable()?;
        Ok(self.whole(false)?.graph)
    }

    /// All layers, with or without their parameters.
    fn whole(&self, with_parameters: bool) -> Result<Building> {
        self.wired(&self.wiring, self.inputs(), with_parameters)
    }

    /// Checks that the calls of the model's layers aren't many more than the file lists: where a model inside the model is called twice,
    /// and has one inside it that is called twice, thirty times over, a graph would be endless.
    ///
    /// # Errors
    /// [`locally_connected::Error::TooLarge`].
    pub(crate) fn check_calls(&self) -> Result<()> {
        let Calls { listed, made } = Calls::of(Wired { layers: &self.layers, wiring: &self.wiring });
        let limit = listed.saturating_add(MOST_REPEATED);
        if made > limit {
            let what = "the number of calls of layers";
            return Err(locally_connected::Error::TooLarge { what, value: made.into(), limit }.into());
        }
        Ok(())
    }

    /// What the outputs of `wiring` depend on.
    fn wired(&self, wiring: &Wiring, inputs: Vec<(String, Vec<usize>)>, with_parameters: bool) -> Result<Building> {
        self.check_calls()?;
        let mut building = Building { with_parameters, ..Building::default() };
        let inputs = inputs.into_iter().map(|(name, shape)| building.graph.named_input(name, shape));
        let inputs = inputs.map(|node| node.map(Some)).collect::<Result<Vec<_>, _>>()?;
        let outputs =
            building.model(Wired { layers: &self.layers, wiring }, &inputs, &(0..wiring.outputs.len()).collect())?;
        for (node, name) in outputs.into_iter().zip(&wiring.output_names) {
            building.graph.named_output(name, node.ok_or_else(missing)?);
        }
        Ok(building)
    }

    /// Names and shapes of the inputs, in Keras's order.
    fn inputs(&self) -> Vec<(String, Vec<usize>)> {
        // The layer of the first call that takes each input.
        let mut takes: Vec<Option<&FileLayer>> = vec![None; self.wiring.inputs.len()];
        for call in &self.wiring.calls {
            for tensor in &call.inputs {
                if let Tensor::Input(index) = *tensor
                    && let Some(first @ None) = takes.get_mut(index)
                {
                    *first = self.layers.get(call.layer);
                }
            }
        }
        let shape = |layer: Option<&FileLayer>| layer.map_or(&self.input_shape, |layer| &layer.input_shape).clone();
        self.wiring.inputs.iter().zip(takes).map(|(name, layer)| (name.clone(), shape(layer))).collect()
    }

    /// Gradients of the parameters of [`ModelFile::model`], as the file stores parameters: under Keras's names, each in
    /// its layer's layout. `canonical` has them by [`names::gradient`], as any executor gives them. Layers that aren't
    /// in it, such as frozen ones, are left out.
    ///
    /// The names are `kernel` and `bias` where one layer alone has weights, else `<layer>/kernel` and so on.
    ///
    /// # Errors
    /// Those of [`ModelFile::model`]; [`locally_connected::Error::Length`] for a gradient of another length than its
    /// parameter.
    pub fn gradients(
        &self,
        only: Option<&str>,
        canonical: &BTreeMap<String, Vec<f32>>,
    ) -> Result<Vec<(String, NpyArray)>> {
        let layers: Vec<&FileLayer> = match only {
            Some(only) => vec![self.alone(only)?],
            None => self.all_layers().filter(|layer| layer.parameters() != [0; 2]).collect(),
        };
        let mut arrays = Vec::new();
        for layer in &layers {
            let name = |what: &str| if layers.len() == 1 { what.to_owned() } else { format!("{}/{what}", layer.name) };
            for (what, shape, values) in layer.stored(|what| canonical.get(&names::gradient(&layer.name, what)))? {
                arrays.push((name(what), NpyArray { shape, values }));
            }
        }
        Ok(arrays)
    }
}

impl FileLayer {
    /// Arrays that are laid out as the layers' parameters, by their names, turned into what the file stores. Those that
    /// `canonical` doesn't have are left out.
    fn stored<'a>(&self, canonical: impl Fn(&str) -> Option<&'a Vec<f32>>) -> Result<Vec<StoredArray>> {
        let mut arrays = Vec::new();
        match &self.kind {
            LayerKind::LocallyConnected(local) => {
                if let Some(weights) = canonical("kernel") {
                    let values = local.layout.from_canonical(&local.geometry, weights)?;
                    arrays.push(("kernel", local.kernel_shape(), values));
                }
                if let Some((bias, shape)) = canonical("bias").zip(local.geometry.bias_shape()) {
                    if bias.len() as u64 != local.geometry.biases() {
                        let (expected, found) = (local.geometry.biases(), bias.len() as u64);
                        let what = "the bias or its gradient";
                        return Err(locally_connected::Error::Length { what, expected, found, shape }.into());
                    }
                    arrays.push(("bias", shape, bias.clone()));
                }
            }
            LayerKind::Computed(computed) => {
                for weight in &computed.weights {
                    if let Some(values) = canonical(weight.name) {
                        arrays.push((weight.name, weight.shape.clone(), weight.stored(values)?));
                    }
                }
            }
            _ => {}
        }
        Ok(arrays)
    }
}

impl ModelFile {
    /// Stores parameters, given by [`names::parameter`] as programs have them, in the file's layers, each in its own
    /// layout. Parameters that aren't given stay as they are. If one doesn't fit, none is stored.
    ///
    /// # Errors
    /// [`locally_connected::Error::NoBuffer`] for a name that is no parameter's; [`locally_connected::Error::Length`] for a parameter of
    /// another length.
    pub fn set_parameters(&mut self, canonical: &BTreeMap<String, Vec<f32>>) -> Result<()> {
        let (mut new, mut taken) = (Vec::new(), 0);
        for layer in self.all_layers() {
            let found = layer.stored(|what| canonical.get(&names::parameter(&layer.name, what)))?;
            for (what, shape, values) in &found {
                let (expected, found) = (shape.iter().product::<usize>() as u64, values.len() as u64);
                if expected != found {
                    let (what, shape) = ("a parameter", shape.clone());
                    return Err(locally_connected::Error::Length { what, expected, found, shape }
                        .in_layer(&layer.name)
                        .into());
                }
                taken += usize::from(!what.is_empty());
            }
            new.push(found);
        }
        if taken != canonical.len() {
            let known: BTreeSet<String> = self.all_layers().flat_map(FileLayer::parameter_names).collect();
            let name = canonical.keys().find(|name| !known.contains(*name)).cloned().unwrap_or_default();
            return Err(locally_connected::Error::NoBuffer { name }.into());
        }
        let mut new = new.into_iter();
        let mut waiting: Vec<&mut FileLayer> = self.layers.iter_mut().rev().collect();
        // In the same order as `all_layers`.
        while let Some(layer) = waiting.pop() {
            for (what, _, values) in new.next().unwrap_or_default() {
                match &mut layer.kind {
                    LayerKind::LocallyConnected(local) if what == "kernel" => local.kernel = values,
                    LayerKind::LocallyConnected(local) => local.bias = Some(values),
                    LayerKind::Computed(computed) => {
                        let weight = computed.weights.iter_mut().find(|weight| weight.name == what);
                        weight.into_iter().for_each(|weight| weight.values.clone_from(&values));
                    }
                    _ => {}
                }
            }
            waiting.extend(layer.inner.iter_mut().rev());
        }
        Ok(())
    }
}

/// How many calls there may be beyond those that a file lists. Networks that are called for each of some images, or unrolled over time,
/// have hundreds.
const MOST_REPEATED: u64 = 1 << 13;

/// The calls of a model's layers, and what models inside it give.
struct Calls {
    /// In the file.
    listed: u64,
    /// In a graph, where each call of a model inside the model calls its layers.
    made: u64,
}

impl Calls {
    fn of(Wired { layers, wiring }: Wired<'_>) -> Self {
        let inner = |layer: &FileLayer| match layer.kind {
            LayerKind::Model => {
                let Self { listed, made } = Self::of(Wired { layers: &layer.inner, wiring: &layer.wiring });
                let outputs = layer.wiring.outputs.len() as u64;
                Self { listed: listed + outputs, made: made.saturating_add(outputs) }
            }
            _ => Self { listed: 0, made: 0 },
        };
        let inner: Vec<Self> = layers.iter().map(inner).collect();
        let (own, listed) = (wiring.calls.len() as u64, inner.iter().map(|inner| inner.listed).sum::<u64>());
        let repeated = wiring.calls.iter().filter_map(|call| inner.get(call.layer));
        let made = repeated.fold(own, |made, inner| made.saturating_add(inner.made));
        Self { listed: own + listed, made }
    }
}

/// A model while it is made of a file's layers.
#[derive(Default)]
struct Building {
    graph: Graph,
    with_parameters: bool,
    parameters: BTreeMap<String, Vec<f32>>,
    /// The result of each layer's first call, by the layer's name.
    called: BTreeMap<String, Node>,
}

impl Building {
    /// Those of a model's outputs that are `wanted`, by their numbers, for its inputs, of which it has those that they depend on.
    fn model(
        &mut self,
        Wired { layers, wiring }: Wired<'_>,
        inputs: &[Option<Node>],
        wanted: &BTreeSet<usize>,
    ) -> Result<Vec<Option<Node>>> {
        let needed = Needed::by(Wired { layers, wiring }, wanted);
        let mut outputs: Vec<Vec<Option<Node>>> = Vec::with_capacity(wiring.calls.len());
        let node = |tensor: &Tensor, outputs: &[Vec<Option<Node>>]| match *tensor {
            Tensor::Input(index) => inputs.get(index).copied().flatten(),
            Tensor::Output { call, index } => outputs.get(call).and_then(|call| call.get(index)).copied().flatten(),
        };
        for (call, wanted) in wiring.calls.iter().zip(&needed.outputs) {
            let found = match layers.get(call.layer).filter(|_| !wanted.is_empty()) {
                Some(layer) => {
                    let given: Vec<_> = call.inputs.iter().map(|tensor| node(tensor, &outputs)).collect();
                    self.layer(layer, &given, wanted)?
                }
                None => Vec::new(),
            };
            outputs.push(found);
        }
        Ok(wiring.outputs.iter().map(|tensor| node(tensor, &outputs)).collect())
    }

    /// The results of a layer's call, of a model those that are `wanted`.
    fn layer(
        &mut self,
        layer: &FileLayer,
        given: &[Option<Node>],
        wanted: &BTreeSet<usize>,
    ) -> Result<Vec<Option<Node>>> {
        let (kind, trainable): (model::Kind, bool) = match &layer.kind {
            // How a file stores a layer doesn't decide how it is executed.
            LayerKind::LocallyConnected(local) => {
                (Arc::new(local.geometry.with_implementation(None)).into(), local.trainable)
            }
            LayerKind::Identity | LayerKind::Activation(Activation::Linear)
                if layer.rules(&[]).activity_regularizer.is_none() =>
            {
                return Ok(given.to_vec());
            }
            LayerKind::Identity => (Activation::Linear.into(), false),
            LayerKind::Noise(noise) => (noise.clone().into(), false),
            &LayerKind::Activation(activation) => (activation.into(), false),
            &LayerKind::Flatten { data_format } => (Flatten { data_format }.into(), false),
            LayerKind::Reshape(shape) => (Reshape(shape.clone()).into(), false),
            LayerKind::Computed(computed) => (computed.kind.clone(), computed.trainable),
            LayerKind::Model => {
                return self.model(Wired { layers: &layer.inner, wiring: &layer.wiring }, given, wanted);
            }
            LayerKind::Unsupported { reason } => {
                return Err(Error::UnsupportedLayers(vec![layer.unsupported(reason.clone())]));
            }
        };
        let inputs = given.iter().copied().collect::<Option<Vec<Node>>>().ok_or_else(missing)?;
        if let Some(&first) = self.called.get(&layer.name) {
            return Ok(vec![Some(self.graph.call(first, &inputs)?)]);
        }
        let mut added = Layer::new(kind).named(&layer.name).trainable(trainable);
        added = match &layer.kind {
            LayerKind::LocallyConnected(local) => added.stored_in(local.layout),
            LayerKind::Computed(computed) => {
                let weights: Vec<&str> = computed.weights.iter().map(|weight| weight.name).collect();
                added.rules(layer.rules(&weights))
            }
            _ => added.rules(layer.rules(&[])),
        };
        let node = self.graph.add(added, &inputs)?;
        self.called.insert(layer.name.clone(), node);
        let canonical = if self.with_parameters { layer.canonical()? } else { Vec::new() };
        for (what, values) in canonical {
            self.parameters.insert(names::parameter(&layer.name, what), values);
        }
        Ok(vec![Some(node)])
    }
}

fn missing() -> locally_connected::Error {
    locally_connected::Error::Missing { what: "a value", why: "a layer takes it" }
}

/// A model's layers, and their calls.
struct Wired<'a> {
    layers: &'a [FileLayer],
    wiring: &'a Wiring,
}

/// What some outputs of a model depend on.
struct Needed {
    /// Of each call the numbers of the results that are read; none where the call isn't needed.
    outputs: Vec<BTreeSet<usize>>,
    inputs: BTreeSet<usize>,
}

impl Needed {
    /// What those of the model's outputs depend on.
    fn by(Wired { layers, wiring }: Wired<'_>, outputs: &BTreeSet<usize>) -> Self {
        let mut needed = Self { outputs: vec![BTreeSet::new(); wiring.calls.len()], inputs: BTreeSet::new() };
        outputs.iter().filter_map(|&at| wiring.outputs.get(at)).for_each(|tensor| needed.add(tensor));
        // Each call stands after those whose results it takes.
        for (at, call) in wiring.calls.iter().enumerate().rev() {
            if needed.outputs[at].is_empty() {
                continue;
            }
            match layers.get(call.layer).filter(|layer| matches!(layer.kind, LayerKind::Model)) {
                Some(model) => {
                    let wired = Wired { layers: &model.inner, wiring: &model.wiring };
                    let inside = Self::by(wired, &needed.outputs[at]);
                    inside.inputs.iter().filter_map(|&at| call.inputs.get(at)).for_each(|tensor| needed.add(tensor));
                }
                None => call.inputs.iter().for_each(|tensor| needed.add(tensor)),
            }
        }
        needed
    }

    fn add(&mut self, tensor: &Tensor) {
        let (read, index) = match *tensor {
            Tensor::Input(index) => (Some(&mut self.inputs), index),
            Tensor::Output { call, index } => (self.outputs.get_mut(call), index),
        };
        if let Some(read) = read {
            read.insert(index);
        }
    }
}

impl FileLayer {
    /// What training asks of the layer, whose weights have these names.
    fn rules(&self, weights: &[&str]) -> Rules {
        self.config.as_object().map_or_else(Rules::default, |config| rules(&self.class_name, config, weights))
    }

    /// The names of the layer's own parameters in programs.
    fn parameter_names(&self) -> Vec<String> {
        self.weights().iter().map(|(what, ..)| names::parameter(&self.name, what)).collect()
    }

    /// From an array laid out as the layer's weight of that name in the file to one laid out as in programs.
    pub(crate) fn canonical_of(&self, what: &str, stored: Vec<f32>) -> Result<Vec<f32>> {
        match &self.kind {
            LayerKind::LocallyConnected(local) if what == "kernel" => {
                Ok(local.layout.to_canonical(&local.geometry, &stored)?)
            }
            LayerKind::Computed(computed) => {
                let weight = computed.weights.iter().find(|weight| weight.name == what);
                weight.map_or(Ok(stored.clone()), |weight| Ok(weight.canonical_of(&stored)?))
            }
            _ => Ok(stored),
        }
    }

    /// From an array laid out as the layer's parameter of that name in programs to one laid out as in the file.
    pub(crate) fn stored_of(&self, what: &str, canonical: &Vec<f32>) -> Result<Vec<f32>> {
        let found = self.stored(|name| (name == what).then_some(canonical))?;
        Ok(found.into_iter().next().map_or_else(|| canonical.clone(), |(_, _, values)| values))
    }

    /// The layer's parameters as programs have them, taken out of it.
    fn take_canonical(&mut self) -> Result<Vec<(&'static str, Vec<f32>)>> {
        match &mut self.kind {
            LayerKind::LocallyConnected(local) => {
                let kernel = local.layout.into_canonical(&local.geometry, std::mem::take(&mut local.kernel))?;
                Ok([("kernel", kernel)].into_iter().chain(local.bias.take().map(|bias| ("bias", bias))).collect())
            }
            LayerKind::Computed(computed) => {
                computed.weights.iter_mut().map(|weight| Ok((weight.name, weight.take_canonical()?))).collect()
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The layer's parameters as programs have them, by Keras's names.
    fn canonical(&self) -> Result<Vec<(&'static str, Vec<f32>)>> {
        match &self.kind {
            LayerKind::LocallyConnected(local) => {
                let bias = local.bias.clone().map(|bias| ("bias", bias));
                Ok([("kernel", local.canonical()?)].into_iter().chain(bias).collect())
            }
            LayerKind::Computed(computed) => {
                let weights = computed.weights.iter().map(|weight| Ok((weight.name, weight.canonical()?)));
                weights.collect()
            }
            _ => Ok(Vec::new()),
        }
    }
}

//! Layers one after another, put together in JavaScript.

use crate::config::{LayerConfig, activation};
use crate::error::{Result, of_library, thrown};
use crate::goals::Compile;
use crate::named::Named;
use crate::train::Training;
use crate::{program, rules};
use locally_connected::config::{Initializer, Regularizer};
use locally_connected::model::{Dense, Flatten, Graph, Layer, Node, NoiseLayer, Reshape, Stored, Wanted};
use locally_connected::ops::RandomKind;
use locally_connected::train::{FanRule, initial_parameters};
use locally_connected::{Activation, DataFormat, Error, Geometry, Result as Found};
use std::collections::BTreeMap;
use std::sync::Arc;
use wasm_bindgen::prelude::wasm_bindgen;

/// A model of layers one after another; one layer alone, too.
#[wasm_bindgen]
pub struct SequentialModel {
    graph: Graph,
    /// What the last layer gives.
    last: Node,
    /// By the programs' names, from when they are drawn until they are taken.
    parameters: BTreeMap<String, Vec<f32>>,
}

#[wasm_bindgen]
impl SequentialModel {
    /// A model of no layers.
    ///
    /// # Errors
    /// For an axis of no elements, or too many of them.
    #[wasm_bindgen(constructor)]
    pub fn new(input_shape: &[u32]) -> Result<Self> {
        let mut graph = Graph::new();
        let shape: Vec<usize> = input_shape.iter().map(|&size| size as usize).collect();
        let last = graph.input(shape).map_err(of_library)?;
        Ok(Self { graph, last, parameters: BTreeMap::new() })
    }

    /// Shape of one output sample so far.
    #[must_use]
    pub fn shape(&self) -> Vec<u32> {
        self.graph.shape(self.last).iter().map(|&size| size as u32).collect()
    }

    /// Adds a locally connected layer.
    ///
    /// # Errors
    /// Where it doesn't take the shape so far, and whatever Keras refuses, too.
    pub fn local(&mut self, name: &str, config: &LayerConfig) -> Result<()> {
        let geometry = Arc::new(Geometry::new(&config.config, self.graph.shape(self.last)).map_err(of_library)?);
        config.layout.check(&geometry).map_err(of_library)?;
        self.add(Layer::new(geometry).named(name).trainable(config.trainable).stored_in(config.layout))
    }

    /// Adds an activation; softmax is over the last axis.
    ///
    /// # Errors
    /// For a name that isn't Keras's.
    pub fn activation(&mut self, name: &str, of: &str, numbers: &[f32]) -> Result<()> {
        self.add(Layer::new(activation(of, numbers)?).named(name))
    }

    /// All axes become one; in `channels_first` the first is moved last before, as Keras does.
    ///
    /// # Errors
    /// For a name that there is already.
    pub fn flatten(&mut self, name: &str, channels_first: bool) -> Result<()> {
        let data_format = if channels_first { DataFormat::ChannelsFirst } else { DataFormat::ChannelsLast };
        self.add(Layer::new(Flatten { data_format }).named(name))
    }

    /// Another shape for the same elements.
    ///
    /// # Errors
    /// Where it holds more or fewer.
    pub fn reshape(&mut self, name: &str, shape: &[u32]) -> Result<()> {
        self.add(Layer::new(Reshape(shape.iter().map(|&size| size as usize).collect())).named(name))
    }

    /// Adds `Dense`.
    ///
    /// # Errors
    /// For an argument that isn't here.
    pub fn dense(&mut self, name: &str, dense: Named, of: &str, numbers: &[f32]) -> Result<()> {
        let activation = activation(of, numbers)?;
        let layer = dense.read(|named| {
            let (mut bias, mut trainable) = (true, true);
            named.flag("use_bias", &mut bias)?;
            named.flag("trainable", &mut trainable)?;
            let units = named.count("units")?.ok_or(Error::Missing { what: "`units`", why: "it has no default" })?;
            let layer = Layer::new(Dense { units: units as usize, bias, activation });
            named.ignore(&["dtype"]);
            ruled(layer.named(name).trainable(trainable), named)
        })?;
        self.add(layer)
    }

    /// Adds dropout or noise of Keras's class, which do something in training alone.
    ///
    /// # Errors
    /// For an argument that isn't here.
    pub fn noise(&mut self, name: &str, noise: Named) -> Result<()> {
        let rank = self.graph.shape(self.last).len();
        let layer = noise.read(|named| noise_of(named, rank))?;
        self.add(Layer::new(layer).named(name))
    }

    /// Adds `ActivityRegularization`.
    ///
    /// # Errors
    /// For an argument that isn't here.
    #[wasm_bindgen(js_name = activityRegularization)]
    pub fn activity_regularization(&mut self, name: &str, named: Named) -> Result<()> {
        let penalty = named.read(|named| {
            let (mut l1, mut l2) = (0.0, 0.0);
            named.float("l1", &mut l1)?;
            named.float("l2", &mut l2)?;
            Ok(Regularizer::L1L2 { l1, l2 })
        })?;
        self.add(Layer::new(Activation::Linear).named(name).activity_regularizer(penalty))
    }

    /// The program from the input to the output, and to those layers' outputs that `keep` names, one on each line.
    ///
    /// # Errors
    /// For a name that computes nothing of its own.
    pub fn forward(&self, keep: &str) -> Result<Vec<u8>> {
        program::write(&program::keeping(self.whole().forward(), keep)?)
    }

    /// The name of what a layer gives in such a program.
    ///
    /// # Errors
    /// For a name that computes nothing of its own.
    #[wasm_bindgen(js_name = outputOf)]
    pub fn output_of(&self, layer: &str) -> Result<String> {
        program::output_of(&self.whole().forward(), layer)
    }

    /// The program of all gradients.
    ///
    /// # Errors
    /// None.
    pub fn backward(&self) -> Result<Vec<u8>> {
        program::write(&self.whole().backward(Wanted::All))
    }

    /// The output's name: that of the last layer.
    #[must_use]
    #[wasm_bindgen(js_name = outputName)]
    pub fn output_name(&self) -> String {
        self.whole().outputs().first().map(|output| output.name.to_owned()).unwrap_or_default()
    }

    /// What it is to be trained by.
    ///
    /// # Errors
    /// For what can't be trained so.
    pub fn training(&self, compile: &Compile) -> Result<Training> {
        compile.of(&self.whole()).map(Training::from).map_err(of_library)
    }

    /// Draws the parameters of all layers anew, by their initializers.
    ///
    /// # Errors
    /// For what an initializer doesn't draw.
    pub fn draw(&mut self, seed: f64) -> Result<()> {
        self.parameters = Self::drawn(&self.graph, seed).map_err(of_library)?;
        Ok(())
    }

    /// A parameter that was drawn, which is gone then.
    ///
    /// # Errors
    /// For a name that there isn't, or no longer.
    #[wasm_bindgen(js_name = takeParameter)]
    pub fn take_parameter(&mut self, name: &str) -> Result<Vec<f32>> {
        let taken = self.parameters.remove(name);
        taken.ok_or_else(|| thrown("internal", format!("there is no parameter {name:?}")))
    }

    /// The names of a layer's arrays, in Keras's order.
    #[must_use]
    #[wasm_bindgen(js_name = weightNames)]
    pub fn weight_names(&self, layer: &str) -> Vec<String> {
        let found = self.graph.layers().iter().find(|known| known.name() == layer);
        found.map_or(Vec::new(), |known| known.parameters().iter().map(|one| one.name.to_owned()).collect())
    }

    /// Shape of an array as Keras stores it.
    ///
    /// # Errors
    /// For another layer or array.
    #[wasm_bindgen(js_name = weightShape)]
    pub fn weight_shape(&self, layer: &str, weight: &str) -> Result<Vec<u32>> {
        Ok(self.stored(layer, weight)?.shape().into_iter().map(|size| size as u32).collect())
    }

    /// Whether an array has a gradient.
    #[must_use]
    pub fn learns(&self, layer: &str, weight: &str) -> bool {
        let found = self.graph.layers().iter().find(|known| known.name() == layer);
        found.is_some_and(|known| {
            known.is_trainable() && known.parameters().iter().any(|one| one.name == weight && one.learned)
        })
    }

    /// An array as Keras stores it to the order that programs take.
    ///
    /// # Errors
    /// Where it has another length.
    #[wasm_bindgen(js_name = toCanonical)]
    pub fn to_canonical(&self, layer: &str, weight: &str, values: &[f32]) -> Result<Vec<f32>> {
        self.stored(layer, weight)?.to_canonical(values).map_err(of_library)
    }

    /// Weights, or their gradients, as Keras stores them.
    ///
    /// # Errors
    /// Where there are more or fewer.
    #[wasm_bindgen(js_name = fromCanonical)]
    pub fn from_canonical(&self, layer: &str, weight: &str, values: &[f32]) -> Result<Vec<f32>> {
        self.stored(layer, weight)?.from_canonical(values).map_err(of_library)
    }
}

impl SequentialModel {
    /// New values of all parameters.
    pub(crate) fn drawn(graph: &Graph, seed: f64) -> Found<BTreeMap<String, Vec<f32>>> {
        initial_parameters(graph, FanRule::Keras, seed as u64)
    }

    fn stored(&self, layer: &str, weight: &str) -> Result<Stored> {
        let missing = || thrown("internal", format!("no array {weight:?} in layer {layer:?}"));
        let at = self.weight_names(layer).iter().position(|name| name == weight).ok_or_else(missing)?;
        self.graph.stored(layer).and_then(|stored| stored.into_iter().nth(at)).ok_or_else(missing)
    }

    fn add(&mut self, layer: Layer) -> Result<()> {
        self.last = self.graph.add(layer, &[self.last]).map_err(of_library)?;
        Ok(())
    }

    /// The graph with what the last layer gives as its output.
    pub(crate) fn whole(&self) -> Graph {
        let mut graph = self.graph.clone();
        graph.output(self.last);
        graph
    }
}

/// The layer with what training asks of its kernel and bias.
fn ruled(mut layer: Layer, named: &mut Named) -> Found<Layer> {
    for (argument, parameter) in [("kernel_regularizer", "kernel"), ("bias_regularizer", "bias")] {
        if let Some(mut rule) = named.named_of(argument)? {
            layer = layer.regularizer(parameter, rules::regularizer(&mut rule)?);
            rule.done()?;
        }
    }
    for (argument, parameter) in [("kernel_constraint", "kernel"), ("bias_constraint", "bias")] {
        if let Some(mut rule) = named.named_of(argument)? {
            layer = layer.constraint(parameter, rules::constraint(&mut rule)?);
            rule.done()?;
        }
    }
    if let Some(mut rule) = named.named_of("activity_regularizer")? {
        layer = layer.activity_regularizer(rules::regularizer(&mut rule)?);
        rule.done()?;
    }
    let usual = [("kernel_initializer", Initializer::GLOROT_UNIFORM), ("bias_initializer", Initializer::Zeros)];
    for (argument, usual) in usual {
        let Some(mut given) = named.named_of(argument)? else { continue };
        if rules::initializer(&mut given)? != usual {
            let what = format!("`{argument}` {} of a dense layer", given.name());
            return Err(Error::Unsupported { what, with: "here: Keras's default is".into() });
        }
        given.done()?;
    }
    Ok(layer)
}

/// Dropout or noise of samples of so many axes.
fn noise_of(named: &mut Named, rank: usize) -> Found<NoiseLayer> {
    let class = named.name().to_owned();
    let argument = if class == "GaussianNoise" { "stddev" } else { "rate" };
    let missing = Error::Missing { what: "a number of the layer", why: "it has no default" };
    let number = named.number_of(argument)?.ok_or(missing)? as f32;
    let mut layer = NoiseLayer::new(match class.as_str() {
        "GaussianDropout" => RandomKind::GaussianDropout { rate: number },
        "AlphaDropout" => RandomKind::AlphaDropout { rate: number },
        "GaussianNoise" => RandomKind::GaussianNoise { stddev: number },
        _ => RandomKind::Dropout { rate: number },
    });
    layer.seed = named.integer("seed")?.map(|seed| seed as u64);
    if class.starts_with("Spatial") {
        let channels_first = named.text_of("data_format")?.is_some_and(|format| format == "channels_first");
        let axes = rank.saturating_sub(1);
        layer.shared_axes = if channels_first { (1..rank).collect() } else { (0..axes).collect() };
    }
    named.ignore(&["trainable", "dtype"]);
    Ok(layer)
}

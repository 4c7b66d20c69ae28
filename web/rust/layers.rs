//! The layers of a model besides locally connected ones, and its new weights.

use crate::config::{activation, sizes};
use crate::error::{Result, of_library, thrown};
use crate::named::Named;
use crate::rules;
use crate::sequential::SequentialModel;
use locally_connected::config::{Initializer, Regularizer};
use locally_connected::model::{Dense, Flatten, Graph, Layer, NoiseLayer, Reshape};
use locally_connected::ops::RandomKind;
use locally_connected::train::{FanRule, initial_parameters};
use locally_connected::{Activation, DataFormat, Error, Result as Found};
use std::collections::BTreeMap;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
impl SequentialModel {
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
        self.add(Layer::new(Reshape(sizes(shape))).named(name))
    }

    /// Adds `Dense`.
    ///
    /// # Errors
    /// For an argument that isn't here.
    pub fn dense(&mut self, name: &str, mut dense: Named) -> Result<()> {
        let activation = match dense.named_of("activation").map_err(of_library)? {
            Some(mut given) => {
                let numbers = given.list("numbers").map_err(of_library)?.unwrap_or_default();
                let numbers: Vec<f32> = numbers.into_iter().map(|number| number as f32).collect();
                activation(given.name(), &numbers)?
            }
            None => Activation::Linear,
        };
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

    /// The output's name: that of the last layer.
    #[must_use]
    #[wasm_bindgen(js_name = outputName)]
    pub fn output_name(&self) -> String {
        self.model().graph.outputs().first().map(|output| output.name.to_owned()).unwrap_or_default()
    }

    /// Draws the parameters of all layers anew, by their initializers.
    ///
    /// # Errors
    /// For what an initializer doesn't draw.
    pub fn draw(&mut self, seed: f64) -> Result<()> {
        self.parameters = Self::drawn(&self.graph, seed).map_err(of_library)?;
        Ok(())
    }

    /// A parameter that was drawn, whose values are gone then.
    ///
    /// # Errors
    /// For a name that there isn't.
    #[wasm_bindgen(js_name = takeParameter)]
    pub fn take_parameter(&mut self, name: &str) -> Result<Vec<f32>> {
        let taken = self.parameters.get_mut(name).map(std::mem::take);
        taken.ok_or_else(|| thrown("internal", format!("there is no parameter {name}")))
    }
}

impl SequentialModel {
    /// New values of all parameters.
    pub(crate) fn drawn(graph: &Graph, seed: f64) -> Found<BTreeMap<String, Vec<f32>>> {
        initial_parameters(graph, FanRule::Keras, seed as u64)
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

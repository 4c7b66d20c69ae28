//! A model as a chain of layers to run, with its parameters.

use super::error::{Error, Result};
use super::model::{Kind, Layer, Model};
use crate::config::{Activation, DataFormat, Implementation};
use crate::model::{self, Chain, names};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Model {
    /// The layers that run: all of them, or the one locally connected layer of the name `only`.
    ///
    /// # Errors
    /// Those of [`Model::check_runnable`]; [`crate::Error::UnknownValue`] where there is no layer of that name, and
    /// [`Error::UnsupportedLayers`] where it isn't locally connected or can't run.
    pub fn runnable(&self, only: Option<&str>) -> Result<&[Layer]> {
        let Some(name) = only else {
            self.check_runnable()?;
            return Ok(&self.layers);
        };
        let expected = "the names of the model's layers";
        let unknown = || crate::Error::UnknownValue { argument: "layer", expected, value: format!("{name:?}") };
        let layer = self.layer(name).ok_or_else(unknown)?;
        let refused = |reason| Err(Error::UnsupportedLayers(vec![layer.unsupported(reason)]));
        match &layer.kind {
            Kind::LocallyConnected(_) => Ok(std::slice::from_ref(layer)),
            Kind::Unsupported { reason: reason @ Some(_) } => refused(reason.clone()),
            _ => refused(Some("only a locally connected layer runs alone".into())),
        }
    }

    /// What [`Model::runnable`] does to its values. Layers that only give them another shape are left out.
    ///
    /// # Errors
    /// Those of [`Model::runnable`]; [`crate::Error::InputAxis`] and [`crate::Error::TooLarge`] for a sample of no
    /// elements or of 2³² and more.
    pub fn chain(&self, only: Option<&str>) -> Result<Chain> {
        let layers = self.runnable(only)?;
        // The shape of the values, from layer to layer.
        let mut shape: &[usize] = layers.first().map_or(&[], |layer| &layer.input_shape);
        let mut chain = Chain { inputs: elements(shape)?, layers: Vec::new() };
        for layer in layers {
            let elements = elements(shape)?;
            let kind = match &layer.kind {
                Kind::LocallyConnected(local) => Some(model::Kind::Local {
                    // How it is executed doesn't follow from how its file stores it.
                    geometry: Arc::new(local.geometry.with_implementation(Implementation::Auto)),
                    trainable: local.trainable,
                }),
                Kind::Activation(Activation::Linear) | Kind::Identity | Kind::Reshape(_) => None,
                &Kind::Activation(activation) => {
                    Some(model::Kind::Activation { activation, row: shape.last().map_or(1, |&row| row as u64) })
                }
                Kind::Flatten { data_format: DataFormat::ChannelsLast } => None,
                // Keras moves the channels last first, which is nothing where there is one of them or one position.
                Kind::Flatten { data_format: DataFormat::ChannelsFirst } => {
                    let rows = shape.first().map_or(1, |&channels| channels as u64);
                    let columns = elements / rows;
                    (rows > 1 && columns > 1).then_some(model::Kind::Transpose { rows, columns })
                }
                Kind::Unsupported { reason } => {
                    return Err(Error::UnsupportedLayers(vec![layer.unsupported(reason.clone())]));
                }
            };
            chain.layers.extend(kind.map(|kind| model::Layer { name: layer.name.clone(), kind }));
            shape = &layer.output_shape;
        }
        elements(shape)?;
        Ok(chain)
    }

    /// The parameters that [`Chain`]'s programs name, of all locally connected layers that can run: weights in the
    /// canonical order, biases in Keras's.
    ///
    /// # Errors
    /// Those of [`Local::canonical`](super::Local::canonical).
    pub fn parameters(&self) -> Result<BTreeMap<String, Vec<f32>>> {
        let mut parameters = BTreeMap::new();
        for (layer, local) in self.locals() {
            parameters.insert(names::weights(&layer.name), local.canonical()?);
            parameters.extend(local.bias.clone().map(|bias| (names::bias(&layer.name), bias)));
        }
        Ok(parameters)
    }
}

/// Elements of one sample of `shape`.
fn elements(shape: &[usize]) -> crate::Result<u64> {
    let product = shape.iter().try_fold(1u64, |a, &b| a.checked_mul(b as u64));
    match product {
        Some(0) => {
            let axis = shape.iter().position(|&n| n == 0).unwrap_or(0);
            Err(crate::Error::InputAxis { axis, shape: shape.to_vec() })
        }
        Some(elements) if elements < u32::MAX.into() => Ok(elements),
        _ => Err(crate::Error::TooLarge {
            what: "the number of elements of one sample",
            value: shape.iter().fold(1u128, |a, &b| a.saturating_mul(b as u128)),
            limit: u64::from(u32::MAX) - 1,
        }),
    }
}

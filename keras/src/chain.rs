//! From what a file holds to a model that runs, and from the gradients of one back to the file's own arrays.

use crate::error::{Error, Result};
use crate::model_file::{FileLayer, LayerKind, ModelFile};
use crate::npy::NpyArray;
use locally_connected::model::{self, Chain, names};
use locally_connected::{Activation, DataFormat};
use std::collections::BTreeMap;
use std::sync::Arc;

impl ModelFile {
    /// The layers that run: all of them, or the one locally connected layer of the name `only`.
    ///
    /// # Errors
    /// Those of [`ModelFile::check_runnable`]; [`locally_connected::Error::UnknownValue`] where there is no layer of that
    /// name, and [`Error::UnsupportedLayers`] where it isn't locally connected or can't run.
    pub fn runnable(&self, only: Option<&str>) -> Result<&[FileLayer]> {
        let Some(name) = only else {
            self.check_runnable()?;
            return Ok(&self.layers);
        };
        let expected = "the names of the model's layers";
        let unknown =
            || locally_connected::Error::UnknownValue { argument: "layer", expected, value: format!("{name:?}") };
        let layer = self.layer(name).ok_or_else(unknown)?;
        let refused = |reason| Err(Error::UnsupportedLayers(vec![layer.unsupported(reason)]));
        match &layer.kind {
            LayerKind::LocallyConnected(_) => Ok(std::slice::from_ref(layer)),
            LayerKind::Unsupported { reason: reason @ Some(_) } => refused(reason.clone()),
            _ => refused(Some("only a locally connected layer runs alone".into())),
        }
    }

    /// The layers of [`ModelFile::runnable`] as a model that runs, with their parameters in the canonical order.
    ///
    /// # Errors
    /// Those of [`ModelFile::runnable`]; [`locally_connected::Error::InputAxis`] and
    /// [`locally_connected::Error::TooLarge`] for a sample of no elements or of 2³² and more; those of
    /// [`Local::canonical`](crate::Local::canonical).
    pub fn model(&self, only: Option<&str>) -> Result<model::Model> {
        let layers = self.runnable(only)?;
        let input_shape = layers.first().map_or(&[][..], |layer| &layer.input_shape).to_vec();
        let output_shape = layers.last().map_or(&[][..], |layer| &layer.output_shape).to_vec();
        Ok(model::Model { chain: chain(layers)?, parameters: parameters(layers)?, input_shape, output_shape })
    }

    /// Gradients of the parameters of [`ModelFile::model`], as the file stores the parameters: under Keras's names, each
    /// layer's in its own layout. `canonical` has them by [`names::grad_weights`] and [`names::grad_bias`], as whatever ran
    /// the model gives them; a layer that isn't in it, a frozen one say, is left out.
    ///
    /// The names are `kernel` and `bias` where one of the layers has weights, else `<layer>/kernel` and `<layer>/bias`.
    ///
    /// # Errors
    /// Those of [`ModelFile::runnable`]; [`locally_connected::Error::Length`] for a gradient of another length than its
    /// parameter.
    pub fn gradients(
        &self,
        only: Option<&str>,
        canonical: &BTreeMap<String, Vec<f32>>,
    ) -> Result<Vec<(String, NpyArray)>> {
        let locals: Vec<_> =
            self.runnable(only)?.iter().filter_map(|layer| Some((layer.name.as_str(), layer.local()?))).collect();
        let mut arrays = Vec::new();
        for (layer, local) in &locals {
            let name = |what: &str| if locals.len() == 1 { what.to_owned() } else { format!("{layer}/{what}") };
            if let Some(weights) = canonical.get(&names::grad_weights(layer)) {
                let values = local.layout.from_canonical(&local.geometry, weights)?;
                arrays.push((name("kernel"), NpyArray { shape: local.kernel_shape(), values }));
            }
            if let Some((bias, shape)) = canonical.get(&names::grad_bias(layer)).zip(local.geometry.bias_shape()) {
                if bias.len() as u64 != local.geometry.biases() {
                    let (expected, found) = (local.geometry.biases(), bias.len() as u64);
                    return Err(locally_connected::Error::Length { what: "grad_bias", expected, found, shape }.into());
                }
                arrays.push((name("bias"), NpyArray { shape, values: bias.clone() }));
            }
        }
        Ok(arrays)
    }
}

/// What the layers do to the values. Those that only give them another shape are left out.
fn chain(layers: &[FileLayer]) -> Result<Chain> {
    // The shape of the values, from layer to layer.
    let mut shape: &[usize] = layers.first().map_or(&[], |layer| &layer.input_shape);
    let mut chain = Chain { inputs: elements(shape)?, layers: Vec::new() };
    for layer in layers {
        let elements = elements(shape)?;
        let kind = match &layer.kind {
            LayerKind::LocallyConnected(local) => Some(model::Kind::Local {
                // How it is executed doesn't follow from how its file stores it.
                geometry: Arc::new(local.geometry.with_implementation(None)),
                trainable: local.trainable,
            }),
            LayerKind::Activation(Activation::Linear) | LayerKind::Identity | LayerKind::Reshape(_) => None,
            &LayerKind::Activation(activation) => {
                Some(model::Kind::Activation { activation, row: shape.last().map_or(1, |&row| row as u64) })
            }
            LayerKind::Flatten { data_format: DataFormat::ChannelsLast } => None,
            // Keras moves the channels last first, which is nothing where there is one of them or one position.
            LayerKind::Flatten { data_format: DataFormat::ChannelsFirst } => {
                let rows = shape.first().map_or(1, |&channels| channels as u64);
                let columns = elements / rows;
                (rows > 1 && columns > 1).then_some(model::Kind::Transpose { rows, columns })
            }
            LayerKind::Unsupported { reason } => {
                return Err(Error::UnsupportedLayers(vec![layer.unsupported(reason.clone())]));
            }
        };
        chain.layers.extend(kind.map(|kind| model::Layer { name: layer.name.clone(), kind }));
        shape = &layer.output_shape;
    }
    elements(shape)?;
    Ok(chain)
}

/// The parameters of the layers, by the names that [`Chain`]'s programs give them.
fn parameters(layers: &[FileLayer]) -> Result<BTreeMap<String, Vec<f32>>> {
    let mut parameters = BTreeMap::new();
    for (layer, local) in layers.iter().filter_map(|layer| Some((layer, layer.local()?))) {
        parameters.insert(names::weights(&layer.name), local.canonical()?);
        parameters.extend(local.bias.clone().map(|bias| (names::bias(&layer.name), bias)));
    }
    Ok(parameters)
}

/// Elements of one sample of `shape`.
fn elements(shape: &[usize]) -> locally_connected::Result<u64> {
    let product = shape.iter().try_fold(1u64, |a, &b| a.checked_mul(b as u64));
    match product {
        Some(0) => {
            let axis = shape.iter().position(|&n| n == 0).unwrap_or(0);
            Err(locally_connected::Error::InputAxis { axis, shape: shape.to_vec() })
        }
        Some(elements) if elements < u32::MAX.into() => Ok(elements),
        _ => Err(locally_connected::Error::TooLarge {
            what: "the number of elements of one sample",
            value: shape.iter().fold(1u128, |a, &b| a.saturating_mul(b as u128)),
            limit: u64::from(u32::MAX) - 1,
        }),
    }
}

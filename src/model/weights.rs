//! A model's weights as Keras lists them.

use super::graph::{Graph, GraphLayer};
use super::stored::Stored;
use super::{Model, names};
use crate::error::Quoted;
use crate::{Error, Result};

/// A weight of a layer, as Keras stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// `<layer>/<weight>`, the name of its [parameter](Model::parameters).
    pub name: String,
    /// Shape of Keras's variable.
    pub shape: Vec<usize>,
    /// Whether it is trained.
    pub trainable: bool,
}

impl Weight {
    /// Elements of the variable.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&size| size as u64).product()
    }
}

impl Graph {
    /// All weights in the order of Keras's `model.weights`: those that are trained first. [`Weight::trainable`] tells
    /// Keras's `trainable_weights` from its `non_trainable_weights`.
    #[must_use]
    pub fn weights(&self) -> Vec<Weight> {
        let mut weights: Vec<Weight> = self.layers().iter().flat_map(|layer| self.of(layer)).collect();
        weights.sort_by_key(|weight| !weight.trainable);
        weights
    }

    /// The weights of the layer of that name, in Keras's order.
    ///
    /// # Errors
    /// [`Error::UnknownValue`] where there is no such layer.
    pub fn layer_weights(&self, layer: &str) -> Result<Vec<Weight>> {
        self.known(layer).map(|layer| self.of(layer))
    }

    /// Keras's `count_params` of the model: the number of elements of all its variables, as they are stored. In
    /// implementation 2 that includes entries of the dense matrix that connect nothing.
    #[must_use]
    pub fn count_params(&self) -> u64 {
        self.weights().iter().map(Weight::elements).sum()
    }

    /// Keras's `compute_output_shape`: the shapes of the outputs for a batch.
    #[must_use]
    pub fn compute_output_shape(&self, batch: usize) -> Vec<Vec<usize>> {
        self.outputs()
            .iter()
            .map(|output| std::iter::once(batch).chain(output.shape.iter().copied()).collect())
            .collect()
    }

    /// Sets whether the parameters of the layer of that name are trained.
    ///
    /// # Errors
    /// [`Error::UnknownValue`] where there is no such layer.
    pub fn set_trainable(&mut self, layer: &str, trainable: bool) -> Result<()> {
        self.known(layer)?;
        self.layers.iter_mut().filter(|known| known.name() == layer).for_each(|layer| layer.trainable = trainable);
        Ok(())
    }

    fn known(&self, layer: &str) -> Result<&GraphLayer> {
        let (argument, expected) = ("layer", "the names of the model's layers");
        let unknown = || Error::UnknownValue { argument, expected, value: Quoted(layer).to_string() };
        self.layers().iter().find(|known| known.name() == layer).ok_or_else(unknown)
    }

    fn of(&self, layer: &GraphLayer) -> Vec<Weight> {
        let stored = self.stored(layer.name()).unwrap_or_default();
        let weight = |(parameter, stored): (&super::Parameter, Stored)| Weight {
            name: names::parameter(layer.name(), parameter.name),
            shape: stored.shape(),
            trainable: layer.learns(parameter),
        };
        layer.parameters().iter().zip(stored).map(weight).collect()
    }
}

impl Model {
    /// Keras's `layer.get_weights()`: the values of a layer's weights in Keras's order, each as the layer's
    /// implementation stores it.
    ///
    /// # Errors
    /// [`Error::UnknownValue`] where there is no such layer, [`Error::NotGiven`] and [`Error::Length`] where the model lacks a parameter of it;
    /// those of [`Stored::from_canonical`].
    pub fn get_weights(&self, layer: &str) -> Result<Vec<Vec<f32>>> {
        let known = self.graph.known(layer)?;
        let stored = self.graph.stored(layer).unwrap_or_default();
        let of = |(parameter, stored): (&super::Parameter, &Stored)| {
            let name = names::parameter(layer, parameter.name);
            let values = self.parameters.get(&name).ok_or(Error::NotGiven { name })?;
            stored.from_canonical(values).map_err(|error| error.in_layer(layer))
        };
        known.parameters().iter().zip(&stored).map(of).collect()
    }

    /// Keras's `layer.set_weights()`: sets all weights of a layer, in Keras's order, each as the layer's implementation
    /// stores it. If one doesn't fit, none is set.
    ///
    /// # Errors
    /// [`Error::UnknownValue`] where there is no such layer, [`Error::Unsupported`] for another number of weights, [`Error::Length`] for one of
    /// another length; those of [`Stored::to_canonical`].
    pub fn set_weights(&mut self, layer: &str, weights: &[Vec<f32>]) -> Result<()> {
        let canonical = self.graph.canonical_weights(layer, weights)?;
        self.parameters.extend(canonical);
        Ok(())
    }
}

impl Graph {
    /// A layer's parameters, by [`names::parameter`], from the values of all its weights in Keras's order.
    pub(crate) fn canonical_weights(&self, layer: &str, weights: &[Vec<f32>]) -> Result<Vec<(String, Vec<f32>)>> {
        let known = self.known(layer)?;
        let stored = self.stored(layer).unwrap_or_default();
        if weights.len() != stored.len() {
            let what = format!("{} arrays of weights", weights.len());
            let with = format!("by a layer of {}", stored.len());
            return Err(Error::Unsupported { what, with }.in_layer(layer));
        }
        let of = |((parameter, stored), values): ((&super::Parameter, &Stored), &Vec<f32>)| {
            let values = stored.to_canonical(values).map_err(|error| error.in_layer(layer))?;
            Ok((names::parameter(layer, parameter.name), values))
        };
        known.parameters().iter().zip(&stored).zip(weights).map(of).collect()
    }
}

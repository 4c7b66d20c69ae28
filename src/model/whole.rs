//! A model: a graph with its parameters.

use super::graph::{Graph, GraphLayer};
use super::names;
use crate::config::Implementation;
use crate::{Error, Result};
use std::collections::BTreeMap;

/// A model: its layers and their parameters, whatever file or code they came from and whatever runs it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Model {
    /// The graph of its layers.
    pub graph: Graph,
    /// The parameters, by [`names::parameter`]: weights of windows in canonical order, all else as in Keras.
    pub parameters: BTreeMap<String, Vec<f32>>,
}

impl Model {
    /// Checks that there is something to run, and that all parameters are there.
    ///
    /// # Errors
    /// Those of [`Graph::check`]; [`Error::NotGiven`] for a parameter that isn't there, [`Error::Length`] for one of another
    /// length than its layer's, [`Error::NoBuffer`] for one that no layer has.
    pub fn check(&self) -> Result<()> {
        self.graph.check()?;
        let mut known = 0;
        for layer in self.graph.layers() {
            for parameter in layer.parameters() {
                let name = names::parameter(layer.name(), parameter.name);
                let Some(values) = self.parameters.get(&name) else { return Err(Error::NotGiven { name }) };
                let (expected, found) = (parameter.shape.elements(0), values.len() as u64);
                if expected != found {
                    let (what, shape) = (parameter.name, parameter.shape.sizes());
                    return Err(Error::Length { what, expected, found, shape }.in_layer(layer.name()));
                }
                known += 1;
            }
        }
        if known < self.parameters.len() {
            let of_layer = |layer: &GraphLayer, name: &str| {
                layer.parameters().iter().any(|parameter| names::parameter(layer.name(), parameter.name) == name)
            };
            let known = |name: &str| self.graph.layers().iter().any(|layer| of_layer(layer, name));
            if let Some(name) = self.parameters.keys().find(|name| !known(name)) {
                return Err(Error::NoBuffer { name: name.clone() });
            }
        }
        Ok(())
    }

    /// A model of one layer, with copies of its parameters: see [`Graph::alone`].
    ///
    /// # Errors
    /// Those of [`Graph::alone`].
    pub fn alone(&self, layer: &str) -> Result<Self> {
        let graph = self.graph.alone(layer)?;
        let names = graph.layers().iter().flat_map(|layer| {
            layer.parameters().iter().map(|parameter| names::parameter(layer.name(), parameter.name))
        });
        let taken = names.filter_map(|name| self.parameters.get_key_value(&name));
        let parameters = taken.map(|(name, values)| (name.clone(), values.clone())).collect();
        Ok(Self { graph, parameters })
    }

    /// The same model with all layers of windows executed by one implementation, or as the planner likes.
    #[must_use]
    pub fn with_implementation(self, implementation: impl Into<Option<Implementation>>) -> Self {
        Self { graph: self.graph.with_implementation(implementation), ..self }
    }

    /// Shape of one sample of the input, or of the first where there are several; empty without one.
    #[must_use]
    pub fn input_shape(&self) -> &[usize] {
        self.graph.inputs().first().map_or(&[], |end| end.shape)
    }

    /// Shape of one sample of the output, or of the first where there are several; empty without one.
    #[must_use]
    pub fn output_shape(&self) -> &[usize] {
        self.graph.outputs().first().map_or(&[], |end| end.shape)
    }

    /// Bytes of `batch` samples of the input, f32, or of the first where there are several: what a host's buffer needs; 0
    /// without one.
    #[must_use]
    pub fn input_bytes(&self, batch: u32) -> u64 {
        self.graph.inputs().first().map_or(0, |end| end.bytes(batch))
    }

    /// Bytes of `batch` samples of the output, f32, or of the first where there are several; 0 without one.
    #[must_use]
    pub fn output_bytes(&self, batch: u32) -> u64 {
        self.graph.outputs().first().map_or(0, |end| end.bytes(batch))
    }
}

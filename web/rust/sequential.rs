//! Layers one after another, put together in JavaScript.

use crate::config::{LayerConfig, sizes};
use crate::error::{Result, of_library};
use crate::graph::{GraphModel, stored};
use locally_connected::Geometry;
use locally_connected::model::{Graph, Layer, Node};
use std::collections::BTreeMap;
use std::sync::Arc;
use wasm_bindgen::prelude::wasm_bindgen;

/// A model of layers one after another, `layers.rs` adding those that aren't locally connected.
#[wasm_bindgen]
pub struct SequentialModel {
    pub(crate) graph: Graph,
    /// What the last layer gives.
    pub(crate) last: Node,
    /// By the programs' names, from when they are drawn until they are taken.
    pub(crate) parameters: BTreeMap<String, Vec<f32>>,
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
        let last = graph.input(sizes(input_shape)).map_err(of_library)?;
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

    /// The model of these layers.
    #[must_use]
    pub fn model(&self) -> GraphModel {
        let mut graph = self.graph.clone();
        graph.output(self.last);
        GraphModel { graph }
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
        Ok(stored(&self.graph, layer, weight)?.shape().into_iter().map(|size| size as u32).collect())
    }

    /// Whether an array has a gradient.
    #[must_use]
    pub fn learns(&self, layer: &str, weight: &str) -> bool {
        let found = self.graph.layers().iter().find(|known| known.name() == layer);
        found.is_some_and(|known| {
            known.is_trainable() && known.parameters().iter().any(|one| one.name == weight && one.learned)
        })
    }
}

impl SequentialModel {
    pub(crate) fn add(&mut self, layer: Layer) -> Result<()> {
        self.last = self.graph.add(layer, &[self.last]).map_err(of_library)?;
        Ok(())
    }
}

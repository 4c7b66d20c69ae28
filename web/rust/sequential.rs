//! Layers one after another, put together in JavaScript.

use crate::config::{LayerConfig, activation};
use crate::error::{Result, of_library, thrown};
use crate::program;
use locally_connected::model::{Flatten, Graph, Kind, Layer, Node, Reshape, Wanted};
use locally_connected::{DataFormat, Geometry, KerasLayout};
use std::sync::Arc;
use wasm_bindgen::prelude::wasm_bindgen;

/// A model of layers one after another; one layer alone, too.
#[wasm_bindgen]
pub struct SequentialModel {
    graph: Graph,
    /// What the last layer gives.
    last: Node,
    layouts: Vec<(String, KerasLayout, Arc<Geometry>)>,
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
        Ok(Self { graph, last, layouts: Vec::new() })
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
        self.add(name, geometry.clone().into(), config.trainable)?;
        self.layouts.push((name.to_owned(), config.layout, geometry));
        Ok(())
    }

    /// Adds an activation; softmax is over the last axis.
    ///
    /// # Errors
    /// For a name that isn't Keras's.
    pub fn activation(&mut self, name: &str, of: &str, numbers: &[f32]) -> Result<()> {
        self.add(name, activation(of, numbers)?.into(), true)
    }

    /// All axes become one; in `channels_first` the first is moved last before, as Keras does.
    ///
    /// # Errors
    /// For a name that there is already.
    pub fn flatten(&mut self, name: &str, channels_first: bool) -> Result<()> {
        let data_format = if channels_first { DataFormat::ChannelsFirst } else { DataFormat::ChannelsLast };
        self.add(name, Flatten { data_format }.into(), true)
    }

    /// Another shape for the same elements.
    ///
    /// # Errors
    /// Where it holds more or fewer.
    pub fn reshape(&mut self, name: &str, shape: &[u32]) -> Result<()> {
        self.add(name, Reshape(shape.iter().map(|&size| size as usize).collect()).into(), true)
    }

    /// The program from the input to the output, and to those layers' outputs that `keep` names, one on each line.
    ///
    /// # Errors
    /// For a name that computes nothing of its own.
    pub fn forward(&self, keep: &str) -> Result<Vec<u8>> {
        program::write(&program::keeping(self.whole().forward(), keep)?)
    }

    /// The program of all gradients.
    ///
    /// # Errors
    /// None.
    pub fn backward(&self) -> Result<Vec<u8>> {
        program::write(&self.whole().backward(Wanted::All))
    }

    /// Shape of a layer's kernel as Keras stores it.
    ///
    /// # Errors
    /// For a layer without one.
    #[wasm_bindgen(js_name = kernelShape)]
    pub fn kernel_shape(&self, layer: &str) -> Result<Vec<u32>> {
        let (layout, geometry) = self.layout(layer)?;
        Ok(layout.shape(geometry).into_iter().map(|size| size as u32).collect())
    }

    /// Shape of a layer's bias; empty where it has none.
    ///
    /// # Errors
    /// For another layer.
    #[wasm_bindgen(js_name = biasShape)]
    pub fn bias_shape(&self, layer: &str) -> Result<Vec<u32>> {
        let shape = self.layout(layer)?.1.bias_shape().unwrap_or_default();
        Ok(shape.into_iter().map(|size| size as u32).collect())
    }

    /// A kernel in the layout of the layer's implementation to the order that programs take.
    ///
    /// # Errors
    /// Where it has another length.
    #[wasm_bindgen(js_name = toCanonical)]
    pub fn to_canonical(&self, layer: &str, weight: &str, kernel: &[f32]) -> Result<Vec<f32>> {
        if weight != "kernel" {
            return Ok(kernel.to_vec());
        }
        let (layout, geometry) = self.layout(layer)?;
        layout.to_canonical(geometry, kernel).map_err(of_library)
    }

    /// Weights, or their gradients, in the layer's layout again.
    ///
    /// # Errors
    /// Where there are more or fewer.
    #[wasm_bindgen(js_name = fromCanonical)]
    pub fn from_canonical(&self, layer: &str, weight: &str, weights: &[f32]) -> Result<Vec<f32>> {
        if weight != "kernel" {
            return Ok(weights.to_vec());
        }
        let (layout, geometry) = self.layout(layer)?;
        layout.from_canonical(geometry, weights).map_err(of_library)
    }

    fn layout(&self, layer: &str) -> Result<(KerasLayout, &Geometry)> {
        let found = self.layouts.iter().find(|(name, ..)| name == layer);
        let found = found.map(|(_, layout, geometry)| (*layout, &**geometry));
        found.ok_or_else(|| thrown("internal", format!("no weights in layer {layer:?}")))
    }

    fn add(&mut self, name: &str, kind: Kind, trainable: bool) -> Result<()> {
        let layer = Layer::new(kind).named(name).trainable(trainable);
        self.last = self.graph.add(layer, &[self.last]).map_err(of_library)?;
        Ok(())
    }

    /// The graph with what the last layer gives as its output.
    fn whole(&self) -> Graph {
        let mut graph = self.graph.clone();
        graph.output(self.last);
        graph
    }
}

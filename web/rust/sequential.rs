//! Layers one after another, put together in JavaScript.

use crate::config::{LayerConfig, activation};
use crate::error::{Result, of_library, thrown};
use crate::program;
use locally_connected::model::{Chain, Kind, Layer, Wanted};
use locally_connected::{Error, Geometry, KerasLayout};
use std::sync::Arc;
use wasm_bindgen::prelude::wasm_bindgen;

/// A model of layers one after another; one layer alone, too.
#[wasm_bindgen]
pub struct SequentialModel {
    chain: Chain,
    /// Of what the last layer gives.
    shape: Vec<usize>,
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
        let shape: Vec<usize> = input_shape.iter().map(|&size| size as usize).collect();
        if let Some(axis) = shape.iter().position(|&size| size == 0) {
            return Err(of_library(Error::InputAxis { axis, shape }));
        }
        let inputs = shape.iter().try_fold(1u64, |all, &size| all.checked_mul(size as u64));
        let inputs = inputs.filter(|&inputs| inputs < u32::MAX.into()).ok_or_else(|| {
            let what = "the number of elements of one input sample";
            let value = shape.iter().fold(1u128, |all, &size| all.saturating_mul(size as u128));
            of_library(Error::TooLarge { what, value, limit: u64::from(u32::MAX) - 1 })
        })?;
        Ok(Self { chain: Chain { inputs, layers: Vec::new() }, shape, layouts: Vec::new() })
    }

    /// Shape of one output sample so far.
    #[must_use]
    pub fn shape(&self) -> Vec<u32> {
        self.shape.iter().map(|&size| size as u32).collect()
    }

    /// Adds a locally connected layer.
    ///
    /// # Errors
    /// Where it doesn't take the shape so far, and whatever Keras refuses, too.
    pub fn local(&mut self, name: &str, config: &LayerConfig) -> Result<()> {
        let geometry = Arc::new(Geometry::new(&config.config, &self.shape).map_err(of_library)?);
        config.layout.check(&geometry).map_err(of_library)?;
        self.add(name, Kind::Local { geometry: geometry.clone(), trainable: config.trainable })?;
        self.shape = geometry.output_shape();
        self.layouts.push((name.to_owned(), config.layout, geometry));
        Ok(())
    }

    /// Adds an activation; softmax is over the last axis.
    ///
    /// # Errors
    /// For a name that isn't Keras's.
    pub fn activation(&mut self, name: &str, of: &str, numbers: &[f32]) -> Result<()> {
        let row = self.shape.last().map_or(1, |&size| size as u64);
        self.add(name, Kind::Activation { activation: activation(of, numbers)?, row })
    }

    /// All axes become one; in `channels_first` the first is moved last before, as Keras does.
    ///
    /// # Errors
    /// For a name that there is already.
    pub fn flatten(&mut self, name: &str, channels_first: bool) -> Result<()> {
        let rows = self.shape.first().map_or(1, |&size| size as u64);
        let columns = self.shape.iter().skip(1).map(|&size| size as u64).product();
        if channels_first && rows > 1 && columns > 1 {
            self.add(name, Kind::Transpose { rows, columns })?;
        }
        self.shape = vec![self.shape.iter().product()];
        Ok(())
    }

    /// Another shape for the same elements.
    ///
    /// # Errors
    /// Where it holds more or fewer.
    pub fn reshape(&mut self, shape: &[u32]) -> Result<()> {
        let target: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
        if target.iter().product::<usize>() != self.shape.iter().product::<usize>() {
            let (what, expected) =
                ("the target of a Reshape".to_owned(), format!("as many elements as {:?}", self.shape));
            return Err(of_library(Error::Shape { what, expected, found: target }));
        }
        self.shape = target;
        Ok(())
    }

    /// The program from the input to the output, and to those layers' outputs that `keep` names, one on each line.
    ///
    /// # Errors
    /// For a name that computes nothing of its own.
    pub fn forward(&self, keep: &str) -> Result<Vec<u8>> {
        program::write(&program::keeping(self.chain.forward(), keep)?)
    }

    /// The program of all gradients.
    ///
    /// # Errors
    /// None.
    pub fn backward(&self) -> Result<Vec<u8>> {
        program::write(&self.chain.backward(Wanted::All))
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
    pub fn to_canonical(&self, layer: &str, kernel: &[f32]) -> Result<Vec<f32>> {
        let (layout, geometry) = self.layout(layer)?;
        layout.to_canonical(geometry, kernel).map_err(of_library)
    }

    /// Weights, or their gradients, in the layer's layout again.
    ///
    /// # Errors
    /// Where there are more or fewer.
    #[wasm_bindgen(js_name = fromCanonical)]
    pub fn from_canonical(&self, layer: &str, weights: &[f32]) -> Result<Vec<f32>> {
        let (layout, geometry) = self.layout(layer)?;
        layout.from_canonical(geometry, weights).map_err(of_library)
    }

    fn layout(&self, layer: &str) -> Result<(KerasLayout, &Geometry)> {
        let found = self.layouts.iter().find(|(name, ..)| name == layer);
        let found = found.map(|(_, layout, geometry)| (*layout, &**geometry));
        found.ok_or_else(|| thrown("internal", format!("no weights in layer {layer:?}")))
    }

    fn add(&mut self, name: &str, kind: Kind) -> Result<()> {
        if self.chain.layers.iter().any(|layer| layer.name == name) {
            return Err(thrown("argument", format!("two layers have the name {name:?}")));
        }
        self.chain.layers.push(Layer { name: name.to_owned(), kind });
        Ok(())
    }
}

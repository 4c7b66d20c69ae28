//! One locally connected layer alone, put together in JavaScript.

use crate::config::{LayerConfig, sizes};
use crate::error::{Result, of_library, thrown};
use crate::program::Program;
use locally_connected::model::{layer_forward, layer_gradients, layer_names};
use locally_connected::{Geometry, KerasLayout};
use std::sync::Arc;
use wasm_bindgen::prelude::wasm_bindgen;

/// A layer: its programs, whose parameters have the names `weights` and `bias`, and Keras's layout of its arrays.
#[wasm_bindgen]
pub struct LayerModel {
    geometry: Arc<Geometry>,
    layout: KerasLayout,
}

#[wasm_bindgen]
impl LayerModel {
    /// # Errors
    /// Where it doesn't take the shape, and whatever Keras refuses, too.
    #[wasm_bindgen(constructor)]
    pub fn new(config: &LayerConfig, input_shape: &[u32]) -> Result<Self> {
        let geometry = Arc::new(Geometry::new(&config.config, &sizes(input_shape)).map_err(of_library)?);
        config.layout.check(&geometry).map_err(of_library)?;
        Ok(Self { geometry, layout: config.layout })
    }

    /// Shape of one output sample.
    #[must_use]
    pub fn shape(&self) -> Vec<u32> {
        numbers(&self.geometry.output_shape())
    }

    /// The program from the input to the output.
    ///
    /// # Errors
    /// For layers to keep, which a layer alone has none of.
    pub fn forward(&self, keep: &str) -> Result<Program> {
        if !keep.is_empty() {
            return Err(thrown("internal", "a layer alone has no others"));
        }
        Ok(layer_forward(&self.geometry, false).into())
    }

    /// The program of all gradients.
    #[must_use]
    pub fn backward(&self) -> Program {
        layer_gradients(&self.geometry).into()
    }

    /// Shape of the kernel as Keras stores it.
    #[must_use]
    #[wasm_bindgen(js_name = kernelShape)]
    pub fn kernel_shape(&self) -> Vec<u32> {
        numbers(&self.layout.shape(&self.geometry))
    }

    /// Shape of the bias; none without one.
    #[must_use]
    #[wasm_bindgen(js_name = biasShape)]
    pub fn bias_shape(&self) -> Option<Vec<u32>> {
        self.geometry.bias_shape().as_deref().map(numbers)
    }

    /// An array as Keras stores it to the order that programs take.
    ///
    /// # Errors
    /// Where it has another length.
    #[wasm_bindgen(js_name = toCanonical)]
    pub fn to_canonical(&self, _layer: &str, weight: &str, values: Vec<f32>) -> Result<Vec<f32>> {
        // The bias lies as Keras has it.
        if weight != "kernel" {
            return Ok(values);
        }
        self.layout.to_canonical(&self.geometry, &values).map_err(of_library)
    }

    /// An array, or its gradient, as Keras stores it.
    ///
    /// # Errors
    /// Where it has another length.
    #[wasm_bindgen(js_name = fromCanonical)]
    pub fn from_canonical(&self, _layer: &str, weight: &str, values: Vec<f32>) -> Result<Vec<f32>> {
        if weight != "kernel" {
            return Ok(values);
        }
        self.layout.from_canonical(&self.geometry, &values).map_err(of_library)
    }

    /// The programs' names of the weights and their gradient.
    #[must_use]
    #[wasm_bindgen(js_name = kernelNames)]
    pub fn kernel_names() -> Vec<String> {
        [layer_names::WEIGHTS, layer_names::GRAD_WEIGHTS].map(str::to_owned).into()
    }

    /// The programs' names of the bias and its gradient.
    #[must_use]
    #[wasm_bindgen(js_name = biasNames)]
    pub fn bias_names() -> Vec<String> {
        [layer_names::BIAS, layer_names::GRAD_BIAS].map(str::to_owned).into()
    }
}

fn numbers(shape: &[usize]) -> Vec<u32> {
    shape.iter().map(|&size| size as u32).collect()
}

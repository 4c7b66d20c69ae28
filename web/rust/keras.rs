//! Keras's files: what is read, as a model that runs, and what is written.

use crate::error::{Result, kind, of_library, thrown};
use crate::program;
use locally_connected::model::{Model, Wanted};
use locally_connected_keras::{Error, FileFormat, FileLayer, ModelFile};
use serde_json::{Value, json};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

fn of_keras(error: Error) -> JsValue {
    let kind = match &error {
        Error::Core(error) => kind(error),
        Error::UnsupportedLayers(_) | Error::NotAChain(_) => "unsupported",
        _ => "file",
    };
    thrown(kind, error)
}

/// A model's file.
#[wasm_bindgen]
pub struct KerasModel {
    file: ModelFile,
    /// Its parameters are taken as they are uploaded.
    model: Model,
}

#[wasm_bindgen]
impl KerasModel {
    /// Reads `bytes`; `name` stands for them in errors, and its ending tells what the first bytes don't.
    ///
    /// # Errors
    /// For what is no model, or none that runs here.
    pub fn read(bytes: &[u8], name: &str) -> Result<Self> {
        let format = FileFormat::from_path(name).unwrap_or(FileFormat::Safetensors);
        let file = ModelFile::from_bytes(name, bytes, format).map_err(of_keras)?;
        let model = file.model(None).map_err(of_keras)?;
        Ok(Self { file, model })
    }

    /// Names, shapes and Keras's own configs, in JSON.
    #[must_use]
    pub fn describe(&self) -> String {
        let layers: Vec<Value> = self.file.layers.iter().map(layer).collect();
        json!({
            "name": self.file.name,
            "kerasVersion": self.file.keras_version(),
            "inputShape": self.model.input_shape,
            "outputShape": self.model.output_shape,
            "layers": layers,
        })
        .to_string()
    }

    /// The program from the input to the output, and to those layers' outputs that `keep` names, one on each line.
    ///
    /// # Errors
    /// For a name that computes nothing of its own.
    pub fn forward(&self, keep: &str) -> Result<Vec<u8>> {
        program::write(&program::keeping(self.model.chain.forward(), keep)?)
    }

    /// The program of all gradients.
    ///
    /// # Errors
    /// None.
    pub fn backward(&self) -> Result<Vec<u8>> {
        program::write(&self.model.chain.backward(Wanted::All))
    }

    /// The names of the parameters, in JSON.
    #[must_use]
    pub fn parameters(&self) -> String {
        let names: Vec<&str> = self.model.parameters.keys().map(String::as_str).collect();
        json!(names).to_string()
    }

    /// A parameter's values, which are gone then: they are kept once, by whatever runs the model.
    ///
    /// # Errors
    /// For a name that there isn't, or no longer.
    #[wasm_bindgen(js_name = takeParameter)]
    pub fn take_parameter(&mut self, name: &str) -> Result<Vec<f32>> {
        let values = self.model.parameters.get_mut(name).map(std::mem::take);
        values.ok_or_else(|| thrown("internal", format!("there is no parameter {name:?}")))
    }

    /// A layer's weights as Keras stores them, of the programs' parameter or gradient `kernel`.
    ///
    /// # Errors
    /// For another layer or length.
    #[wasm_bindgen(js_name = fromCanonical)]
    pub fn from_canonical(&self, layer: &str, weights: &[f32]) -> Result<Vec<f32>> {
        let local = self.local(layer)?;
        local.layout.from_canonical(&local.geometry, weights).map_err(of_library)
    }

    /// The programs' order of a layer's kernel.
    ///
    /// # Errors
    /// For another layer or length.
    #[wasm_bindgen(js_name = toCanonical)]
    pub fn to_canonical(&self, layer: &str, kernel: &[f32]) -> Result<Vec<f32>> {
        let local = self.local(layer)?;
        local.layout.to_canonical(&local.geometry, kernel).map_err(of_library)
    }

    /// Replaces the weights that will be written.
    ///
    /// # Errors
    /// For another layer.
    #[wasm_bindgen(js_name = setWeights)]
    pub fn set_weights(&mut self, layer: &str, kernel: Vec<f32>, bias: Option<Vec<f32>>) -> Result<()> {
        let mut locals = self.file.locals_mut();
        let found = locals.find(|(name, _)| *name == layer).map(|(_, local)| local);
        let local = found.ok_or_else(|| thrown("internal", format!("no weights in layer {layer:?}")))?;
        (local.kernel, local.bias) = (kernel, bias);
        local.check().map_err(of_library)
    }

    /// The bytes of a file: `h5`, `keras`, `safetensors` or `npz`.
    ///
    /// # Errors
    /// For what a format can't express.
    pub fn write(&self, format: &str) -> Result<Vec<u8>> {
        let unknown =
            |_| thrown("argument", format!("`format` must be one of h5, keras, safetensors, npz, but is {format:?}"));
        let format = FileFormat::from_path(format!("model.{format}")).map_err(unknown)?;
        self.file.to_bytes(format).map_err(of_keras)
    }

    fn local(&self, layer: &str) -> Result<&locally_connected_keras::Local> {
        let local = self.file.layer(layer).and_then(FileLayer::local);
        local.ok_or_else(|| thrown("internal", format!("no weights in layer {layer:?}")))
    }
}

fn layer(layer: &FileLayer) -> Value {
    let local = layer.local();
    json!({
        "name": layer.name,
        "className": layer.class_name,
        "config": layer.config,
        "inputShape": layer.input_shape,
        "outputShape": layer.output_shape,
        "trainable": local.is_none_or(|local| local.trainable),
        "kernelShape": local.map(|local| local.kernel_shape()),
        "biasShape": local.and_then(|local| local.geometry.bias_shape()),
        "parameters": local.map_or(0, |local| local.kernel.len() + local.bias.as_ref().map_or(0, Vec::len)),
    })
}

//! Keras's files: what is read, as a model's graph and parameters, and what is written.

use crate::error::{Result, of_keras, thrown};
use locally_connected::model::{End, Model};
use locally_connected_keras::{FileFormat, FileLayer, LayerKind, ModelFile, ReadOptions};
use serde_json::{Value, json};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// A model's file.
#[wasm_bindgen]
pub struct KerasModel {
    file: ModelFile,
    /// Its parameters are taken as they are uploaded.
    model: Model,
}

#[wasm_bindgen]
impl KerasModel {
    /// Reads `bytes`, weights alone with the `architecture` that they are of; `name` stands for them in errors, and its ending tells what the first bytes don't.
    ///
    /// # Errors
    /// For what is no model, or none that runs here.
    pub fn read(bytes: &[u8], name: &str, architecture: Option<String>) -> Result<Self> {
        let format = FileFormat::from_path(name).unwrap_or(FileFormat::Safetensors);
        let options = ReadOptions { architecture, without_optimizer: true, ..ReadOptions::default() };
        let file = ModelFile::from_bytes_with(name, bytes, format, &options).map_err(of_keras)?;
        let model = file.model(None).map_err(of_keras)?;
        Ok(Self { file, model })
    }

    /// Names, shapes and Keras's own configs, in JSON.
    #[must_use]
    pub fn describe(&self) -> String {
        let layers: Vec<Value> =
            self.file.all_layers().filter(|one| one.inner.is_empty()).map(|one| self.layer(one)).collect();
        json!({
            "name": self.file.name,
            "kerasVersion": self.file.keras_version(),
            "inputs": ends(&self.model.graph.inputs()),
            "outputs": ends(&self.model.graph.outputs()),
            "layers": layers,
        })
        .to_string()
    }

    /// The model's graph, for the module that plans and trains it (`GraphModel`).
    ///
    /// # Errors
    /// None.
    pub fn graph(&self) -> Result<Vec<u8>> {
        postcard::to_allocvec(&self.model.graph).map_err(|_| crate::error::unwritten())
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

    /// An array as it was read or last replaced: of a layer that isn't `computed`, whose arrays nobody else has.
    ///
    /// # Errors
    /// For another layer or array.
    pub fn weight(&self, layer: &str, weight: &str) -> Result<Vec<f32>> {
        let found = self.file.all_layers().find(|known| known.name == layer);
        let values = found.and_then(|layer| layer.weights_by_name().find(|(name, _)| *name == weight));
        values.map(|(_, values)| values.to_vec()).ok_or_else(|| missing(layer))
    }

    /// Replaces an array that will be written.
    ///
    /// # Errors
    /// For another layer.
    #[wasm_bindgen(js_name = setWeight)]
    pub fn set_weight(&mut self, layer: &str, weight: &str, values: Vec<f32>) -> Result<()> {
        let found = find(&mut self.file.layers, layer);
        match (found.map(|layer| &mut layer.kind), weight) {
            (Some(LayerKind::LocallyConnected(local)), "kernel") => local.kernel = values,
            (Some(LayerKind::LocallyConnected(local)), _) => local.bias = Some(values),
            (Some(LayerKind::Computed(computed)), _) => {
                let found = computed.weights.iter_mut().find(|one| one.name == weight);
                found.ok_or_else(|| missing(layer))?.values = values;
            }
            _ => return Err(missing(layer)),
        }
        Ok(())
    }

    /// What a file of the format `h5`, `keras`, `safetensors` or `npz` holds, for the module that makes its bytes (`save.rs`).
    ///
    /// # Errors
    /// For what a format can't express.
    pub fn parts(&self, format: &str) -> Result<Vec<u8>> {
        let unknown =
            |_| thrown("argument", format!("`format` must be one of h5, keras, safetensors, npz, but is {format:?}"));
        let format = FileFormat::from_path(format!("model.{format}")).map_err(unknown)?;
        let parts = self.file.parts(format).map_err(of_keras)?;
        postcard::to_allocvec(&parts).map_err(|_| crate::error::unwritten())
    }

    fn layer(&self, layer: &FileLayer) -> Value {
        let weights: Vec<Value> = match &layer.kind {
            LayerKind::LocallyConnected(local) => {
                let bias = local.geometry.bias_shape().map(|shape| json!({ "name": "bias", "shape": shape }));
                [json!({ "name": "kernel", "shape": local.kernel_shape() })].into_iter().chain(bias).collect()
            }
            LayerKind::Computed(computed) => {
                let weights = computed.weights.iter();
                weights.map(|weight| json!({ "name": weight.name, "shape": weight.shape })).collect()
            }
            _ => Vec::new(),
        };
        // What of it the programs' backward pass computes.
        let known = self.model.graph.layers().iter().find(|known| known.name() == layer.name);
        let trained = known.filter(|known| known.is_trainable());
        let learned = trained.map_or(Vec::new(), |known| {
            known.parameters().iter().filter(|one| one.learned).map(|one| one.name).collect()
        });
        json!({
            "name": layer.name,
            "className": layer.class_name,
            "config": layer.config,
            "inputShape": layer.input_shape,
            "outputShape": layer.output_shape,
            "trainable": layer.config.get("trainable").and_then(Value::as_bool).unwrap_or(true),
            "weights": weights,
            "learned": learned,
            // Not of layers that no output depends on.
            "computed": known.is_some(),
        })
    }
}

/// Names and shapes of inputs or outputs.
fn ends(ends: &[End<'_>]) -> Vec<Value> {
    ends.iter().map(|end| json!({ "name": end.name, "shape": end.shape })).collect()
}

fn missing(layer: &str) -> JsValue {
    thrown("internal", format!("no weights in layer {layer:?}"))
}

fn find<'a>(layers: &'a mut [FileLayer], name: &str) -> Option<&'a mut FileLayer> {
    for layer in layers {
        if layer.name == name {
            return Some(layer);
        }
        if let Some(inner) = find(&mut layer.inner, name) {
            return Some(inner);
        }
    }
    None
}

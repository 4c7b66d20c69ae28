//! A model that is all there: put together in JavaScript, or of a file.

use crate::error::{Result, of_library, thrown};
use crate::goals::Compile;
use crate::program::{self, Program};
use crate::training::Training;
use locally_connected::model::{Graph, Stored, Wanted};
use wasm_bindgen::prelude::wasm_bindgen;

/// A model's layers and how they are connected.
#[wasm_bindgen]
pub struct GraphModel {
    pub(crate) graph: Graph,
}

#[wasm_bindgen]
impl GraphModel {
    /// The model whose graph the module with Keras's files has read.
    ///
    /// # Errors
    /// For bytes of a module of another build.
    pub fn read(graph: &[u8]) -> Result<Self> {
        let graph = postcard::from_bytes(graph).map_err(|_| crate::error::of_another_build("a model"))?;
        Ok(Self { graph })
    }

    /// The program from the inputs to the outputs, and to those layers' outputs that `keep` names, one on each line.
    ///
    /// # Errors
    /// For a name that computes nothing of its own.
    pub fn forward(&self, keep: &str) -> Result<Program> {
        Ok(program::keeping(self.graph.clone(), keep)?.forward().into())
    }

    /// The program of all gradients.
    #[must_use]
    pub fn backward(&self) -> Program {
        self.graph.backward(Wanted::All).into()
    }

    /// What it is to be trained by.
    ///
    /// # Errors
    /// For what can't be trained so.
    pub fn training(&self, compile: &Compile) -> Result<Training> {
        compile.of(&self.graph).map(Training::from).map_err(of_library)
    }

    /// An array as Keras stores it to the order that programs take.
    ///
    /// # Errors
    /// Where it has another length.
    #[wasm_bindgen(js_name = toCanonical)]
    pub fn to_canonical(&self, layer: &str, weight: &str, values: &[f32]) -> Result<Vec<f32>> {
        stored(&self.graph, layer, weight)?.to_canonical(values).map_err(of_library)
    }

    /// Weights, or their gradients, as Keras stores them.
    ///
    /// # Errors
    /// As [`GraphModel::to_canonical`].
    #[wasm_bindgen(js_name = fromCanonical)]
    pub fn from_canonical(&self, layer: &str, weight: &str, values: &[f32]) -> Result<Vec<f32>> {
        stored(&self.graph, layer, weight)?.from_canonical(values).map_err(of_library)
    }
}

/// How Keras stores an array of a layer.
pub(crate) fn stored(graph: &Graph, layer: &str, weight: &str) -> Result<Stored> {
    let found = graph.layers().iter().find(|known| known.name() == layer);
    let at = found.and_then(|known| known.parameters().iter().position(|one| one.name == weight));
    let stored = at.and_then(|at| graph.stored(layer)?.into_iter().nth(at));
    stored.ok_or_else(|| thrown("internal", format!("no array {weight} in layer {layer}")))
}

//! Programs as JavaScript holds them, and as they pass from one module to another, all being of one build.

use crate::error::Result;
#[cfg(feature = "train")]
use crate::error::thrown;
#[cfg(feature = "train")]
use locally_connected::model::Graph;
use locally_connected::program as library;
#[cfg(feature = "core")]
use {std::sync::Arc, wasm_bindgen::prelude::wasm_bindgen};

/// A program of the module that plans it. The CPU executor, which is a module of its own, is given its bytes.
#[cfg(feature = "core")]
#[wasm_bindgen]
pub struct Program {
    pub(crate) program: Arc<library::Program>,
}

#[cfg(feature = "core")]
#[wasm_bindgen]
impl Program {
    /// What the CPU executor reads.
    ///
    /// # Errors
    /// None.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        postcard::to_allocvec(&*self.program).map_err(|_| crate::error::unwritten())
    }
}

#[cfg(feature = "core")]
impl From<library::Program> for Program {
    fn from(program: library::Program) -> Self {
        Self { program: Arc::new(program) }
    }
}

#[cfg(any(feature = "cpu", test))]
pub(crate) fn read(program: &[u8]) -> Result<library::Program> {
    postcard::from_bytes(program).map_err(|_| crate::error::of_another_build("a program"))
}

/// The graph with what these layers give, a name on each line, as outputs of their names besides its own.
#[cfg(feature = "train")]
pub(crate) fn keeping(mut graph: Graph, layers: &str) -> Result<Graph> {
    for layer in layers.lines() {
        let why = || thrown("argument", format!("no layer \"{layer}\" of this model computes anything"));
        let node = graph.call_named(layer).ok_or_else(why)?;
        if graph.outputs().iter().all(|output| output.name != layer) {
            graph.named_output(layer, node);
        }
    }
    Ok(graph)
}

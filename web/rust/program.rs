//! Programs as they pass from one module to another, all being of one build.

use crate::error::{Result, thrown};
#[cfg(feature = "training")]
use locally_connected::model::Graph;
use locally_connected::program::Program;

pub(crate) fn read(program: &[u8]) -> Result<Program> {
    postcard::from_bytes(program).map_err(|error| thrown("internal", format!("a program of another build: {error}")))
}

#[cfg(any(feature = "core", feature = "keras"))]
pub(crate) fn write(program: &Program) -> Result<Vec<u8>> {
    postcard::to_allocvec(program).map_err(|error| thrown("internal", error))
}

/// The graph with what these layers give, a name on each line, as outputs of their names besides its own.
#[cfg(feature = "training")]
pub(crate) fn keeping(mut graph: Graph, layers: &str) -> Result<Graph> {
    for layer in layers.lines() {
        let why = || thrown("argument", format!("no layer {layer:?} of this model computes anything"));
        let node = graph.call_named(layer).ok_or_else(why)?;
        if graph.outputs().iter().all(|output| output.name != layer) {
            graph.named_output(layer, node);
        }
    }
    Ok(graph)
}

//! A graph as it is written down: what was added to it, without what follows from that.

use super::graph::{Graph, Node, Output, Step};
use super::layers::Layer;
use crate::config::{Implementation, implementation};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The layers in the order of their first calls, all values in theirs, and which of these are outputs.
#[derive(Serialize, Deserialize)]
pub(super) struct Written {
    layers: Vec<Layer>,
    steps: Vec<WrittenStep>,
    outputs: Vec<(String, Node)>,
}

/// Where a value comes from.
#[derive(Serialize, Deserialize)]
enum WrittenStep {
    Input { name: String, shape: Vec<usize> },
    Call { layer: usize, inputs: Vec<Node>, executed: Vec<Executed> },
}

/// What executes a layer's windows: [`Graph::with_implementation`] may have changed it.
#[derive(Serialize, Deserialize)]
struct Executed(#[serde(with = "implementation")] Option<Implementation>);

impl From<Graph> for Written {
    fn from(graph: Graph) -> Self {
        let written = |Step { name, layer, inputs, built }| match layer {
            None => WrittenStep::Input { name, shape: built.shape },
            Some(layer) => {
                let geometries = built.geometries.iter();
                let executed = geometries.map(|geometry| Executed(geometry.config().implementation)).collect();
                WrittenStep::Call { layer, inputs, executed }
            }
        };
        Self {
            layers: graph.layers.into_iter().map(Layer::from).collect(),
            steps: graph.steps.into_iter().map(written).collect(),
            outputs: graph.outputs.into_iter().map(|Output { name, node }| (name, node)).collect(),
        }
    }
}

impl TryFrom<Written> for Graph {
    type Error = Error;

    fn try_from(Written { layers, steps, outputs }: Written) -> Result<Self> {
        let (mut graph, mut layers, mut called) = (Self::new(), layers.into_iter(), Vec::new());
        for step in steps {
            let (layer, inputs, executed) = match step {
                WrittenStep::Input { name, shape } => {
                    graph.named_input(name, shape)?;
                    continue;
                }
                WrittenStep::Call { layer, inputs, executed } => (layer, inputs, executed),
            };
            if let Some(&like) = called.get(layer) {
                graph.call(like, &inputs)?;
            } else {
                let missing = Error::Missing { what: "a layer", why: "one is called that isn't there" };
                called.push(graph.add(layers.next().ok_or(missing)?, &inputs)?);
            }
            let geometries = graph.steps.last_mut().map(|step| &mut step.built.geometries);
            for (geometry, Executed(by)) in geometries.into_iter().flatten().zip(executed) {
                if geometry.config().implementation != by {
                    *geometry = Arc::new(geometry.with_implementation(by));
                }
            }
        }
        outputs.iter().for_each(|(name, node)| graph.named_output(name, *node));
        Ok(graph)
    }
}

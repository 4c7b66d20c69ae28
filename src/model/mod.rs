//! Layers one after another, the programs that they make, and a model that is made of them.

mod chain;
mod local;

pub use chain::{Chain, Kind, Layer, Wanted, names};
pub use local::{Gradients, layer_backward, layer_forward, layer_names};
#[cfg(feature = "gpu")]
pub(crate) use local::{transposed_backward, transposed_forward};

use crate::config::Implementation;
use crate::{Error, Result};
use std::collections::BTreeMap;

/// A model as it runs: its layers and their parameters, whatever file or code it came from and whatever runs it.
///
/// Shapes are those of one sample, without the batch. A layer that only gives values another shape is none of the
/// [`Chain`]'s, so that the chain alone doesn't say them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Model {
    /// What is computed.
    pub chain: Chain,
    /// By [`names::weights`] and [`names::bias`]: weights in the canonical order, biases in Keras's.
    pub parameters: BTreeMap<String, Vec<f32>>,
    /// Shape of one input sample.
    pub input_shape: Vec<usize>,
    /// Shape of one output sample.
    pub output_shape: Vec<usize>,
}

impl Model {
    /// Whether there is something to run on.
    ///
    /// # Errors
    /// [`Error::NotPositive`] for a model of no inputs.
    pub fn check(&self) -> Result<()> {
        if self.chain.inputs == 0 { Err(Error::NotPositive { argument: "inputs", value: 0 }) } else { Ok(()) }
    }

    /// The same model with all locally connected layers executed by one implementation, or as the planner likes.
    #[must_use]
    pub fn with_implementation(self, implementation: impl Into<Option<Implementation>>) -> Self {
        Self { chain: self.chain.with_implementation(implementation), ..self }
    }
}

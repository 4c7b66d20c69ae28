//! What a file holds of how a model was compiled.

use serde_json::Value;
use std::collections::BTreeMap;

/// The slot of a parameter's moving average.
pub const AVERAGE: &str = "average";

/// What Keras's `compile` was told, and the state that the optimizer was in when the file was written.
///
/// The dictionary is Keras's own, whatever is in it: a loss of the user's own is kept, and refused when it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// The arguments of `compile` as `.keras` files have them: `optimizer`, `loss`, `metrics`, `weighted_metrics`, `loss_weights`.
    pub config: Value,
    /// The optimizer's own variables; none where the file has none, or such as aren't read.
    pub state: Option<OptimizerState>,
    /// What of it the file has and isn't kept, in words.
    pub lost: Vec<String>,
}

/// How far an optimizer has come.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OptimizerState {
    /// Steps done.
    pub iterations: u64,
    /// What is kept of each parameter, by [`names::state`](locally_connected::model::names::state): the layer's, the weight's and the slot's name (`m`, `v`, `vhat`, `velocity`,
    /// `momentum`, `average_gradient`, [`AVERAGE`]). It lies as the parameter does in programs.
    pub slots: BTreeMap<String, Vec<f32>>,
}

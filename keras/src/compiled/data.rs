//! What a file holds about how its model was compiled.

use serde_json::Value;
use std::collections::BTreeMap;

/// The slot of a parameter's moving average.
pub const AVERAGE: &str = "average";

/// The arguments of Keras's `compile`, and the state of the optimizer when the file was written.
///
/// The dictionary is kept as Keras wrote it. A user's own loss is kept, too, and refused only when it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// The arguments of `compile` as `.keras` files have them: `optimizer`, `loss`, `metrics`, `weighted_metrics`, `loss_weights`.
    pub config: Value,
    /// The optimizer's own variables; none if the file has none, or has some that aren't read.
    pub state: Option<OptimizerState>,
    /// What was in the file and isn't kept, in words.
    pub lost: Vec<String>,
}

/// The state of an optimizer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OptimizerState {
    /// Steps done.
    pub iterations: u64,
    /// The optimizer's values for each parameter, laid out as the parameter is in programs, by
    /// [`names::state`](locally_connected::model::names::state): the names of the layer, the weight and the slot (`m`,
    /// `v`, `vhat`, `velocity`, `momentum`, `average_gradient`, [`AVERAGE`]).
    pub slots: BTreeMap<String, Vec<f32>>,
}

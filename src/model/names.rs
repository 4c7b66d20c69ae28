//! Names of the buffers of a graph's programs.
//!
//! A graph of one input and one output has them under the names of the constants. Of several inputs each is
//! `input/<name>`, of several outputs each `output/<name>`, and their gradients likewise.

use crate::program::Program;

/// The input.
pub const INPUT: &str = "input";
/// The output.
pub const OUTPUT: &str = "output";
/// The gradient of the loss by the output.
pub const GRAD_OUTPUT: &str = "grad_output";
/// The gradient of the loss by the input.
pub const GRAD_INPUT: &str = "grad_input";

/// What is wanted of an output.
pub const TARGET: &str = "target";
/// What each sample's loss is multiplied by.
pub const SAMPLE_WEIGHT: &str = "sample_weight";
/// The sum of the samples' losses.
pub const LOSS: &str = "loss";
/// What parameters add to the loss.
pub const PENALTIES: &str = "penalties";
/// What activated outputs add to the loss, divided by the batch.
pub const ACTIVITY: &str = "activity";
/// The numbers of a training step, where a program reads any.
pub const STEP: &str = Program::STEP;

/// What an optimizer keeps of a layer's parameter.
#[must_use]
pub fn state(layer: &str, weight: &str, slot: &str) -> String {
    format!("{layer}/{weight}/{slot}")
}

/// The sum of what a metric counts of the samples.
#[must_use]
pub fn metric(name: &str) -> String {
    format!("metric/{name}")
}

/// A layer's parameter, by Keras's name of it: `kernel`, `bias`, `gamma`, ….
#[must_use]
pub fn parameter(layer: &str, weight: &str) -> String {
    format!("{layer}/{weight}")
}

/// The gradient of the loss by a layer's parameter.
#[must_use]
pub fn gradient(layer: &str, weight: &str) -> String {
    format!("{layer}/grad_{weight}")
}

/// What is one of several.
#[cfg(feature = "models")]
pub(super) fn of_several(what: &str, name: &str, several: bool) -> String {
    if several { format!("{what}/{name}") } else { what.to_owned() }
}

//! Names of the buffers of a graph's programs.
//!
//! A graph with one input and one output uses the constants as names. With several inputs each is `input/<name>`, with
//! several outputs each is `output/<name>`; their gradients likewise.

use crate::program::Program;

/// The input.
pub const INPUT: &str = "input";
/// The output.
pub const OUTPUT: &str = "output";
/// The gradient of the loss by the output.
pub const GRAD_OUTPUT: &str = "grad_output";
/// The gradient of the loss by the input.
pub const GRAD_INPUT: &str = "grad_input";

/// The target of an output.
pub const TARGET: &str = "target";
/// The weight of each sample's loss.
pub const SAMPLE_WEIGHT: &str = "sample_weight";
/// The sum of the samples' losses.
pub const LOSS: &str = "loss";
/// What parameters add to the loss.
pub const PENALTIES: &str = "penalties";
/// What activated outputs add to the loss, divided by the batch.
pub const ACTIVITY: &str = "activity";
/// The numbers of a training step, where a program reads any.
pub const STEP: &str = Program::STEP;

/// A state that an optimizer keeps of a layer's parameter.
#[must_use]
pub fn state(layer: &str, weight: &str, slot: &str) -> String {
    format!("{layer}/{weight}/{slot}")
}

/// The sum over the samples of what a metric counts.
#[must_use]
pub fn metric(name: &str) -> String {
    format!("metric/{name}")
}

/// A layer's parameter, by Keras's name: `kernel`, `bias`, `gamma`, ….
#[must_use]
pub fn parameter(layer: &str, weight: &str) -> String {
    format!("{layer}/{weight}")
}

/// The gradient of the loss by a layer's parameter.
#[must_use]
pub fn gradient(layer: &str, weight: &str) -> String {
    format!("{layer}/grad_{weight}")
}

/// The name of what belongs to an input or output: with that's name where there are several.
#[cfg(feature = "models")]
pub(super) fn of_several(what: &str, name: &str, several: bool) -> String {
    if several { format!("{what}/{name}") } else { what.to_owned() }
}

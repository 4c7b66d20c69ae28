//! The metadata of our `.safetensors`.

use locally_connected::Config;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The key of the `.safetensors` metadata that holds [`Metadata`].
pub(crate) const METADATA_KEY: &str = "locally_connected";

/// The prefix of the names of a host's own tensors.
pub(crate) const BESIDE: &str = "beside:";

/// What our `.safetensors` has besides the tensors.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Metadata {
    /// The version of this format: 1.
    pub version: u32,
    pub keras_version: String,
    /// Keras's JSON of the model.
    pub model: Value,
    /// Our own configuration of each locally connected layer, which can express more than Keras's.
    pub layers: BTreeMap<String, Config>,
    /// The number of steps that the optimizer has done, if the file has its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// JSON that a host keeps with the model.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub beside: Value,
}

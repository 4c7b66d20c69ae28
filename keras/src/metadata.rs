//! What our `.safetensors` says of the model.

use locally_connected::Config;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The key of the `.safetensors` metadata that holds [`Metadata`].
pub(crate) const METADATA_KEY: &str = "locally_connected";

/// What the names of a host's own tensors begin with.
pub(crate) const BESIDE: &str = "beside:";

/// What our `.safetensors` keeps beside the tensors.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Metadata {
    /// 1.
    pub version: u32,
    pub keras_version: String,
    /// Keras's JSON of the model.
    pub model: Value,
    /// Our own configuration of each locally connected layer, which says more than Keras's can.
    pub layers: BTreeMap<String, Config>,
    /// The steps that the optimizer has done, where its state is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// What a host keeps with the model.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub beside: Value,
}

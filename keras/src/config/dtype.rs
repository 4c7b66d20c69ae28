//! Keras's dtype policies.

use crate::json;
use locally_connected::{Error, Result};
use serde_json::{Value, json};

/// Keras's `dtype` of a layer: the policy by which it computes and stores. Here it only describes the file: weights are
/// stored as [`locally_connected::Config::dtype`] says, and sums are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs, reason = "they are Keras's words")]
pub enum DtypePolicy {
    #[default]
    Float32,
    Float16,
    Float64,
    Bfloat16,
    /// Variables are f32.
    MixedFloat16,
    /// Variables are f32.
    MixedBfloat16,
}

impl DtypePolicy {
    const ALL: [Self; 6] =
        [Self::Float32, Self::Float16, Self::Float64, Self::Bfloat16, Self::MixedFloat16, Self::MixedBfloat16];

    /// Keras's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Float64 => "float64",
            Self::Bfloat16 => "bfloat16",
            Self::MixedFloat16 => "mixed_float16",
            Self::MixedBfloat16 => "mixed_bfloat16",
        }
    }

    /// The value of `dtype`: a name, or a serialised policy.
    pub(super) fn from_keras(value: &Value) -> Result<Self> {
        let name = value.as_str().or_else(|| value.get("config")?.get("name")?.as_str());
        Self::ALL.into_iter().find(|policy| Some(policy.name()) == name).ok_or_else(|| Error::UnknownValue {
            argument: "dtype",
            expected: "float32, float16, float64, bfloat16, mixed_float16, mixed_bfloat16",
            value: json::shown(value),
        })
    }

    pub(super) fn to_keras(self) -> Value {
        match self {
            Self::MixedFloat16 | Self::MixedBfloat16 => json!({
                "module": "keras.mixed_precision", "class_name": "Policy", "config": {"name": self.name()},
                "registered_name": null,
            }),
            _ => json!(self.name()),
        }
    }
}

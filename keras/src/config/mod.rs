//! Keras's JSON of a layer: its `get_config` dictionary to our [`Config`](locally_connected::Config) and back.

mod activation;
mod dtype;
mod keras_json;
mod keys;
mod layer;
mod objects;
mod rules;
#[cfg(test)]
mod tests;
mod trainable;
mod written;

pub(crate) use activation::with_axis_from_end;
pub use activation::{activation_from_keras, activation_layer_from_keras, activation_layer_to_keras};
pub use dtype::DtypePolicy;
pub use keras_json::{data_format_from_keras_json, keras_json_path};
pub(crate) use keys::check as check_keys;
pub use layer::{LayerConfig, beyond_keras};
pub(crate) use rules::rules;
pub(crate) use trainable::own_trainable;
pub(crate) use written::{layer_trainable, model_trainable, written};

use crate::json;
use locally_connected::{DataFormat, Error, Result};
use serde_json::Value;

/// Number of spatial axes of a locally connected class. `LocallyConnected3D` is ours; Keras has none.
#[must_use]
pub fn rank_of_class(class_name: &str) -> Option<usize> {
    match class_name {
        "LocallyConnected1D" => Some(1),
        "LocallyConnected2D" => Some(2),
        "LocallyConnected3D" => Some(3),
        _ => None,
    }
}

/// The value of `data_format`.
///
/// # Errors
/// [`Error::UnknownValue`] for anything but `channels_last` and `channels_first`, in any case.
pub fn data_format_from_keras(value: &Value) -> Result<DataFormat> {
    // Anything but a string is refused as an unknown word is.
    value.as_str().map_or_else(|| json::shown(value).parse(), str::parse)
}

fn positive(argument: &'static str, value: &Value) -> Result<usize> {
    match json::integer(value) {
        Some(found) if found <= 0 => Err(Error::NotPositive { argument, value: found }),
        Some(found) if usize::try_from(found).is_ok() => Ok(found as usize),
        _ => Err(Error::UnknownValue { argument, expected: "a positive integer", value: json::shown(value) }),
    }
}

/// An integer for all axes, or a list with one for each.
fn per_axis(argument: &'static str, rank: usize, value: &Value) -> Result<Vec<usize>> {
    match json::list(value) {
        None => Ok(vec![positive(argument, value)?; rank]),
        Some(values) if values.len() == rank => values.iter().map(|value| positive(argument, value)).collect(),
        Some(values) => Err(Error::Rank { argument, expected: rank, found: values.len() }),
    }
}

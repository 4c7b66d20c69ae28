//! Whether a layer says that it is trained.

use crate::json::{self, Object};
use locally_connected::{Error, Result};
use serde_json::Value;

/// The `trainable` of a layer or model itself; Keras refuses anything but a boolean.
///
/// # Errors
/// [`Error::UnknownValue`].
pub(crate) fn own_trainable(config: &Object) -> Result<bool> {
    match config.get("trainable") {
        None => Ok(true),
        Some(Value::Bool(trainable)) => Ok(*trainable),
        Some(value) => {
            let value = json::shown(value);
            Err(Error::UnknownValue { argument: "trainable", expected: "true, false", value })
        }
    }
}

//! Activations in Keras's JSON.

use crate::json::{self, Object};
use locally_connected::{Activation, Error, Result};
use serde_json::{Value, json};

/// The value of `activation`: a name, or a serialised function or layer.
///
/// # Errors
/// [`Error::UnknownValue`], [`Error::Unsupported`].
pub fn activation_from_keras(value: &Value) -> Result<Activation> {
    let unknown = || Error::UnknownValue {
        argument: "activation",
        expected: "a name or an activation layer of Keras",
        value: json::shown(value),
    };
    match value {
        Value::String(name) => Activation::from_keras_name(name),
        Value::Object(object) => {
            let class = json::string(object, "class_name").ok_or_else(unknown)?;
            match object.get("config") {
                // The native format's form of a function: {"class_name": "function", "config": its name}.
                Some(Value::String(name)) => Activation::from_keras_name(name),
                Some(Value::Object(config)) if class == "Activation" => config
                    .get("activation")
                    .and_then(Value::as_str)
                    .ok_or_else(unknown)
                    .and_then(Activation::from_keras_name),
                Some(Value::Object(_)) if class == "PReLU" => Activation::from_keras_name(class),
                Some(Value::Object(config)) => activation_layer_from_keras(class, config).ok_or_else(unknown)?,
                _ => Err(unknown()),
            }
        }
        _ => Err(unknown()),
    }
}

/// The activation of one of Keras's activation layers, by its class; none for other classes. An error if Keras would
/// refuse the arguments, or if they aren't supported here.
pub fn activation_layer_from_keras(class: &str, config: &Object) -> Option<Result<Activation>> {
    let float = |names: &[&str], default: f32| -> Result<f32> {
        match names.iter().find_map(|name| json::given(config, name)) {
            None => Ok(default),
            Some(value) => json::float(value).map(|v| v as f32).ok_or_else(|| Error::UnknownValue {
                argument: "an argument of an activation layer",
                expected: "a number",
                value: json::shown(value),
            }),
        }
    };
    let relu = |slope: Result<f32>, threshold: Result<f32>| {
        let max_value = match json::given(config, "max_value") {
            None => None,
            Some(_) => Some(float(&["max_value"], 0.0)?),
        };
        Ok(Activation::Relu { negative_slope: slope?, max_value, threshold: threshold? })
    };
    Some(match class {
        "ReLU" => relu(float(&["negative_slope"], 0.0), float(&["threshold"], 0.0)),
        "LeakyReLU" => relu(float(&["alpha", "negative_slope"], 0.3), Ok(0.0)),
        "ThresholdedReLU" => float(&["theta"], 1.0).map(|theta| Activation::ThresholdedRelu { theta }),
        "ELU" => float(&["alpha"], 1.0).map(|alpha| Activation::Elu { alpha }),
        "Softmax" => match config.get("axis").map(|axis| (json::integer(axis), axis)) {
            None | Some((Some(-1), _)) => Ok(Activation::Softmax),
            Some((_, axis)) => Err(Error::Unsupported {
                what: format!("softmax over axis {}", json::shown(axis)),
                with: "here: only over the last axis, -1".into(),
            }),
        },
        _ => return None,
    })
}

/// The value of `activation` that Keras reads as this activation; none if Keras has no such activation.
pub(super) fn activation_to_keras(activation: &Activation) -> Option<Value> {
    if let Some(name) = activation.keras_name() {
        return Some(json!(name));
    }
    let (class, config) = match *activation {
        Activation::Relu { negative_slope, max_value, threshold } => (
            "ReLU",
            json!({"max_value": max_value.map(json::short), "negative_slope": json::short(negative_slope), "threshold": json::short(threshold)}),
        ),
        Activation::ThresholdedRelu { theta } => ("ThresholdedReLU", json!({"theta": json::short(theta)})),
        Activation::Elu { alpha } => ("ELU", json!({"alpha": json::short(alpha)})),
        _ => return None,
    };
    Some(json!({"module": "keras.layers", "class_name": class, "config": config, "registered_name": null}))
}

/// Keras's class and config for an activation layer; none if Keras has no such activation.
#[must_use]
pub fn activation_layer_to_keras(name: &str, activation: &Activation) -> Option<(String, Value)> {
    let value = activation_to_keras(activation)?;
    let (class, mut config) = match value {
        Value::Object(mut layer) => {
            let class = json::string(&layer, "class_name").unwrap_or_default().to_owned();
            (class, layer.shift_remove("config").unwrap_or_default())
        }
        name => ("Activation".to_owned(), json!({"activation": name})),
    };
    if let Value::Object(config) = &mut config {
        for (key, value) in [("name", json!(name)), ("trainable", json!(true)), ("dtype", json!("float32"))] {
            config.insert(key.into(), value);
        }
    }
    Some((class, config))
}

/// Changes an activation layer that names the last axis by its number, where the batch is axis 0, to name it from the
/// end.
pub(crate) fn with_axis_from_end(activation: &Value, last: usize) -> Value {
    let mut activation = activation.clone();
    let axis = activation.get_mut("config").and_then(|config| config.get_mut("axis"));
    if let Some(axis) = axis.filter(|axis| json::integer(axis) == i64::try_from(last).ok()) {
        *axis = json!(-1);
    }
    activation
}

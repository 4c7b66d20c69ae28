//! Keras's JSON of a layer: its `get_config` dictionary to our [`Config`] and back.

#[cfg(test)]
mod tests;

use crate::json::{self, Object};
use crate::keras1;
use locally_connected::{Activation, Bias, Config, DataFormat, Error, KerasLayout, Padding, Result};
use serde_json::{Value, json};

/// Number of spatial axes of a locally connected class. `LocallyConnected3D` is ours: Keras has none.
#[must_use]
pub fn rank_of_class(class_name: &str) -> Option<usize> {
    match class_name {
        "LocallyConnected1D" => Some(1),
        "LocallyConnected2D" => Some(2),
        "LocallyConnected3D" => Some(3),
        _ => None,
    }
}

/// Reads the dictionary that Keras's `get_config` gives for a locally connected layer of class `class_name`.
///
/// What Keras 2.15 refuses when it constructs or builds the layer is refused here. Absent keys have Keras's defaults;
/// the names of Keras 1 are understood too.
///
/// ```
/// # fn main() -> locally_connected::Result<()> {
/// use locally_connected_keras::config::config_from_keras;
/// let text = r#"{"filters": 64, "kernel_size": 3, "padding": "same", "implementation": 3, "activation": "relu"}"#;
/// let (config, layout) = config_from_keras("LocallyConnected2D", &serde_json::from_str(text).unwrap_or_default())?;
/// assert_eq!(config.kernel_size, [3, 3]);
/// assert_eq!(layout.number(), 3);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Rank`], [`Error::NotPositive`], [`Error::UnknownValue`], [`Error::PaddingNeedsOtherLayout`],
/// [`Error::Missing`], [`Error::Unsupported`].
pub fn config_from_keras(class_name: &str, config: &Value) -> Result<(Config, KerasLayout)> {
    let Some(rank) = rank_of_class(class_name) else {
        return Err(Error::UnknownValue {
            argument: "class_name",
            expected: "LocallyConnected1D, LocallyConnected2D, LocallyConnected3D",
            value: class_name.to_owned(),
        });
    };
    let Value::Object(config) = config else {
        let value = json::shown(config);
        return Err(Error::UnknownValue { argument: "config", expected: "a dictionary", value });
    };
    let mut config = config.clone();
    keras1::rename(class_name, &mut config);

    let filters = match json::given(&config, "filters") {
        None => return Err(Error::Missing { what: "`filters`", why: "it has no default" }),
        Some(value) => positive("filters", value)?,
    };
    let Some(kernel_size) = json::given(&config, "kernel_size") else {
        return Err(Error::Missing { what: "`kernel_size`", why: "it has no default" });
    };
    let kernel_size = per_axis("kernel_size", rank, kernel_size)?;
    let ones = |argument| json::given(&config, argument).map_or(Ok(vec![1; rank]), |v| per_axis(argument, rank, v));
    let strides = ones("strides")?;
    let layout = match json::given(&config, "implementation") {
        None => KerasLayout::Implementation1,
        Some(value) => KerasLayout::from_keras(json::integer(value).ok_or_else(|| Error::UnknownValue {
            argument: "implementation",
            expected: "1, 2, 3",
            value: json::shown(value),
        })?)?,
    };
    let padding = match json::given(&config, "padding") {
        None => Padding::Valid,
        Some(value) => match value.as_str().map(str::to_lowercase).as_deref() {
            Some("valid") => Padding::Valid,
            Some("same") if layout != KerasLayout::Implementation1 => Padding::Same,
            Some("same") => return Err(Error::PaddingNeedsOtherLayout { padding: json::shown(value) }),
            _ => {
                let value = json::shown(value);
                return Err(Error::UnknownValue { argument: "padding", expected: "\"valid\", \"same\"", value });
            }
        },
    };
    let data_format =
        json::given(&config, "data_format").map_or(Ok(DataFormat::ChannelsLast), data_format_from_keras)?;
    let activation = match json::given(&config, "activation") {
        None => Activation::Linear,
        Some(value) => activation_from_keras(&with_axis_from_end(value, rank + 1))?,
    };
    let bias = match json::given(&config, "use_bias").map(|value| (value.as_bool(), json::integer(value), value)) {
        None | Some((Some(true), ..) | (_, Some(1), _)) => Bias::PerLocation,
        Some((Some(false), ..) | (_, Some(0), _)) => Bias::None,
        Some((.., value)) => {
            let value = json::shown(value);
            return Err(Error::UnknownValue { argument: "use_bias", expected: "true, false", value });
        }
    };
    // Keras's layers have neither; a look-alike that has must not be computed as if it had not.
    for argument in ["dilation_rate", "groups"] {
        if let Some(value) = json::given(&config, argument)
            && !json::is_all_ones(value)
        {
            let what = format!("`{argument}` = {}", json::shown(value));
            return Err(Error::Unsupported { what, with: "in a layer of a Keras file".into() });
        }
    }
    let config = Config::new(filters, kernel_size)
        .strides(strides)
        .padding(padding)
        .data_format(data_format)
        .activation(activation)
        .bias(bias);
    Ok((config, layout))
}

/// An activation layer that names the last axis by its number, the batch being axis 0, names it from the end.
pub(crate) fn with_axis_from_end(activation: &Value, last: usize) -> Value {
    let mut activation = activation.clone();
    let axis = activation.get_mut("config").and_then(|config| config.get_mut("axis"));
    if let Some(axis) = axis.filter(|axis| json::integer(axis) == i64::try_from(last).ok()) {
        *axis = json!(-1);
    }
    activation
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

/// The value of `data_format`.
///
/// # Errors
/// [`Error::UnknownValue`] for anything but `channels_last` and `channels_first`, in any case.
pub fn data_format_from_keras(value: &Value) -> Result<DataFormat> {
    match value.as_str().map(str::to_lowercase).as_deref() {
        Some("channels_last") => Ok(DataFormat::ChannelsLast),
        Some("channels_first") => Ok(DataFormat::ChannelsFirst),
        _ => {
            let expected = "\"channels_first\", \"channels_last\"";
            Err(Error::UnknownValue { argument: "data_format", expected, value: json::shown(value) })
        }
    }
}

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
                // A function of the native format: {"class_name": "function", "config": its name}.
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

/// The activation of one of Keras's activation layers, by class; none for other classes. It is an error where Keras's
/// arguments are wrong or can't be had here.
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

/// The value of `activation` that Keras reads back as `activation`; none where Keras has no such activation.
fn activation_to_keras(activation: &Activation) -> Option<Value> {
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

/// What in `config` Keras's own layers can't express; none when they can express all of it.
#[must_use]
pub fn beyond_keras(config: &Config) -> Option<String> {
    if config.dilation_rate.iter().any(|&rate| rate != 1) {
        Some(format!("dilation_rate {:?}", config.dilation_rate))
    } else if config.groups != 1 {
        Some(format!("{} groups", config.groups))
    } else if !matches!(config.padding, Padding::Valid | Padding::Same) {
        Some(format!("padding {}", config.padding))
    } else if config.bias == Bias::PerFilter {
        Some("a bias shared by all locations".into())
    } else if activation_to_keras(&config.activation).is_none() {
        Some(format!("activation {:?}", config.activation))
    } else {
        None
    }
}

/// Keras's class and `get_config` dictionary of a layer whose weights are stored in `layout`. What Keras has no words
/// for ([`beyond_keras`]) is left out.
#[must_use]
pub fn config_to_keras(name: &str, config: &Config, layout: KerasLayout, trainable: bool) -> (String, Value) {
    let zeros = json!({"class_name": "Zeros", "config": {}});
    let glorot = json!({"class_name": "GlorotUniform", "config": {"seed": null}});
    let value = json!({
        "name": name,
        "trainable": trainable,
        "dtype": "float32",
        "filters": config.filters,
        "kernel_size": config.kernel_size,
        "strides": config.strides,
        "padding": if config.padding == Padding::Valid { "valid" } else { "same" },
        "data_format": match config.data_format {
            DataFormat::ChannelsLast => "channels_last",
            DataFormat::ChannelsFirst => "channels_first",
        },
        "activation": activation_to_keras(&config.activation).unwrap_or_else(|| json!("linear")),
        "use_bias": config.bias != Bias::None,
        "kernel_initializer": glorot,
        "bias_initializer": zeros,
        "kernel_regularizer": null,
        "bias_regularizer": null,
        "activity_regularizer": null,
        "kernel_constraint": null,
        "bias_constraint": null,
        "implementation": layout.number(),
    });
    (format!("LocallyConnected{}D", config.rank()), value)
}

/// Keras's class and config of an activation between layers; none where Keras has no such activation.
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

//! Keras's JSON of losses and metrics.

use crate::config::check_keys;
use crate::json::{self, Object};
use locally_connected::train::{Loss, Metric, MetricKind};
use locally_connected::{Error, Result};
use serde_json::{Value, json};

/// The class in a dictionary, or a function's name, and the arguments.
fn object<'a>(argument: &'static str, value: &'a Value) -> Result<(&'a str, Option<&'a Object>)> {
    let wrong = || Error::UnknownValue {
        argument,
        expected: "a name, or a dictionary of `class_name` and `config`",
        value: json::shown(value),
    };
    if let Some(name) = value.as_str() {
        return Ok((name, None));
    }
    let object = value.as_object().ok_or_else(wrong)?;
    let class = json::string(object, "class_name").ok_or_else(wrong)?;
    // A function, by its name.
    if let Some(name) = json::string(object, "config").filter(|_| class == "function") {
        return Ok((name, None));
    }
    Ok((class, Some(json::object(object, "config").ok_or_else(wrong)?)))
}

fn number(of: &'static str, config: &Object, key: &str, to: &mut f32) -> Result<()> {
    if let Some(value) = json::given(config, key) {
        let wrong = || Error::UnknownValue {
            argument: of,
            expected: "an object whose arguments are numbers",
            value: json::shown(value),
        };
        *to = json::float(value).ok_or_else(wrong)? as f32;
    }
    Ok(())
}

/// The loss of a dictionary of Keras's, or of a name.
///
/// # Errors
/// [`Error::Unsupported`] for a loss or an argument that isn't supported here; [`Error::UnknownArgument`] for one that
/// Keras doesn't have; [`Error::UnknownValue`]; those of [`Loss::check`].
pub fn loss_from_keras(value: &Value) -> Result<Loss> {
    let (class, config) = object("loss", value)?;
    let mut loss = Loss::from_keras_name(class)?;
    if let Some(config) = config {
        arguments(class, config, &mut loss)?;
    }
    loss.check()?;
    Ok(loss)
}

/// Sets those arguments of a loss that are given.
fn arguments(class: &str, config: &Object, loss: &mut Loss) -> Result<()> {
    let mut known = vec!["name", "reduction", "fn", "dtype"];
    let refused = |what: String| Err(Error::Unsupported { what, with: format!("of the loss {class} here") });
    if let Some(reduction) = json::string(config, "reduction")
        && !["auto", "sum_over_batch_size"].contains(&reduction)
    {
        return refused(format!("reduction={reduction}"));
    }
    match loss {
        Loss::Huber { delta } => {
            number("loss", config, "delta", delta)?;
            known.push("delta");
        }
        Loss::BinaryCrossentropy { from_logits, label_smoothing }
        | Loss::CategoricalCrossentropy { from_logits, label_smoothing } => {
            *from_logits = config.get("from_logits") == Some(&json!(true));
            number("loss", config, "label_smoothing", label_smoothing)?;
            let axis = config.get("axis").and_then(json::integer).filter(|axis| *axis != -1);
            if let Some(axis) = axis {
                return refused(format!("axis={axis}"));
            }
            known.extend(["from_logits", "label_smoothing", "axis"]);
        }
        Loss::SparseCategoricalCrossentropy { from_logits } => {
            *from_logits = config.get("from_logits") == Some(&json!(true));
            if let Some(class) = json::given(config, "ignore_class") {
                return refused(format!("ignore_class={}", json::shown(class)));
            }
            known.extend(["from_logits", "ignore_class", "axis"]);
        }
        _ => {}
    }
    check_keys(class, config, &known)
}

/// Keras 2.15's JSON of a loss: the name of its function or, if it has arguments, the dictionary of its class.
#[must_use]
pub fn loss_to_keras(loss: &Loss) -> Value {
    let (class, config) = match *loss {
        Loss::Huber { delta } if delta != 1.0 => ("Huber", json!({"delta": json::short(delta)})),
        Loss::BinaryCrossentropy { from_logits, label_smoothing } if from_logits || label_smoothing != 0.0 => (
            "BinaryCrossentropy",
            json!({"from_logits": from_logits, "label_smoothing": json::short(label_smoothing), "axis": -1}),
        ),
        Loss::CategoricalCrossentropy { from_logits, label_smoothing } if from_logits || label_smoothing != 0.0 => (
            "CategoricalCrossentropy",
            json!({"from_logits": from_logits, "label_smoothing": json::short(label_smoothing), "axis": -1}),
        ),
        Loss::SparseCategoricalCrossentropy { from_logits: true } => {
            ("SparseCategoricalCrossentropy", json!({"from_logits": true, "ignore_class": null}))
        }
        _ => return json!(loss.keras_name()),
    };
    let mut all = json!({"reduction": "auto", "name": loss.keras_name()});
    if let (Value::Object(all), Value::Object(config)) = (&mut all, config) {
        all.extend(config);
    }
    json!({"module": "keras.losses", "class_name": class, "config": all, "registered_name": null})
}

/// The metric of a dictionary of Keras's, or of a name.
///
/// # Errors
/// As [`loss_from_keras`].
pub fn metric_from_keras(value: &Value) -> Result<Metric> {
    let (class, config) = object("metric", value)?;
    let Some(config) = config else { return Metric::from_keras_name(class) };
    let name = json::string(config, "name");
    // .h5 files store a metric that was given by name as the mean of a function's values.
    let function = json::string(config, "fn").filter(|_| class == "MeanMetricWrapper");
    let mut metric = Metric::from_keras_name(function.unwrap_or(class))?;
    match &mut metric.kind {
        MetricKind::BinaryAccuracy { threshold } => {
            number("metric", config, "threshold", threshold)?;
            check_keys(class, config, &["name", "dtype", "fn", "threshold"])?;
        }
        MetricKind::Loss(loss) => arguments(class, config, loss)?,
        _ => check_keys(class, config, &["name", "dtype", "fn"])?,
    }
    if let Some(name) = name {
        metric.name = name.to_owned();
    }
    Ok(metric)
}

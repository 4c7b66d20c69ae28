//! Reading Keras's JSON without trusting it.

use serde_json::{Map, Value};

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// A value that is there and not null.
pub(crate) fn given<'a>(object: &'a Object, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

pub(crate) fn string<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

/// An integer, also one written as a float: R's interface writes `3.0`.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        // Up to 2⁵³ a float is the integer that was meant.
        value.as_f64().filter(|v| v.fract() == 0.0 && v.abs() <= 9e15).map(|v| v as i64)
    })
}

/// A number; Keras 2 also serialises NumPy scalars, as a dictionary with a `value`.
pub(crate) fn float(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| {
        let value = value.get("value").or_else(|| value.get("config").and_then(|config| config.get("value")))?;
        value.as_f64()
    })
}

/// The elements of a list, of a tuple or of a shape: `[…]` or `{"class_name": "__tuple__", "items": […]}`.
pub(crate) fn list(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().or_else(|| value.get("items").and_then(Value::as_array))
}

pub(crate) fn is_all_ones(value: &Value) -> bool {
    match list(value) {
        Some(values) => values.iter().all(|value| integer(value) == Some(1)),
        None => integer(value) == Some(1),
    }
}

/// The shortest decimal that is the same f32, as a JSON number.
pub(crate) fn short(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

/// A value for an error message, cut where it is long.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

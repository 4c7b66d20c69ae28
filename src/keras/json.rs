//! Reading Keras's JSON without trusting it.

use serde_json::{Map, Value};

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// A value that is there and not null.
pub(super) fn given<'a>(object: &'a Object, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

pub(super) fn string<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

pub(super) fn object<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key).and_then(Value::as_object)
}

/// An integer, also one written as a float: R's interface writes `3.0`.
pub(super) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        // Up to 2⁵³ a float is the integer that was meant.
        value.as_f64().filter(|v| v.fract() == 0.0 && v.abs() <= 9e15).map(|v| v as i64)
    })
}

/// A number; Keras 2 also serialises NumPy scalars, as a dictionary with a `value`.
pub(super) fn float(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| {
        let value = value.get("value").or_else(|| value.get("config").and_then(|config| config.get("value")))?;
        value.as_f64()
    })
}

/// The elements of a list, of a tuple or of a shape: `[…]` or `{"class_name": "__tuple__", "items": […]}`.
pub(super) fn list(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().or_else(|| value.get("items").and_then(Value::as_array))
}

pub(super) fn is_all_ones(value: &Value) -> bool {
    match list(value) {
        Some(values) => values.iter().all(|value| integer(value) == Some(1)),
        None => integer(value) == Some(1),
    }
}

/// A shape with the batch in front, without the batch; unknown sizes are 0.
pub(super) fn shape(value: &Value) -> Option<Vec<usize>> {
    let (_, rest) = list(value)?.split_first()?;
    rest.iter()
        .map(|size| if size.is_null() { Some(0) } else { integer(size).and_then(|size| usize::try_from(size).ok()) })
        .collect()
}

/// The shape with an unknown batch in front, as Keras writes it.
pub(super) fn batch_shape(shape: &[usize]) -> Value {
    std::iter::once(Value::Null).chain(shape.iter().map(|&size| size.into())).collect()
}

/// The shortest decimal that is the same f32, as a JSON number.
pub(super) fn short(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

/// A value for an error message, cut where it is long.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

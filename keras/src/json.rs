//! Reads Keras's JSON without trusting it.

use locally_connected::model::MOST_AXES;
use serde_json::{Map, Value};

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// How Python's json writes numbers that JSON doesn't have.
const WORDS: [(&str, f64); 3] = [("-Infinity", f64::NEG_INFINITY), ("Infinity", f64::INFINITY), ("NaN", f64::NAN)];
/// Begins the string that stands for such a number in a [`Value`], which can't hold it. No string of Keras's begins so.
const MARK: char = '\0';

/// Reads JSON as Python writes it. `NaN`, `Infinity` and `-Infinity` become strings of a zero character and the word,
/// which [`to_json`] turns back.
///
/// # Errors
/// Those of [`serde_json::from_str`]; also for a string in the text that begins with a zero character.
pub fn from_json(text: &str) -> serde_json::Result<Value> {
    let mut marked = String::new();
    // The part of the text that isn't in `marked` yet.
    let mut rest = text;
    let (mut at, mut in_string) = (0, false);
    while let Some(&byte) = rest.as_bytes().get(at) {
        let here = rest.get(at..).unwrap_or_default();
        match byte {
            b'"' if !in_string && here.starts_with("\"\\u0000") => {
                return Err(serde::de::Error::custom("a string begins with a zero character"));
            }
            b'"' => in_string = !in_string,
            b'\\' if in_string => at += 1,
            b'-' | b'I' | b'N' if !in_string => {
                let word = WORDS.iter().map(|(word, _)| *word).find(|word| here.starts_with(word));
                if let Some((word, (before, after))) = word.zip(rest.split_at_checked(at)) {
                    let after = after.get(word.len()..).unwrap_or_default();
                    // A key of a dictionary isn't such a number.
                    if !after.trim_start().starts_with(':') {
                        marked.push_str(before);
                        marked.push_str(&format!("\"\\u0000{word}\""));
                        (rest, at) = (after, 0);
                        continue;
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    if marked.is_empty() {
        return serde_json::from_str(text);
    }
    marked.push_str(rest);
    serde_json::from_str(&marked)
}

/// Writes JSON as Python does: see [`from_json`].
#[must_use]
pub fn to_json(value: &Value) -> String {
    let mut text = value.to_string();
    for (word, _) in WORDS {
        text = text.replace(&format!("\"\\u0000{word}\""), word);
    }
    text
}

/// The number that such a string of [`from_json`] stands for.
fn beyond_json(value: &Value) -> Option<f64> {
    let word = value.as_str()?.strip_prefix(MARK)?;
    WORDS.iter().find(|(known, _)| *known == word).map(|(_, number)| *number)
}

/// The value of a key, if it is there and not null.
pub(crate) fn given<'a>(object: &'a Object, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

pub(crate) fn string<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

/// An integer; R's interface writes it as a float: `3.0`.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        // Up to 2⁵³ a float represents an integer exactly.
        value.as_f64().filter(|v| v.fract() == 0.0 && v.abs() <= 9e15).map(|v| v as i64)
    })
}

/// A number. Keras 2 also serialises NumPy scalars, as a dictionary with a `value`.
pub(crate) fn float(value: &Value) -> Option<f64> {
    let number = |value: &Value| value.as_f64().or_else(|| beyond_json(value));
    number(value)
        .or_else(|| number(value.get("value").or_else(|| value.get("config").and_then(|config| config.get("value")))?))
}

/// The elements of a list, a tuple or a shape: `[…]` or `{"class_name": "__tuple__", "items": […]}`.
pub(crate) fn list(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().or_else(|| value.get("items").and_then(Value::as_array))
}

pub(crate) fn is_all_ones(value: &Value) -> bool {
    match list(value) {
        Some(values) => values.iter().all(|value| integer(value) == Some(1)),
        None => integer(value) == Some(1),
    }
}

/// The shortest decimal that reads as the same f32, as a JSON number.
pub(crate) fn short(value: f32) -> f64 {
    serde_json::from_str(&value.to_string()).unwrap_or_else(|_| value.into())
}

/// A value in an error message, cut if it is long.
pub(crate) fn shown(value: &Value) -> String {
    let text = to_json(value);
    match text.char_indices().nth(80) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
pub(crate) fn object<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key).and_then(Value::as_object)
}

/// A shape without its first axis, the batch; unknown sizes are 0. None if it has more axes than run here.
pub(crate) fn shape(value: &Value) -> Option<Vec<usize>> {
    let (_, rest) = list(value)?.split_first().filter(|(_, rest)| rest.len() <= MOST_AXES)?;
    rest.iter()
        .map(|size| if size.is_null() { Some(0) } else { integer(size).and_then(|size| usize::try_from(size).ok()) })
        .collect()
}

/// The shape with an unknown batch first, as Keras writes it.
pub(crate) fn batch_shape(shape: &[usize]) -> Value {
    std::iter::once(Value::Null).chain(shape.iter().map(|&size| size.into())).collect()
}

//! Reading Keras's JSON of a model without trusting it: what `config::keras` has for a layer's, and shapes.

pub(super) use crate::config::keras::json::{Object, given, integer, list, shown, string};
use serde_json::Value;

pub(super) fn object<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key).and_then(Value::as_object)
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

//! Dropout and noise.

use super::arguments::Arguments;
use super::known::rank_of;
use crate::error::Problem;
use crate::json;
use locally_connected::model::NoiseLayer;
use locally_connected::ops::RandomKind;
use locally_connected::{DataFormat, Error};
use serde_json::{Value, json};

/// What a layer of such a class does in training, for an input of that shape, if it is known; none for any other class.
pub(crate) fn noise(
    class: &str,
    arguments: &Arguments<'_>,
    input: Option<&[usize]>,
) -> Option<Result<NoiseLayer, Problem>> {
    let number = |key: &'static str| match arguments.given(key) {
        Some(_) => arguments.float(key, 0.0),
        None => Err(Problem::lacks("it", format!("`{key}`"))),
    };
    let kind = match class {
        "Dropout" | "SpatialDropout1D" | "SpatialDropout2D" | "SpatialDropout3D" => {
            number("rate").map(|rate| RandomKind::Dropout { rate })
        }
        "GaussianDropout" => number("rate").map(|rate| RandomKind::GaussianDropout { rate }),
        "AlphaDropout" => number("rate").map(|rate| RandomKind::AlphaDropout { rate }),
        "GaussianNoise" => number("stddev").map(|stddev| RandomKind::GaussianNoise { stddev }),
        _ => return None,
    };
    Some(kind.and_then(|kind| described(class, kind, arguments, input)))
}

fn described(
    class: &str,
    kind: RandomKind,
    arguments: &Arguments<'_>,
    input: Option<&[usize]>,
) -> Result<NoiseLayer, Problem> {
    let mut layer = NoiseLayer::new(kind);
    layer.seed = arguments.integer("seed")?.map(|seed| seed as u64);
    if class.starts_with("Spatial") {
        let (rank, format) = (rank_of(class), arguments.data_format()?);
        layer.shared_axes = match format {
            DataFormat::ChannelsFirst if rank > 1 => (1..=rank).collect(),
            _ => (0..rank).collect(),
        };
    } else if let Some(value) = arguments.given("noise_shape") {
        shared(&mut layer, value, input)?;
    }
    arguments.finish()?;
    Ok(layer)
}

/// The axes along which all elements have the same number. The list begins with the batch; a shorter list has ones in
/// front.
fn shared(layer: &mut NoiseLayer, value: &Value, input: Option<&[usize]>) -> Result<(), Problem> {
    let (argument, expected) = ("noise_shape", "null, 1 or the input's size for each axis, the batch's null or 1");
    let unknown = || Error::UnknownValue { argument, expected, value: json::shown(value) };
    let list = json::list(value).ok_or_else(unknown)?;
    let places = input.map_or(list.len(), |input| input.len() + 1);
    let front = places.checked_sub(list.len()).ok_or_else(unknown)?;
    let sizes = std::iter::repeat_n(Some(1), front).chain(list.iter().map(json::integer));
    for (place, size) in sizes.enumerate() {
        // A size of 0 isn't known.
        let own = place.checked_sub(1).and_then(|axis| input?.get(axis)).filter(|size| **size > 0);
        let own = own.map(|&size| size as i64);
        let is_null = place >= front && list.get(place - front).is_some_and(Value::is_null);
        match (place.checked_sub(1), size) {
            // With one element it makes no difference.
            _ if is_null => {}
            (Some(_), Some(size)) if Some(size) == own => {}
            (Some(axis), Some(1)) => layer.shared_axes.push(axis),
            (None, Some(1)) => layer.shared_by_samples = true,
            (Some(_), Some(_)) if own.is_none() => {}
            _ => return Err(unknown().into()),
        }
    }
    Ok(())
}

/// Keras's class and arguments of such a layer, for samples of `rank` axes.
pub(crate) fn noise_to_keras(layer: &NoiseLayer, rank: usize) -> (&'static str, Vec<(&'static str, Value)>) {
    let (class, argument, number) = match layer.kind {
        RandomKind::Dropout { rate } => ("Dropout", "rate", rate),
        RandomKind::GaussianDropout { rate } => ("GaussianDropout", "rate", rate),
        RandomKind::AlphaDropout { rate } => ("AlphaDropout", "rate", rate),
        RandomKind::GaussianNoise { stddev } => ("GaussianNoise", "stddev", stddev),
    };
    let mut arguments =
        vec![(argument, json!(json::short(number))), ("seed", json!(layer.seed.map(|seed| seed as i64)))];
    let axis = |axis: usize| if layer.shared_axes.contains(&axis) { json!(1) } else { Value::Null };
    if !layer.shared_axes.is_empty() || layer.shared_by_samples {
        let batch = if layer.shared_by_samples { json!(1) } else { Value::Null };
        let shape: Vec<Value> = std::iter::once(batch).chain((0..rank).map(axis)).collect();
        arguments.push(("noise_shape", Value::Array(shape)));
    }
    (class, arguments)
}

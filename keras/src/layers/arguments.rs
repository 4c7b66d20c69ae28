//! The arguments of a layer, read from Keras's dictionary of it.

use crate::config::{activation_from_keras, data_format_from_keras, with_axis_from_end};
use crate::error::{Problem, cut};
use crate::fit;
use crate::json::{self, Object};
use locally_connected::{Activation, Config, DataFormat, Error, Geometry};
use serde_json::Value;
use std::cell::RefCell;

/// Arguments that never change what a layer computes: names, arguments for training or for TensorFlow's graphs only,
/// and those read elsewhere.
const BESIDE: [&str; 18] = [
    "name",
    "trainable",
    "dtype",
    "dynamic",
    "batch_input_shape",
    "batch_shape",
    "batch_size",
    "input_shape",
    "input_dim",
    "input_length",
    "input_tensor",
    "sparse",
    "ragged",
    "type_spec",
    "seed",
    "seed_generator",
    "stateful",
    "synchronized",
];

/// How the names of arguments for training end.
const TRAINING: [&str; 3] = ["_initializer", "_regularizer", "_constraint"];

/// A layer's arguments. It remembers which of them were asked for: an argument that changes what the layer does and
/// that nobody asked for is an error instead of being ignored.
pub(crate) struct Arguments<'a> {
    config: &'a Object,
    /// How many weights the file has for the layer.
    stored: u64,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(config: &'a Object) -> Self {
        Self { config, stored: 0, asked: RefCell::default() }
    }

    /// The arguments of a layer for which the file has so many weights.
    pub(crate) fn storing(self, stored: u64) -> Self {
        Self { stored, ..self }
    }

    /// Refuses windows whose tables would be far larger than what the file has.
    pub(crate) fn check_tables(&self, config: &Config, input: &[usize]) -> Result<(), Problem> {
        fit::check_tables(config, input, self.stored)
    }

    /// The geometry of a convolution.
    pub(crate) fn convolution(&self, config: &Config, input: &[usize]) -> Result<Geometry, Problem> {
        self.check_tables(config, input)?;
        Ok(Geometry::convolution(config, input)?)
    }

    /// The value of an argument, if it is there and not null.
    pub(crate) fn given(&self, key: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(key);
        json::given(self.config, key)
    }

    /// Checks that all arguments that are given were asked for.
    pub(crate) fn finish(&self) -> Result<(), Problem> {
        let asked = self.asked.borrow();
        let matters = |(key, value): &(&String, &Value)| {
            let key = key.as_str();
            let beside = BESIDE.contains(&key) || TRAINING.iter().any(|end| key.ends_with(end));
            let off = value.is_null() || **value == Value::Bool(false) || value.as_array().is_some_and(Vec::is_empty);
            !beside && !off && !asked.contains(&key)
        };
        match self.config.iter().find(matters) {
            None => Ok(()),
            Some((key, value)) => Err(Problem::Argument { argument: cut(key.clone()), value: json::shown(value) }),
        }
    }

    fn unknown(argument: &'static str, expected: &'static str, value: &Value) -> Problem {
        Error::UnknownValue { argument, expected, value: json::shown(value) }.into()
    }

    pub(crate) fn integer(&self, key: &'static str) -> Result<Option<i64>, Problem> {
        let value = self.given(key);
        value.map(|value| json::integer(value).ok_or_else(|| Self::unknown(key, "an integer", value))).transpose()
    }

    /// A positive integer.
    pub(crate) fn size(&self, key: &'static str) -> Result<Option<usize>, Problem> {
        let value = self.given(key);
        value.map(|value| positive(key, value)).transpose()
    }

    /// A positive integer that has no default.
    pub(crate) fn needed_size(&self, key: &'static str) -> Result<usize, Problem> {
        self.size(key)?.ok_or_else(|| Problem::lacks("it", format!("`{key}`")))
    }

    pub(crate) fn boolean(&self, key: &'static str, default: bool) -> Result<bool, Problem> {
        match self.given(key).map(|value| (value.as_bool(), json::integer(value), value)) {
            None => Ok(default),
            Some((Some(value), ..)) => Ok(value),
            Some((None, Some(value @ (0 | 1)), _)) => Ok(value == 1),
            Some((.., value)) => Err(Self::unknown(key, "true, false", value)),
        }
    }

    pub(crate) fn float(&self, key: &'static str, default: f32) -> Result<f32, Problem> {
        let Some(value) = self.given(key) else { return Ok(default) };
        json::float(value).map(|value| value as f32).ok_or_else(|| Self::unknown(key, "a number", value))
    }

    /// A number, with the precision it is written in.
    pub(crate) fn double(&self, key: &'static str, default: f64) -> Result<f64, Problem> {
        let Some(value) = self.given(key) else { return Ok(default) };
        json::float(value).ok_or_else(|| Self::unknown(key, "a number", value))
    }

    pub(crate) fn text(&self, key: &'static str) -> Result<Option<String>, Problem> {
        let text = |value: &Value| value.as_str().map(str::to_ascii_lowercase);
        let value = self.given(key);
        value.map(|value| text(value).ok_or_else(|| Self::unknown(key, "text", value))).transpose()
    }

    pub(crate) fn data_format(&self) -> Result<DataFormat, Problem> {
        Ok(self.given("data_format").map_or(Ok(DataFormat::ChannelsLast), data_format_from_keras)?)
    }

    /// The activation that follows a layer whose output has `rank` axes besides the batch.
    pub(crate) fn activation(&self, rank: usize) -> Result<Activation, Problem> {
        let value = self.given("activation");
        Ok(value.map_or(Ok(Activation::Linear), |value| activation_from_keras(&with_axis_from_end(value, rank)))?)
    }

    /// An integer for all axes, or a list with one for each.
    pub(crate) fn per_axis(&self, key: &'static str, rank: usize) -> Result<Option<Vec<usize>>, Problem> {
        let Some(value) = self.given(key) else { return Ok(None) };
        match json::list(value) {
            None => Ok(Some(vec![positive(key, value)?; rank])),
            Some(values) if values.len() == rank => {
                values.iter().map(|value| positive(key, value)).collect::<Result<_, _>>().map(Some)
            }
            Some(values) => Err(Error::Rank { argument: key, expected: rank, found: values.len() }.into()),
        }
    }

    /// How much is added or removed before and after each axis: one number for all, one number for each axis (on both
    /// of its sides), or two numbers for each axis. With one axis, two numbers are its sides.
    pub(crate) fn both_sides(&self, key: &'static str, rank: usize) -> Result<Option<Vec<[usize; 2]>>, Problem> {
        let Some(value) = self.given(key) else { return Ok(None) };
        let number = |value: &Value| json::integer(value).and_then(|value| usize::try_from(value).ok());
        let sides = |value: &Value| match json::list(value).map(Vec::as_slice) {
            Some([before, after]) => Some([number(before)?, number(after)?]),
            Some(_) => None,
            None => number(value).map(|both| [both; 2]),
        };
        let sides: Option<Vec<[usize; 2]>> = match json::list(value) {
            None => sides(value).map(|both| vec![both; rank]),
            Some(pair) if rank == 1 && pair.len() == 2 => sides(value).map(|both| vec![both]),
            Some(values) if values.len() == rank => values.iter().map(sides).collect(),
            Some(_) => None,
        };
        match sides {
            Some(sides) => Ok(Some(sides)),
            None => Err(Self::unknown(key, "numbers of rows, for all sides or for each axis", value)),
        }
    }

    /// The axes in a list, as places in a shape without the batch; in the list the batch is axis 0. A single number
    /// stands for a list of one.
    pub(crate) fn axes(&self, key: &'static str, rank: usize, default: i64) -> Result<Vec<usize>, Problem> {
        let place = |axis: i64| {
            let places = rank as i64 + 1;
            let axis = if axis < 0 { axis + places } else { axis };
            usize::try_from(axis - 1).ok().filter(|&axis| axis < rank)
        };
        let value = self.given(key);
        let axes: Option<Vec<usize>> = match value.map(|value| (json::list(value), value)) {
            None => place(default).map(|axis| vec![axis]),
            Some((Some(list), _)) => list.iter().map(|axis| place(json::integer(axis)?)).collect(),
            Some((None, value)) => json::integer(value).and_then(place).map(|axis| vec![axis]),
        };
        let shown = value.cloned().unwrap_or_else(|| default.into());
        axes.ok_or_else(|| Self::unknown(key, "axes of its input besides the batch", &shown))
    }
}

fn positive(argument: &'static str, value: &Value) -> Result<usize, Problem> {
    match json::integer(value) {
        Some(found) if found <= 0 => Err(Error::NotPositive { argument, value: found }.into()),
        Some(found) if usize::try_from(found).is_ok() => Ok(found as usize),
        _ => Err(Arguments::unknown(argument, "a positive integer", value)),
    }
}

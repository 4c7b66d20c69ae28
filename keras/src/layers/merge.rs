//! Layers of several inputs.

use super::arguments::Arguments;
use super::known::Known;
use crate::error::Problem;
use crate::json;
use locally_connected::model::{Concatenate, Merge};

pub(super) fn merge(class: &str, _: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let merge = match class {
        "Subtract" => Merge::Subtract,
        "Multiply" => Merge::Multiply,
        "Average" => Merge::Average,
        "Maximum" => Merge::Maximum,
        "Minimum" => Merge::Minimum,
        _ => Merge::Add,
    };
    Known::plain(merge, inputs)
}

pub(super) fn concatenate(_: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let key = "axis";
    let rank = inputs.first().map_or(0, |input| input.len());
    match arguments.axes(key, rank, -1)?[..] {
        [axis] => Known::plain(Concatenate { axis }, inputs),
        _ => {
            let value = arguments.given(key).map(json::shown).unwrap_or_default();
            Err(Problem::Refused { argument: key, value, why: "one axis is" })
        }
    }
}

/// Keras 1's layer for all of these, in a mode for which Keras 2 has no layer.
pub(super) fn keras1(_: &str, arguments: &Arguments<'_>, _: &[&[usize]]) -> Result<Known, Problem> {
    let value = arguments.given("mode").map(json::shown).unwrap_or_default();
    Err(Problem::Refused { argument: "mode", value, why: "sum, mul, ave, max and concat of layers are" })
}

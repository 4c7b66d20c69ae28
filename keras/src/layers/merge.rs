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
    joined("axis", arguments, inputs)
}

fn joined(key: &'static str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let rank = inputs.first().map_or(0, |input| input.len());
    match arguments.axes(key, rank, -1)?[..] {
        [axis] => Known::plain(Concatenate { axis }, inputs),
        _ => {
            let value = arguments.given(key).map(json::shown).unwrap_or_default();
            Err(Problem::Refused { argument: key, value, why: "one axis is" })
        }
    }
}

/// Keras 1's layer of all of these.
pub(super) fn keras1(_: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    // What only other modes look at, and shapes that follow from the inputs.
    let beside = ["dot_axes", "output_shape", "output_shape_type", "output_mask", "output_mask_type", "mode_type"];
    beside.into_iter().chain(["arguments", "concat_axis"]).for_each(|key| drop(arguments.given(key)));
    match arguments.text("mode")?.as_deref() {
        None | Some("sum") => Known::plain(Merge::Add, inputs),
        Some("mul") => Known::plain(Merge::Multiply, inputs),
        Some("ave") => Known::plain(Merge::Average, inputs),
        Some("max") => Known::plain(Merge::Maximum, inputs),
        Some("concat") => joined("concat_axis", arguments, inputs),
        Some(other) => {
            let (value, why) = (format!("{other:?}"), "sum, mul, ave, max and concat are");
            Err(Problem::Refused { argument: "mode", value, why })
        }
    }
}

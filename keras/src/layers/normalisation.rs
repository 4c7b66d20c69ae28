//! Normalisation, and the remaining activations.

use super::arguments::Arguments;
use super::known::{Known, one};
use crate::error::Problem;
use crate::json;
use crate::weight::Expected;
use locally_connected::model::{BatchNormalization, GroupNormalization, LayerNormalization, PRelu, Softmax};
use serde_json::Value;

pub(super) fn batch(_: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let input = one(inputs)?;
    let axes = arguments.axes("axis", input.len(), -1)?;
    let [axis] = axes[..] else {
        let value = arguments.given("axis").map(json::shown).unwrap_or_default();
        return Err(Problem::Refused { argument: "axis", value, why: "one axis is" });
    };
    if arguments.boolean("renorm", false)? {
        return Err(Problem::Refused { argument: "renorm", value: "true".into(), why: "only false is" });
    }
    if let Some(value) = arguments.given("virtual_batch_size") {
        let why = "only training has one, which isn't read";
        return Err(Problem::Refused { argument: "virtual_batch_size", value: json::shown(value), why });
    }
    // Keras 1's modes: 1 normalises each sample by itself, 2 by its batch.
    if let Some(mode) = arguments.integer("mode")?.filter(|&mode| mode != 0) {
        return Err(Problem::Refused { argument: "mode", value: mode.to_string(), why: "only 0 is" });
    }
    // The first says how it is computed, the second is never in Keras's files.
    let _ = (arguments.given("fused"), arguments.given("adjustment"));
    let layer = BatchNormalization {
        axis,
        epsilon: arguments.float("epsilon", 1e-3)?,
        momentum: arguments.double("momentum", 0.99)?,
        center: arguments.boolean("center", true)?,
        scale: arguments.boolean("scale", true)?,
    };
    let channels = [input.get(axis).copied().unwrap_or(1)];
    let gamma = layer.scale.then(|| Expected::plain("gamma", channels));
    let beta = layer.center.then(|| Expected::plain("beta", channels));
    let statistics = [Expected::statistic("moving_mean", channels), Expected::statistic("moving_variance", channels)];
    Known::with_weights(layer, gamma.into_iter().chain(beta).chain(statistics).collect(), inputs)
}

pub(super) fn layer(_: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let input = one(inputs)?;
    let axes = arguments.axes("axis", input.len(), -1)?;
    if arguments.boolean("rms_scaling", false)? {
        return Err(Problem::Refused { argument: "rms_scaling", value: "true".into(), why: "only false is" });
    }
    let layer = LayerNormalization {
        axes: axes.clone(),
        epsilon: arguments.float("epsilon", 1e-3)?,
        center: arguments.boolean("center", true)?,
        scale: arguments.boolean("scale", true)?,
    };
    // In the order in which the axes are given.
    let sizes: Vec<usize> = axes.iter().filter_map(|&axis| input.get(axis).copied()).collect();
    let gamma = layer.scale.then(|| Expected::plain("gamma", sizes.as_slice()));
    let beta = layer.center.then(|| Expected::plain("beta", sizes.as_slice()));
    Known::with_weights(layer, gamma.into_iter().chain(beta).collect(), inputs)
}

pub(super) fn group(_: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let input = one(inputs)?;
    let axes = arguments.axes("axis", input.len(), -1)?;
    let [axis] = axes[..] else {
        let value = arguments.given("axis").map(json::shown).unwrap_or_default();
        return Err(Problem::Refused { argument: "axis", value, why: "one axis is" });
    };
    let channels = input.get(axis).copied().unwrap_or(1);
    // As many as channels: instance normalisation.
    let groups = match arguments.integer("groups")? {
        Some(-1) => channels,
        _ => arguments.size("groups")?.unwrap_or(32),
    };
    let layer = GroupNormalization {
        groups,
        axis,
        epsilon: arguments.float("epsilon", 1e-3)?,
        center: arguments.boolean("center", true)?,
        scale: arguments.boolean("scale", true)?,
    };
    let gamma = layer.scale.then(|| Expected::plain("gamma", [channels]));
    let beta = layer.center.then(|| Expected::plain("beta", [channels]));
    Known::with_weights(layer, gamma.into_iter().chain(beta).collect(), inputs)
}

/// The places of PReLU's shared axes. Keras subtracts 1, for the batch, from every axis, and then looks up negative
/// ones from the end. So -1 is the last but one, and 0 is the last.
fn shared_axes(value: &Value, rank: usize) -> Result<Vec<usize>, Problem> {
    let place = |axis: &Value| {
        let axis = json::integer(axis)?.checked_sub(1)?;
        let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
        usize::try_from(axis).ok().filter(|&axis| axis < rank)
    };
    let axes: Option<Vec<usize>> =
        json::list(value).map_or(std::slice::from_ref(value), Vec::as_slice).iter().map(place).collect();
    axes.ok_or_else(|| {
        let (argument, expected) = ("shared_axes", "axes of its input besides the batch");
        locally_connected::Error::UnknownValue { argument, expected, value: json::shown(value) }.into()
    })
}

pub(super) fn prelu(_: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let input = one(inputs)?;
    let shared_axes = match arguments.given("shared_axes") {
        None => Vec::new(),
        Some(value) => shared_axes(value, input.len())?,
    };
    let size = |(axis, &size): (usize, &usize)| if shared_axes.contains(&axis) { 1 } else { size };
    let shape: Vec<usize> = input.iter().enumerate().map(size).collect();
    Known::with_weights(PRelu { shared_axes }, vec![Expected::plain("alpha", shape)], inputs)
}

pub(super) fn softmax(_: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let axes = arguments.axes("axis", one(inputs)?.len(), -1)?;
    Known::plain(Softmax { axes }, inputs)
}

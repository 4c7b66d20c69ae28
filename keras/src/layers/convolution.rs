//! Convolutions, depthwise and separable ones, and dense layers.

use super::arguments::Arguments;
use super::known::{Known, one, rank_of};
use crate::error::Problem;
use crate::weight::Expected;
use locally_connected::geometry::SharedLayout;
use locally_connected::model::{Convolution, Dense, Depthwise, Separable};
use locally_connected::{Activation, Bias, Config, DataFormat, Geometry, Padding};
use std::sync::Arc;

/// Arguments that all convolutions have, with the given number of filters.
fn config(class: &str, arguments: &Arguments<'_>, filters: usize) -> Result<Config, Problem> {
    let rank = rank_of(class);
    let ones = || vec![1; rank];
    let kernel_size = arguments.per_axis("kernel_size", rank)?;
    let kernel_size = kernel_size.ok_or_else(|| Problem::lacks("it", "`kernel_size`"))?;
    let strides = arguments.per_axis("strides", rank)?.unwrap_or_else(ones);
    let dilation = arguments.per_axis("dilation_rate", rank)?.unwrap_or_else(ones);
    let data_format = arguments.data_format()?;
    let padding = match arguments.text("padding")?.as_deref() {
        None | Some("valid") => Padding::Valid,
        Some("same") => Padding::SameUpper,
        Some("causal") if rank == 1 && data_format == DataFormat::ChannelsFirst => {
            let (value, why) = ("\"causal\"".into(), "Keras has it in channels_last alone");
            return Err(Problem::Refused { argument: "padding", value, why });
        }
        Some("causal") if rank == 1 => {
            Padding::causal(kernel_size.first().copied().unwrap_or(1), dilation.first().copied().unwrap_or(1))
        }
        Some(other) => {
            let (argument, expected, value) =
                ("padding", "\"valid\", \"same\", \"causal\" of Conv1D", format!("{other:?}"));
            return Err(locally_connected::Error::UnknownValue { argument, expected, value }.into());
        }
    };
    // Keras's own rule; TensorFlow's kernels need it.
    if strides.iter().any(|&stride| stride > 1) && dilation.iter().any(|&rate| rate > 1) {
        let (value, why) = (format!("{dilation:?}"), "Keras refuses it with strides over 1");
        return Err(Problem::Refused { argument: "dilation_rate", value, why });
    }
    let bias = if arguments.boolean("use_bias", true)? { Bias::PerFilter } else { Bias::None };
    let config = Config::new(filters, kernel_size).strides(strides).dilation_rate(dilation).padding(padding);
    Ok(config.data_format(data_format).activation(arguments.activation(rank + 1)?).bias(bias))
}

/// Keras writes `groups` of depthwise and separable convolutions, too, but never looks at it.
fn ungrouped(arguments: &Arguments<'_>) -> Result<(), Problem> {
    match arguments.size("groups")? {
        None | Some(1) => Ok(()),
        Some(groups) => Err(Problem::Refused { argument: "groups", value: groups.to_string(), why: "only 1 is" }),
    }
}

/// A kernel of windows, and the order of its axes.
fn kernel(name: &'static str, layout: SharedLayout, geometry: Geometry) -> Expected {
    Expected::windows(name, layout, Arc::new(geometry))
}

fn bias(bias: Bias, filters: usize) -> Option<Expected> {
    (bias != Bias::None).then(|| Expected::plain("bias", [filters]))
}

pub(super) fn convolution(class: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let filters = arguments.needed_size("filters")?;
    let config = config(class, arguments, filters)?.groups(arguments.size("groups")?.unwrap_or(1));
    let geometry = arguments.convolution(&config, one(inputs)?)?;
    let bias = bias(config.bias, filters);
    let weights = [kernel("kernel", SharedLayout::Convolution, geometry)].into_iter().chain(bias).collect();
    Known::with_weights(Convolution(config), weights, inputs)
}

/// The geometry of a depthwise convolution.
fn depthwise_geometry(arguments: &Arguments<'_>, config: &Config, input: &[usize]) -> Result<Geometry, Problem> {
    let channels = match config.data_format {
        DataFormat::ChannelsLast => input.last(),
        DataFormat::ChannelsFirst => input.first(),
    };
    let channels = channels.copied().unwrap_or(1);
    let mut config = config.clone().groups(channels);
    config.filters = config.filters.saturating_mul(channels);
    arguments.convolution(&config, input)
}

pub(super) fn depthwise(class: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    ungrouped(arguments)?;
    let config = config(class, arguments, arguments.size("depth_multiplier")?.unwrap_or(1))?;
    let geometry = depthwise_geometry(arguments, &config, one(inputs)?)?;
    let bias = bias(config.bias, geometry.filters() as usize);
    let weights = [kernel("depthwise_kernel", SharedLayout::Depthwise, geometry)].into_iter().chain(bias).collect();
    Known::with_weights(Depthwise(config), weights, inputs)
}

pub(super) fn separable(class: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let filters = arguments.needed_size("filters")?;
    ungrouped(arguments)?;
    let config = config(class, arguments, arguments.size("depth_multiplier")?.unwrap_or(1))?;
    let (activation, has_bias) = (config.activation, config.bias != Bias::None);
    let depthwise = config.clone().activation(Activation::Linear).bias(Bias::None);
    let first = depthwise_geometry(arguments, &depthwise, one(inputs)?)?;
    let point = Config::new(filters, vec![1; config.rank()]).data_format(config.data_format).bias(Bias::None);
    let second = arguments.convolution(&point, &first.output_shape())?;
    let kernels = [
        kernel("depthwise_kernel", SharedLayout::Depthwise, first),
        kernel("pointwise_kernel", SharedLayout::Convolution, second),
    ];
    let weights = kernels.into_iter().chain(bias(config.bias, filters)).collect();
    Known::with_weights(Separable { depthwise, filters, bias: has_bias, activation }, weights, inputs)
}

pub(super) fn dense(_: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Result<Known, Problem> {
    let units = arguments.needed_size("units")?;
    let input = one(inputs)?;
    let (has_bias, activation) = (arguments.boolean("use_bias", true)?, arguments.activation(input.len())?);
    let dense = Dense { units, bias: has_bias, activation };
    // Positions along all axes but the last are locations.
    if let Some((&features, others)) = input.split_last() {
        let locations = others.iter().fold(1usize, |all, &size| all.saturating_mul(size));
        arguments.check_tables(&Config::new(units, [1]), &[locations, features])?;
    }
    let geometry = Geometry::dense(units, input, has_bias, activation)?;
    let bias = has_bias.then(|| Expected::plain("bias", [units]));
    let weights = [kernel("kernel", SharedLayout::Dense, geometry)].into_iter().chain(bias).collect();
    Known::with_weights(dense, weights, inputs)
}

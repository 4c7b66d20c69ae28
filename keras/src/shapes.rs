//! Output shapes of layers that don't run here, so that a locally connected layer after them knows its input shape and
//! can run alone.

use crate::config::data_format_from_keras;
use crate::error::Problem;
use crate::json::{self, Object};
use locally_connected::DataFormat;
use serde_json::Value;

/// The output shape of a layer of `class`, without the batch, with 0 for sizes that aren't known. None if the class
/// isn't known or the config makes no sense: nothing is computed from it, so that is no error.
pub(crate) fn output_shape(class: &str, config: &Object, inputs: &[&[usize]]) -> Option<Vec<usize>> {
    let input = *inputs.first()?;
    match class {
        "BatchNormalization" | "LayerNormalization" | "GroupNormalization" | "UnitNormalization" | "Normalization"
        | "Rescaling" | "Masking" | "PReLU" | "Softmax" | "Activation" => Some(input.to_vec()),
        // Different shapes may be broadcast.
        "Add" | "Subtract" | "Multiply" | "Average" | "Maximum" | "Minimum" => {
            inputs.iter().all(|other| *other == input).then(|| input.to_vec())
        }
        "Dense" => {
            let (_, rest) = input.split_last()?;
            Some(rest.iter().copied().chain([size(config, "units")?]).collect())
        }
        "Conv1D" | "Conv2D" | "Conv3D" | "Convolution1D" | "Convolution2D" | "Convolution3D" | "SeparableConv1D"
        | "SeparableConv2D" | "LocallyConnected1D" | "LocallyConnected2D" | "LocallyConnected3D" => {
            windowed(config, input, "kernel_size", Some(size(config, "filters")?))
        }
        "DepthwiseConv1D" | "DepthwiseConv2D" => {
            let channels = channels(config, input)?;
            let multiplier = config.get("depth_multiplier").map_or(Some(1), self::integer)?;
            windowed(config, input, "kernel_size", Some(channels.checked_mul(multiplier)?))
        }
        "MaxPooling1D" | "MaxPooling2D" | "MaxPooling3D" | "AveragePooling1D" | "AveragePooling2D"
        | "AveragePooling3D" => windowed(config, input, "pool_size", None),
        "GlobalMaxPooling1D"
        | "GlobalMaxPooling2D"
        | "GlobalMaxPooling3D"
        | "GlobalAveragePooling1D"
        | "GlobalAveragePooling2D"
        | "GlobalAveragePooling3D" => {
            if config.get("keepdims").and_then(Value::as_bool) == Some(true) {
                return each_axis(config, input, |_, _| Some(1), None);
            }
            Some(vec![channels(config, input)?])
        }
        "ZeroPadding1D" | "ZeroPadding2D" | "ZeroPadding3D" => {
            let pads = both_sides(config.get("padding")?, input.len().checked_sub(1)?)?;
            each_axis(config, input, |axis, n| known(n, n.checked_add(*pads.get(axis)?)), None)
        }
        "Cropping1D" | "Cropping2D" | "Cropping3D" => {
            let crops = both_sides(config.get("cropping")?, input.len().checked_sub(1)?)?;
            each_axis(config, input, |axis, n| known(n, n.checked_sub(*crops.get(axis)?)), None)
        }
        "UpSampling1D" | "UpSampling2D" | "UpSampling3D" => {
            let factors = per_axis(config.get("size")?, input.len().checked_sub(1)?)?;
            each_axis(config, input, |axis, n| n.checked_mul(*factors.get(axis)?), None)
        }
        "Permute" => {
            let axes = json::list(config.get("dims")?)?;
            axes.iter().map(|axis| input.get(integer(axis)?.checked_sub(1)?).copied()).collect()
        }
        "RepeatVector" => Some([&[size(config, "n")?], input].concat()),
        "Embedding" => Some([input, &[size(config, "output_dim")?]].concat()),
        "Concatenate" => {
            let axis = config.get("axis").map_or(Some(-1), json::integer)?;
            let axis = usize::try_from(if axis < 0 { axis + input.len() as i64 } else { axis - 1 }).ok()?;
            let mut shape = input.to_vec();
            let sizes: Option<Vec<_>> = inputs.iter().map(|input| input.get(axis).copied()).collect();
            let sizes = sizes?;
            let total = sizes.iter().try_fold(0usize, |a, &b| a.checked_add(b))?;
            *shape.get_mut(axis)? = if sizes.contains(&0) { 0 } else { total };
            Some(shape)
        }
        _ => None,
    }
}

fn integer(value: &Value) -> Option<usize> {
    json::integer(value).and_then(|v| usize::try_from(v).ok())
}

fn size(config: &Object, key: &str) -> Option<usize> {
    config.get(key).and_then(integer)
}

fn is_channels_first(config: &Object) -> bool {
    json::given(config, "data_format").is_some_and(|v| data_format_from_keras(v) == Ok(DataFormat::ChannelsFirst))
}

fn channels(config: &Object, input: &[usize]) -> Option<usize> {
    if is_channels_first(config) { input.first().copied() } else { input.last().copied() }
}

/// An unknown size stays unknown.
fn known(n: usize, result: Option<usize>) -> Option<usize> {
    if n == 0 { Some(0) } else { result }
}

/// One number for all axes or a list.
fn per_axis(value: &Value, rank: usize) -> Option<Vec<usize>> {
    match json::list(value) {
        None => Some(vec![integer(value)?; rank]),
        Some(values) if values.len() == rank => values.iter().map(integer).collect(),
        Some(_) => None,
    }
}

/// How much is added before and after each axis in total: `1`; `[1, 2]` (with one axis before and after, with several
/// on both sides of each); or `[[1, 2], …]`.
fn both_sides(value: &Value, rank: usize) -> Option<Vec<usize>> {
    let sum = |value: &Value| match json::list(value) {
        Some(pair) => pair.iter().try_fold(0usize, |a, b| a.checked_add(integer(b)?)),
        None => integer(value)?.checked_mul(2),
    };
    match json::list(value) {
        Some(pair) if rank == 1 && pair.iter().all(Value::is_number) => Some(vec![sum(value)?]),
        Some(values) if values.len() == rank => values.iter().map(sum).collect(),
        Some(_) => None,
        None => Some(vec![sum(value)?; rank]),
    }
}

/// Applies `map` to every spatial axis; if `filters` is given, it becomes the size of the channels.
fn each_axis(
    config: &Object,
    input: &[usize],
    map: impl Fn(usize, usize) -> Option<usize>,
    filters: Option<usize>,
) -> Option<Vec<usize>> {
    let first = is_channels_first(config);
    let at = if first { 0 } else { input.len().checked_sub(1)? };
    let shape = input.iter().enumerate().map(|(i, &n)| match i == at {
        true => Some(filters.unwrap_or(n)),
        false => map(if first { i - 1 } else { i }, n),
    });
    shape.collect()
}

fn windowed(config: &Object, input: &[usize], window: &str, filters: Option<usize>) -> Option<Vec<usize>> {
    let rank = input.len().checked_sub(1)?;
    let kernel = per_axis(config.get(window)?, rank)?;
    // The default strides of a pooling layer are its windows' sizes.
    let default = if window == "pool_size" { kernel.clone() } else { vec![1; rank] };
    let strides = json::given(config, "strides").map_or(Some(default), |v| per_axis(v, rank))?;
    let dilation = json::given(config, "dilation_rate").map_or(Some(vec![1; rank]), |v| per_axis(v, rank))?;
    let padding = json::string(config, "padding").unwrap_or("valid").to_ascii_lowercase();
    let axis = |axis: usize, n: usize| {
        let (k, s, d) = (*kernel.get(axis)?, *strides.get(axis)?, *dilation.get(axis)?);
        if s == 0 {
            return None;
        }
        let span = k.checked_sub(1)?.checked_mul(d)?.checked_add(1)?;
        known(n, if padding == "valid" { Some(n.checked_sub(span)? / s + 1) } else { Some(n.div_ceil(s)) })
    };
    each_axis(config, input, |i, n| if n == 0 { Some(0) } else { axis(i, n) }, filters)
}

/// Elements of an array of that shape.
pub(crate) fn elements(shape: &[usize]) -> Result<u64, Problem> {
    let product = shape.iter().try_fold(1u64, |a, &b| a.checked_mul(b as u64));
    product
        .filter(|&n| n <= i64::MAX as u64 / 8)
        .ok_or_else(|| Problem::TooLarge(shape.iter().map(|&n| n as u64).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shapes_equal_keras() {
        let shape = |class: &str, config: Value, input: &[usize]| {
            output_shape(class, config.as_object().unwrap_or(&Object::new()), &[input])
        };
        let conv = json!({"filters": 3, "kernel_size": [2, 3], "strides": [2, 1], "padding": "valid"});
        assert_eq!(shape("Conv2D", conv.clone(), &[6, 5, 2]), Some(vec![3, 3, 3]));
        assert_eq!(shape("Conv2D", conv, &[0, 5, 2]), Some(vec![0, 3, 3]));
        let pool = json!({"pool_size": [2, 2], "padding": "same", "data_format": "channels_first"});
        assert_eq!(shape("MaxPooling2D", pool, &[2, 5, 4]), Some(vec![2, 3, 2]));
        assert_eq!(shape("Dense", json!({"units": 7}), &[4, 5]), Some(vec![4, 7]));
        let pad = json!({"padding": [[1, 2], [0, 1]], "data_format": "channels_last"});
        assert_eq!(shape("ZeroPadding2D", pad, &[4, 4, 3]), Some(vec![7, 5, 3]));
        assert_eq!(shape("ZeroPadding1D", json!({"padding": [1, 3]}), &[4, 3]), Some(vec![8, 3]));
        assert_eq!(shape("Cropping1D", json!({"cropping": [3, 3]}), &[4, 3]), None);
        assert_eq!(shape("Permute", json!({"dims": [2, 1]}), &[4, 3]), Some(vec![3, 4]));
        assert_eq!(shape("Permute", json!({"dims": [0, 9]}), &[4, 3]), None);
        assert_eq!(shape("GlobalMaxPooling1D", json!({}), &[4, 3]), Some(vec![3]));
        let joined = output_shape("Concatenate", &Object::new(), &[&[4, 3], &[4, 5]]);
        assert_eq!(joined, Some(vec![4, 8]));
        assert_eq!(shape("Conv2D", json!({"filters": 1, "kernel_size": 9, "padding": "valid"}), &[4, 3]), None);
        assert_eq!(shape("Mystery", json!({}), &[4, 3]), None);
    }
}

//! What a layer of the model's JSON is to us.

use super::architecture::Entry;
use super::error::Problem;
use super::json::{self, Object};
use super::local::Local;
use super::model::Kind;
use super::shapes::{self, elements};
use super::weights::{Array, Source};
use crate::Error;
use crate::config::keras::{
    activation_from_keras, activation_layer_from_keras, config_from_keras, data_format_from_keras, rank_of_class,
};
use crate::config::{Activation, Bias, Config, DataFormat, Padding};
use crate::geometry::{Geometry, KerasLayout};
use serde_json::Value;

/// A shape without the batch; 0 where a size isn't known.
pub(super) type Shape = Vec<usize>;

/// The most entries that the tables of one axis may have beyond what the file's own size warrants. A config of a few
/// bytes can claim axes of billions, whose tables nobody could store.
const FREE_TABLE: u64 = 1 << 24;
/// The most positions that an axis may have: half a gigabyte of input for one sample with one channel.
const MOST_POSITIONS: u64 = 1 << 27;

/// Kind and output shape of `entry`, given the shapes of its inputs; an unknown shape is none.
pub(super) fn kind(
    entry: &Entry,
    inputs: &[Option<Shape>],
    own_config: Option<&Config>,
    source: &dyn Source,
) -> Result<(Kind, Option<Shape>, Option<Shape>), Problem> {
    let (class, config) = (entry.class_name.as_str(), &entry.config);
    let declared = declared_input_shape(entry);
    let known: Option<Vec<&[usize]>> = inputs.iter().map(|shape| shape.as_deref()).collect();
    let input = inputs.first().cloned().flatten().or(declared.clone());
    let unsupported = |reason: Option<String>| {
        let output = known.as_ref().and_then(|known| shapes::output_shape(class, config, known));
        Ok((Kind::Unsupported { reason }, input.clone(), output))
    };
    if let Some(rank) = rank_of_class(class) {
        let (local, layout) = read_config(entry, own_config)?;
        let Some(input) = input.clone().or_else(|| from_weights(rank, &local, layout, entry, source)) else {
            return unsupported(Some("its input shape isn't known".into()));
        };
        let local = read_local(entry, local, layout, &input, source)?;
        let output = local.geometry.output_shape();
        return Ok((Kind::LocallyConnected(Box::new(local)), Some(input), Some(output)));
    }
    let is_noise = matches!(
        class,
        "Dropout"
            | "SpatialDropout1D"
            | "SpatialDropout2D"
            | "SpatialDropout3D"
            | "AlphaDropout"
            | "GaussianDropout"
            | "GaussianNoise"
    );
    if let Some(argument) =
        entry.arguments.iter().find(|a| !a.starts_with("training=") || (is_noise && a.ends_with("true")))
    {
        return unsupported(Some(format!("called with {argument}")));
    }
    if class == "InputLayer" {
        let shape = declared
            .or(input)
            .ok_or_else(|| Problem::lacks(format!("layer \"{}\" (InputLayer)", entry.name), "shape"))?;
        return Ok((Kind::Identity, Some(shape.clone()), Some(shape)));
    }
    let same = |kind| Ok((kind, input.clone(), input.clone()));
    if is_noise || class == "ActivityRegularization" {
        return same(Kind::Identity);
    }
    if class == "Activation" {
        return match json::given(config, "activation").map(activation_from_keras) {
            Some(Ok(Activation::Linear)) => same(Kind::Identity),
            Some(Ok(activation)) => same(Kind::Activation(activation)),
            Some(Err(_)) => unsupported(config.get("activation").map(|a| format!("activation {}", json::shown(a)))),
            None => unsupported(Some("it has no `activation`".into())),
        };
    }
    if let Some(activation) = activation_layer_from_keras(class, &with_axis_from_end(config, input.as_deref())) {
        return match activation {
            Ok(activation) => same(Kind::Activation(activation)),
            Err(Error::Unsupported { what, .. }) => unsupported(Some(what)),
            Err(error) => unsupported(Some(error.to_string())),
        };
    }
    let elements = input.iter().flatten().try_fold(1usize, |a, &b| a.checked_mul(b)).filter(|&n| n > 0);
    let elements = elements.filter(|_| input.is_some());
    match class {
        "Flatten" => {
            let data_format =
                json::given(config, "data_format").map_or(Ok(DataFormat::ChannelsLast), data_format_from_keras);
            let data_format = data_format.map_err(|e| in_layer(entry, e))?;
            Ok((Kind::Flatten { data_format }, input.clone(), elements.map(|n| vec![n])))
        }
        "Reshape" => {
            let target = config.get("target_shape").and_then(json::list);
            let target: Option<Vec<i64>> = target.and_then(|t| t.iter().map(json::integer).collect());
            let target =
                target.ok_or_else(|| in_layer(entry, Problem::malformed("`target_shape`", "list of integers")))?;
            let Some(elements) = elements else { return unsupported(Some("its input shape isn't known".into())) };
            let shape = reshape(elements, &target).ok_or_else(|| {
                in_layer(entry, Problem::Reshape { from: input.clone().unwrap_or_default(), to: target.clone() })
            })?;
            Ok((Kind::Reshape(shape.clone()), input.clone(), Some(shape)))
        }
        "Sequential" | "Functional" | "Model" => unsupported(Some("a model in the model".into())),
        _ => unsupported(None),
    }
}

fn in_layer(entry: &Entry, problem: impl Into<Problem>) -> Problem {
    let (layer, class, problem) = (entry.name.clone(), entry.class_name.clone(), Box::new(problem.into()));
    Problem::Layer { layer, class, problem }
}

fn declared_input_shape(entry: &Entry) -> Option<Shape> {
    let config = &entry.config;
    let from_config = config.get("batch_input_shape").or_else(|| config.get("batch_shape")).and_then(json::shape);
    from_config.or_else(|| json::object(&entry.rest, "build_config")?.get("input_shape").and_then(json::shape))
}

/// `target` with its -1 replaced.
fn reshape(elements: usize, target: &[i64]) -> Option<Shape> {
    let mut unknown = 0;
    let mut known = 1usize;
    for &size in target {
        match usize::try_from(size) {
            Ok(size) => known = known.checked_mul(size)?,
            Err(_) => unknown += 1,
        }
    }
    let rest = elements.checked_div(known)?;
    if known.checked_mul(rest)? != elements || unknown > 1 || (unknown == 0 && rest != 1) {
        return None;
    }
    Some(target.iter().map(|&size| usize::try_from(size).unwrap_or(rest)).collect())
}

/// Softmax may name the last axis by its number, with the batch as axis 0.
fn with_axis_from_end(config: &Object, input: Option<&[usize]>) -> Object {
    let mut config = config.clone();
    let axis = match config.get("axis") {
        Some(Value::Array(axes)) if axes.len() == 1 => axes.first().and_then(json::integer),
        axis => axis.and_then(json::integer),
    };
    if let Some(axis) = axis {
        let is_last = input.is_some_and(|input| axis == input.len() as i64);
        config.insert("axis".into(), if is_last { -1 } else { axis }.into());
    }
    config
}

fn read_config(entry: &Entry, own: Option<&Config>) -> Result<(Config, KerasLayout), Problem> {
    let read = |class: &str, config: &Value| config_from_keras(class, config).map_err(|e| in_layer(entry, e));
    let config = Value::Object(entry.config.clone());
    match own {
        None => read(&entry.class_name, &config),
        // Keras's dictionary can't say all that ours can, but it says the layout.
        Some(own) => {
            let layout = json::given(&entry.config, "implementation").map_or(Some(1), json::integer);
            let layout = KerasLayout::from_keras(layout.unwrap_or(0)).map_err(|e| in_layer(entry, e))?;
            own.check().map_err(|e| in_layer(entry, e))?;
            match rank_of_class(&entry.class_name) == Some(own.rank()) {
                true => Ok((own.clone(), layout)),
                false => Err(in_layer(entry, Problem::Rank(own.rank()))),
            }
        }
    }
}

fn read_local(
    entry: &Entry,
    config: Config,
    layout: KerasLayout,
    input: &[usize],
    source: &dyn Source,
) -> Result<Local, Problem> {
    let arrays = source.arrays(&entry.name, &entry.class_name).map_err(|e| in_layer(entry, e))?;
    let expected = if config.bias == Bias::None { 1 } else { 2 };
    if arrays.len() != expected {
        return Err(in_layer(entry, Problem::WeightCount { found: arrays.len(), expected }));
    }
    let mut arrays = arrays.into_iter();
    let (Some(kernel), bias) = (arrays.next(), arrays.next()) else {
        return Err(in_layer(entry, Problem::lacks("it", "kernel")));
    };

    let stored = elements(&kernel.shape).map_err(|e| in_layer(entry, e))?;
    check_tables(&config, input, stored).map_err(|e| in_layer(entry, e))?;
    let geometry = Geometry::new(&config, input).map_err(|e| in_layer(entry, e))?;
    layout.check(&geometry).map_err(|e| in_layer(entry, e))?;
    let read = |what: &'static str, array: Array<'_>, expected: Vec<usize>| {
        if array.shape != expected {
            return Err(in_layer(entry, Problem::Shape { what, expected, found: array.shape }));
        }
        let values = array.read().map_err(|problem| in_layer(entry, problem.within(what)))?;
        match values.len() == expected.iter().product::<usize>() {
            true => Ok(values),
            false => Err(in_layer(entry, Problem::Values { what, shape: expected, found: values.len() })),
        }
    };
    let kernel = read("kernel", kernel, layout.shape(&geometry))?;
    let bias = match (bias, geometry.bias_shape()) {
        (Some(bias), Some(shape)) => Some(read("bias", bias, shape)?),
        _ => None,
    };
    let trainable = entry.config.get("trainable").and_then(Value::as_bool).unwrap_or(true);
    Ok(Local { geometry, layout, kernel, bias, trainable })
}

/// Refuses a config whose tables would be out of proportion to the weights that the file really holds.
fn check_tables(config: &Config, input: &[usize], stored: u64) -> Result<(), Problem> {
    let first = usize::from(config.data_format == DataFormat::ChannelsFirst);
    for (axis, (&k, &s)) in config.kernel_size.iter().zip(&config.strides).enumerate() {
        let Some(&n) = input.get(axis + first) else { return Ok(()) };
        let (n, k, s) = (n as u128, k as u128, (s as u128).max(1));
        let dilation = config.dilation_rate.get(axis).map_or(1, |&d| d as u128);
        let span = k.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
        let windows = |n: u128| if n < span { 0 } else { (n - span) / s + 1 };
        let outputs = match &config.padding {
            Padding::Valid => windows(n),
            Padding::Explicit(pads) => windows(n + pads.get(axis).map_or(0, |p| p[0] as u128 + p[1] as u128)),
            _ => n.div_ceil(s),
        };
        let table = outputs.saturating_mul(k);
        if n > MOST_POSITIONS.into() || table > u128::from(stored.max(FREE_TABLE)) {
            let Config { kernel_size: kernel, strides, .. } = config.clone();
            return Err(Problem::OverWeights { input: input.to_vec(), kernel, strides, stored });
        }
    }
    Ok(())
}

/// The input shape that the shapes of the weights tell, where they tell one.
fn from_weights(
    rank: usize,
    config: &Config,
    layout: KerasLayout,
    entry: &Entry,
    source: &dyn Source,
) -> Option<Shape> {
    let arrays = source.arrays(&entry.name, &entry.class_name).ok()?;
    let kernel = &arrays.first()?.shape;
    if layout == KerasLayout::Implementation2 {
        return (kernel.len() == 2 * rank + 2).then(|| kernel.get(..=rank).map(<[usize]>::to_vec)).flatten();
    }
    // Steps over more than one position leave open how many follow the last window.
    if config.padding != Padding::Valid || config.strides.iter().any(|&s| s != 1) {
        return None;
    }
    let output = arrays.get(1)?.shape.get(..rank)?;
    let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
    let per_channel =
        product(output)?.checked_mul(product(&config.kernel_size)?)?.checked_mul(config.filters).filter(|&n| n > 0)?;
    let channels = product(kernel)?.checked_div(per_channel)?;
    let spatial = output.iter().zip(&config.kernel_size).map(|(&o, &k)| o.checked_add(k)?.checked_sub(1));
    let mut shape = spatial.collect::<Option<Vec<_>>>()?;
    shape.insert(if config.data_format == DataFormat::ChannelsFirst { 0 } else { rank }, channels);
    Some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_as_keras() {
        assert_eq!(reshape(24, &[6, 4, 1]), Some(vec![6, 4, 1]));
        assert_eq!(reshape(24, &[-1, 3]), Some(vec![8, 3]));
        assert_eq!(reshape(24, &[-1]), Some(vec![24]));
        for target in [&[5, -1][..], &[-1, -1], &[4, 5], &[0, -1], &[12], &[48], &[i64::MAX, i64::MAX]] {
            assert_eq!(reshape(24, target), None, "{target:?}");
        }
    }
}

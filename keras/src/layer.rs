//! Reads a layer of the model's JSON: what it does here, and its weights.

use crate::architecture::{Entry, Inside};
use crate::config::{
    LayerConfig, activation_from_keras, activation_layer_from_keras, data_format_from_keras, own_trainable,
    rank_of_class,
};
use crate::error::Problem;
use crate::fit;
use crate::json::{self, Object};
use crate::keras1;
use crate::layers::{self, Arguments, Known};
use crate::local::Local;
use crate::model_file::{Computed, LayerKind};
use crate::reading::Reading;
use crate::shapes;
use crate::weight::{Expected, Weight};
use crate::weights::{Array, Source};
use locally_connected::{Activation, Bias, Config, DataFormat, Error, KerasLayout, Padding};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::OnceCell;

/// A shape without the batch; 0 for a size that isn't known.
pub(crate) type Shape = Vec<usize>;

/// The entry with the class as which it is to be read.
pub(crate) fn as_class<'e, 'a>(entry: Cow<'e, Entry<'a>>, reading: &Reading) -> Cow<'e, Entry<'a>> {
    let registered = entry.rest.get("registered_name").and_then(Value::as_str);
    let names = [Some(entry.class_name.as_str()), registered];
    let Some(class) = names.into_iter().flatten().find_map(|name| reading.classes.get(name)) else {
        return entry;
    };
    let mut entry = entry.into_owned();
    entry.class_name.clone_from(class);
    entry.rest.insert("class_name".into(), class.clone().into());
    // In the native format Keras finds the class by these.
    for (key, value) in [("module", Value::from("keras.layers")), ("registered_name", Value::Null)] {
        if let Some(of_class) = entry.rest.get_mut(key) {
            *of_class = value;
        }
    }
    keras1::rename(class, &mut entry.config);
    Cow::Owned(entry)
}

/// A layer's kind, and the shapes of its input and output.
pub(crate) type Described = (LayerKind, Option<Shape>, Option<Shape>);

/// What is known of a file's layer besides its entry.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    /// The configuration that the user gave for this layer.
    pub(crate) own_config: Option<&'a Config>,
    pub(crate) source: &'a dyn Source,
    pub(crate) reading: &'a Reading,
}

/// What an entry is here, for inputs of these shapes; a shape that isn't known is none.
pub(crate) fn describe(entry: &Entry<'_>, inputs: &[Option<Shape>], around: Around<'_>) -> Result<Described, Problem> {
    let Around { own_config, source, reading } = around;
    let (class, config) = (entry.class_name.as_str(), &entry.config);
    let declared = declared_input_shape(entry);
    let input = inputs.first().cloned().flatten().or(declared.clone());
    let unsupported = |reason| Ok(refused(entry, inputs, reason));
    if let Some(rank) = rank_of_class(class) {
        let (local, layout) = read_config(entry, own_config)?;
        let by_weights = || from_weights(rank, &local, layout, &source.arrays(&entry.name).ok()?);
        let Some(input) = input.clone().or_else(by_weights) else {
            return unsupported(Some("its input shape isn't known".into()));
        };
        let local = read_local(local, layout, &input, source.arrays(&entry.name)?)?;
        let local = Local { trainable: own_trainable(&entry.config)?, ..local };
        let output = local.geometry.output_shape();
        return Ok((LayerKind::LocallyConnected(Box::new(local)), Some(input), Some(output)));
    }
    if let Some(reason) = refused_call(entry, reading) {
        return unsupported(Some(reason));
    }
    if class == "InputLayer" {
        let shape = declared.or(input).ok_or_else(|| Problem::lacks("it", "shape of 16 axes at most"))?;
        return Ok((LayerKind::Identity, Some(shape.clone()), Some(shape)));
    }
    let same = |kind| Ok((kind, input.clone(), input.clone()));
    if matches!(class, "ActivityRegularization" | "Identity") {
        return same(LayerKind::Identity);
    }
    if let Some(noise) = layers::noise(class, &Arguments::new(config), input.as_deref()) {
        return same(LayerKind::Noise(noise?));
    }
    if class == "Activation" {
        return match json::given(config, "activation").map(activation_from_keras) {
            Some(Ok(Activation::Linear)) => same(LayerKind::Identity),
            Some(Ok(activation)) => same(LayerKind::Activation(activation)),
            Some(Err(_)) => unsupported(config.get("activation").map(|a| format!("activation {}", json::shown(a)))),
            None => unsupported(Some("it has no `activation`".into())),
        };
    }
    if let Some(activation) = activation_layer_from_keras(class, &with_axis_from_end(config, input.as_deref())) {
        return match activation {
            Ok(activation) => same(LayerKind::Activation(activation)),
            // Softmax over other axes than the last is a kind of layer by itself.
            Err(Error::Unsupported { .. }) if class == "Softmax" => computed(entry, inputs, source, reading),
            Err(Error::Unsupported { what, .. }) => unsupported(Some(what)),
            Err(error) => unsupported(Some(error.to_string())),
        };
    }
    let elements = input.iter().flatten().try_fold(1usize, |a, &b| a.checked_mul(b)).filter(|&n| n > 0);
    let elements = elements.filter(|_| input.is_some());
    match class {
        "Flatten" => {
            let data_format =
                json::given(config, "data_format").map_or(Ok(DataFormat::ChannelsLast), data_format_from_keras)?;
            Ok((LayerKind::Flatten { data_format }, input.clone(), elements.map(|n| vec![n])))
        }
        "Reshape" => {
            let target = config.get("target_shape").and_then(json::list);
            let target: Option<Vec<i64>> = target.and_then(|t| t.iter().map(json::integer).collect());
            let target = target.ok_or_else(|| Problem::malformed("`target_shape`", "list of integers"))?;
            let Some(elements) = elements else { return unsupported(Some("its input shape isn't known".into())) };
            let shape = reshape(elements, &target).ok_or_else(|| {
                let from = input.clone().unwrap_or_default();
                Problem::Reshape { from, to: target.clone() }
            })?;
            Ok((LayerKind::Reshape(shape.clone()), input.clone(), Some(shape)))
        }
        _ if config.contains_key("layers") => unsupported(Some("a model in the model".into())),
        _ if config.contains_key("layer") => unsupported(Some("a layer in the layer".into())),
        _ => computed(entry, inputs, source, reading),
    }
}

/// Why the arguments of its calls keep a layer from running; none if they don't.
pub(crate) fn refused_call(entry: &Entry<'_>, reading: &Reading) -> Option<String> {
    // The same for all calls.
    let otherwise = OnceCell::new();
    entry.arguments.iter().find_map(|argument| match argument.strip_prefix("training=") {
        None => Some(format!("called with {argument}")),
        Some("false" | "0") => None,
        Some(_) => otherwise.get_or_init(|| trains_otherwise(entry, reading)).as_ref().map(|inner| match inner {
            inner if *inner == entry.name => format!("called with {argument}"),
            inner => format!("called with {argument}, which changes what \"{inner}\" in it does"),
        }),
    })
}

/// The first layer inside this one, or itself, that behaves differently in training. Keras passes the argument on to
/// all of them.
fn trains_otherwise(entry: &Entry<'_>, reading: &Reading) -> Option<String> {
    let entry = as_class(Cow::Borrowed(entry), reading);
    match entry.inside() {
        None => {
            let noise = layers::noise(&entry.class_name, &Arguments::new(&entry.config), None).is_some();
            (noise || entry.class_name == "BatchNormalization").then(|| entry.name.clone())
        }
        Some(Ok(Inside::Model(model))) => model.layers.iter().find_map(|layer| trains_otherwise(layer, reading)),
        Some(Ok(Inside::Wrapped(layer))) => trains_otherwise(&layer, reading),
        // That layer can't be run anyway.
        Some(Err(_)) => None,
    }
}

/// A layer that isn't locally connected and has operations of its own.
fn computed(
    entry: &Entry<'_>,
    inputs: &[Option<Shape>],
    source: &dyn Source,
    reading: &Reading,
) -> Result<Described, Problem> {
    let mut inputs = inputs.to_vec();
    if let [first @ None] = &mut inputs[..] {
        *first = declared_input_shape(entry);
    }
    let sizes = |shape: &Option<Shape>| shape.clone().filter(|shape| !shape.contains(&0));
    let stored = source.arrays(&entry.name).unwrap_or_default();
    let stored = stored.iter().filter_map(|array| shapes::elements(&array.shape).ok()).fold(0, u64::saturating_add);
    let arguments = Arguments::new(&entry.config).storing(stored);
    let shapes: Option<Vec<Shape>> = inputs.iter().map(sizes).collect();
    let Some(shapes) = shapes else {
        let is_known = layers::is_known(&entry.class_name);
        let reason = is_known.then(|| "its input shape isn't known".to_owned());
        return Ok(refused(entry, &inputs, reason));
    };
    let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
    let Some(known) = layers::describe(&entry.class_name, &arguments, &shapes) else {
        return Ok(refused(entry, &inputs, None));
    };
    let Known { kind, weights, output } = known?;
    arguments.finish()?;
    let weights = if weights.is_empty() { Vec::new() } else { read_weights(entry, weights, source, reading)? };
    let kind = LayerKind::Computed(Box::new(Computed { kind, weights, trainable: own_trainable(&entry.config)? }));
    Ok((kind, inputs.into_iter().next().flatten(), Some(output)))
}

/// A layer's weights, in Keras's order. Every weight that has another shape than expected is reported.
fn read_weights(
    entry: &Entry<'_>,
    expected: Vec<Expected>,
    source: &dyn Source,
    reading: &Reading,
) -> Result<Vec<Weight>, Problem> {
    let names: Vec<&'static str> = expected.iter().map(|expected| expected.name).collect();
    let arrays = source.named(&entry.name, &names)?;
    if arrays.len() != expected.len() {
        return Err(Problem::WeightCount { found: arrays.len(), expected: expected.len() });
    }
    let (mut weights, mut problems) = (Vec::new(), Vec::new());
    for (expected, array) in expected.into_iter().zip(arrays) {
        let (name, shape) = (expected.name, expected.stored_shape(&array.shape, reading));
        if shape != expected.shape {
            problems.push(Problem::Shape { what: name, expected: expected.shape, found: array.shape });
        } else if problems.is_empty() {
            let stored = array.shape.clone();
            let values = read_array(name, array)?;
            weights.push(expected.with(&stored, values, reading)?);
        }
    }
    match problems.len() {
        0 => Ok(weights),
        1 => Err(problems.swap_remove(0)),
        _ => Err(Problem::All(problems)),
    }
}

/// The values of an array, after a check of their number.
fn read_array(what: &'static str, array: Array<'_>) -> Result<Vec<f32>, Problem> {
    let shape = array.shape.clone();
    let values = array.read().map_err(|problem| problem.within(what))?;
    match values.len() == shape.iter().product::<usize>() {
        true => Ok(values),
        false => Err(Problem::Values { what, shape, found: values.len() }),
    }
}

/// A layer that can't be run here. Its output shape is what its class makes of its input's, as far as that is known.
pub(crate) fn refused(entry: &Entry<'_>, inputs: &[Option<Shape>], reason: Option<String>) -> Described {
    let mut inputs = inputs.to_vec();
    if let Some(first @ None) = inputs.first_mut() {
        *first = declared_input_shape(entry);
    }
    let known: Option<Vec<&[usize]>> = inputs.iter().map(Option::as_deref).collect();
    let output = known.and_then(|known| shapes::output_shape(&entry.class_name, &entry.config, &known));
    (LayerKind::Unsupported { reason }, inputs.first().cloned().flatten(), output)
}

/// The output shape that the shape of a locally connected layer's bias tells, if it can be read. It holds whatever the
/// description says.
pub(crate) fn output_from_bias(entry: &Entry<'_>, source: &dyn Source) -> Option<Shape> {
    let rank = rank_of_class(&entry.class_name)?;
    let mut shape = source.arrays(&entry.name).ok()?.get(1)?.shape.clone();
    let format = json::given(&entry.config, "data_format").map(data_format_from_keras);
    if matches!(format, Some(Ok(DataFormat::ChannelsFirst))) {
        shape.rotate_right(1);
    }
    (shape.len() == rank + 1).then_some(shape)
}

fn declared_input_shape(entry: &Entry<'_>) -> Option<Shape> {
    let config = &entry.config;
    let from_config = config.get("batch_input_shape").or_else(|| config.get("batch_shape")).and_then(json::shape);
    from_config.or_else(|| json::object(&entry.rest, "build_config")?.get("input_shape").and_then(json::shape))
}

/// `target`, with its -1 replaced by the size that is left.
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

/// A config in which Softmax names the last axis from the end. It may name it by its number, where the batch is axis 0.
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

fn read_config(entry: &Entry<'_>, own: Option<&Config>) -> Result<(Config, KerasLayout), Problem> {
    match own {
        None => {
            let read = LayerConfig::from_keras(&entry.class_name, &Value::Object(entry.config.clone()))?;
            Ok((read.config, read.layout))
        }
        // Keras's dictionary can't express all that ours can, but it has the layout.
        Some(own) => {
            let layout = json::given(&entry.config, "implementation").map_or(Some(1), json::integer);
            let layout = KerasLayout::from_keras(layout.unwrap_or(0))?;
            own.check()?;
            match rank_of_class(&entry.class_name) == Some(own.rank()) {
                true => Ok((own.clone(), layout)),
                false => Err(Problem::Rank(own.rank())),
            }
        }
    }
}

/// A trainable locally connected layer with these arrays.
fn read_local(config: Config, layout: KerasLayout, input: &[usize], arrays: Vec<Array<'_>>) -> Result<Local, Problem> {
    let expected = if config.bias == Bias::None { 1 } else { 2 };
    if arrays.len() != expected {
        return Err(Problem::WeightCount { found: arrays.len(), expected });
    }
    let shapes: Vec<Shape> = arrays.iter().map(|array| array.shape.clone()).collect();
    let mut arrays = arrays.into_iter();
    let (Some(kernel), bias) = (arrays.next(), arrays.next()) else {
        return Err(Problem::lacks("it", "kernel"));
    };
    let geometry = fit::geometry(&config, layout, input, &shapes).map_err(|problem| {
        match fit::other_argument(&config, layout, input, &shapes) {
            Some((argument, value)) => Problem::WouldFit { problem: Box::new(problem), argument, value },
            None => problem,
        }
    })?;
    let kernel = read_array("kernel", kernel)?;
    let bias = bias.map(|bias| read_array("bias", bias)).transpose()?;
    Ok(Local { geometry, layout, kernel, bias, trainable: true })
}

/// The input shape that the shapes of the weights tell, if they tell one.
fn from_weights(rank: usize, config: &Config, layout: KerasLayout, arrays: &[Array<'_>]) -> Option<Shape> {
    let kernel = &arrays.first()?.shape;
    if layout == KerasLayout::Implementation2 {
        return (kernel.len() == 2 * rank + 2).then(|| kernel.get(..=rank).map(<[usize]>::to_vec)).flatten();
    }
    // With strides over 1 it is unknown how many positions follow the last window.
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

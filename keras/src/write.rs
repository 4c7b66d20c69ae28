//! What is written of a [`ModelFile`], and new ones.

use crate::compiled::{Compiled, OPTIMIZER, Slot};
use crate::config::{LayerConfig, activation_layer_to_keras, beyond_keras, layer_trainable, model_trainable, written};
use crate::error::{Problem, Result};
use crate::files::write_file;
use crate::json::{self, Object, to_json};
use crate::layers::noise_to_keras;
use crate::local::Local;
use crate::metadata::{BESIDE, Metadata};
use crate::model_file::{Beside, FileFormat, FileLayer, Frame, LayerKind, ModelFile};
use crate::names::snake_case;
use crate::parts::{FileParts, Named, Parts};
use crate::tree::{Tree, WrittenArray};
use crate::wiring::{Call, Tensor, Wiring};
use locally_connected::{DataFormat, Error};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// The version of Keras that our files name, unless they were read from a file of Keras.
const KERAS_VERSION: &str = "2.15.0";

impl ModelFile {
    /// A new model: a chain of the given layers, each with a name.
    ///
    /// ```
    /// # fn main() -> locally_connected_keras::Result<()> {
    /// use locally_connected::{Activation, Config, Geometry, KerasLayout};
    /// use locally_connected_keras::{FileFormat, LayerKind, Local, ModelFile};
    /// let geometry = Geometry::new(&Config::new(4, [3]).activation(Activation::RELU), &[8, 5])?;
    /// let (kernel, bias) = (vec![0.5; 6 * 15 * 4], Some(vec![0.0; 6 * 4]));
    /// let local = Local { geometry, layout: KerasLayout::Implementation1, kernel, bias, trainable: true };
    /// let layers = vec![
    ///     ("local".into(), LayerKind::LocallyConnected(Box::new(local))),
    ///     ("softmax".into(), LayerKind::Activation(Activation::Softmax)),
    /// ];
    /// let model = ModelFile::sequential("example", &[8, 5], layers)?;
    /// assert_eq!(model.output_shape(), [6, 4]);
    /// let bytes = model.to_bytes(FileFormat::Hdf5)?; // Keras opens it.
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`locally_connected::Error::Shape`] if a layer doesn't take what the one before gives; those of
    /// [`Local::check`]; [`locally_connected::Error::Unsupported`] for [`LayerKind::Unsupported`].
    pub fn sequential(name: &str, input_shape: &[usize], layers: Vec<(String, LayerKind)>) -> Result<Self> {
        sequential(name, input_shape, layers)
    }

    /// The bytes of a file of that format. It includes how the model was compiled and the optimizer's state, except in
    /// an `.npz` and without the crate's feature `compiled`.
    ///
    /// # Errors
    /// Those of [`ModelFile::check_runnable`], and [`locally_connected::Error::Unsupported`] if a layer has something
    /// that Keras's formats can't express.
    pub fn to_bytes(&self, format: FileFormat) -> Result<Vec<u8>> {
        self.parts(format)?.into_bytes()
    }

    /// What [`ModelFile::to_bytes`] makes the bytes of.
    ///
    /// # Errors
    /// As [`ModelFile::to_bytes`].
    pub fn parts(&self, format: FileFormat) -> Result<FileParts<'_>> {
        parts(self, format)
    }

    /// Writes the model in the format of the path's extension, all of it or nothing.
    ///
    /// # Errors
    /// Those of [`ModelFile::to_bytes`] and [`FileFormat::from_path`], and [`crate::Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = self.to_bytes(FileFormat::from_path(path)?)?;
        write_file(path, &bytes)
    }
}

fn parts(model: &ModelFile, format: FileFormat) -> Result<FileParts<'_>> {
    model.check_runnable()?;
    for (layer, local) in model.locals() {
        local.check()?;
        if matches!(format, FileFormat::Hdf5 | FileFormat::Keras)
            && let Some(what) = beyond_keras(local.geometry.config())
        {
            let what = format!("{what} (layer \"{}\")", layer.name);
            return Err(Error::Unsupported { what, with: "in Keras's formats; .safetensors keeps it".into() }.into());
        }
    }
    let state = compiled(model).map(|compiled| compiled.stored_state(model)).transpose()?.flatten();
    let parts = match format {
        FileFormat::Hdf5 => to_hdf5(model, state),
        FileFormat::Keras => to_keras(model, state),
        FileFormat::Safetensors => to_safetensors(model, state),
        FileFormat::Npz => Ok(Parts::Npz(arrays(model))),
    };
    let parts = parts.map_err(|problem| problem.of_file(&model.name))?;
    Ok(FileParts { model: model.name.clone(), parts })
}

/// The number of the optimizer's steps and its other arrays, if there is a state.
type State = Option<(u64, Vec<Slot>)>;

/// A layer's array, by Keras's name.
pub(crate) type Stored<'a> = (&'static str, Vec<usize>, &'a [f32]);

/// The arrays of a locally connected layer in Keras's order.
fn weights(local: &Local) -> Vec<Stored<'_>> {
    let mut weights = vec![("kernel", local.kernel_shape(), local.kernel.as_slice())];
    if let (Some(bias), Some(shape)) = (&local.bias, local.geometry.bias_shape()) {
        weights.push(("bias", shape, bias));
    }
    weights
}

fn arrays(model: &ModelFile) -> Vec<Named<'_>> {
    let mut arrays = Vec::new();
    for layer in model.all_layers() {
        let stored = layer.weights().into_iter();
        arrays.extend(stored.map(|(what, shape, data)| (format!("{}/{what}", layer.name), shape, data.into())));
    }
    arrays
}

fn version(model: &ModelFile) -> &str {
    // A Keras 1 model was turned into a Keras 2 model when it was read.
    if model.keras_version.starts_with("2.") { &model.keras_version } else { KERAS_VERSION }
}

fn is_functional(model: &ModelFile) -> bool {
    json::string(&model.frame.outer, "class_name") != Some("Sequential")
}

/// Keras's JSON of the model: as the native format has it, or as `.h5` does.
fn architecture(model: &ModelFile, native: bool) -> Value {
    let mut config = model.frame.config.clone();
    let functional = is_functional(model);
    let around = model_trainable(&config, &model.layers);
    if config.contains_key("trainable") {
        config.insert("trainable".into(), around.into());
    }
    config.extend(graph(&model.layers, &model.wiring, Style { native, functional, around }));
    let mut outer = model.frame.outer.clone();
    outer.insert("config".into(), config.into());
    outer.shift_remove("compile_config");
    let (module, registered) = match functional {
        true => ("keras.src.engine.functional", json!("Functional")),
        false => ("keras", Value::Null),
    };
    let built_for = Some(&model.input_shape[..]);
    spell(&mut outer, native.then(|| Native { module: json!(module), registered, built_for }));
    if functional && (native || model.frame.outer.contains_key("module")) {
        outer.insert("class_name".into(), json!("Functional"));
    }
    if let Some(compiled) = compiled(model).filter(|_| native) {
        outer.insert("compile_config".into(), compiled.config.clone());
    }
    Value::Object(outer)
}

/// How a model's layers are written.
#[derive(Clone, Copy)]
struct Style {
    native: bool,
    functional: bool,
    /// Whether the model, and all that it is inside of, is written as trainable.
    around: bool,
}

/// The parts of a model's config that list its layers and, for a functional model, their calls.
fn graph(layers: &[FileLayer], wiring: &Wiring, style: Style) -> Object {
    let Style { native, functional, around } = style;
    let name = |layer: usize| layers.get(layer).map_or("", FileLayer::own_name);
    let mut of_layers: Vec<Vec<&Call>> = vec![Vec::new(); layers.len()];
    // The numbers of calls among those of their layers; a model inside the model counts the call that made it.
    let mut numbers = Vec::with_capacity(wiring.calls.len());
    for call in &wiring.calls {
        let first = wiring.first.get(call.layer).copied().unwrap_or(0);
        numbers.push(of_layers.get_mut(call.layer).map_or(0, |calls| {
            calls.push(call);
            first + calls.len() - 1
        }));
    }
    let tensor = |tensor: &Tensor| match *tensor {
        Tensor::Input(index) => json!([wiring.inputs.get(index), 0, 0]),
        Tensor::Output { call, index } => {
            let layer = wiring.calls.get(call).map_or(0, |call| call.layer);
            json!([name(layer), numbers.get(call), index])
        }
    };
    let entry = |(at, layer): (usize, &FileLayer)| {
        let mut entry = layer.rest.clone();
        let mut config = written(layer, around);
        for_keras2(&layer.class_name, &mut config);
        let mut registered = Value::Null;
        if matches!(layer.kind, LayerKind::Model) {
            let functional = layer.class_name != "Sequential";
            let around = around && layer_trainable(layer, around);
            config.extend(graph(&layer.inner, &layer.wiring, Style { native, functional, around }));
            if functional {
                entry.insert("class_name".into(), json!("Functional"));
                registered = json!("Functional");
            }
        }
        let module = match &layer.kind {
            LayerKind::Model if registered.is_null() => "keras",
            LayerKind::Model => "keras.src.engine.functional",
            _ => "keras.layers",
        };
        entry.insert("config".into(), config.into());
        if functional {
            entry.insert("name".into(), json!(name(at)));
            let calls = of_layers.get(at).into_iter().flatten().filter(|_| layer.class_name != "InputLayer");
            let node = |call: &&Call| {
                let of = |from: &Tensor| {
                    let mut from = tensor(from);
                    from.as_array_mut().into_iter().for_each(|from| from.push(json!({})));
                    from
                };
                Value::Array(call.inputs.iter().map(of).collect())
            };
            entry.insert("inbound_nodes".into(), calls.map(node).collect());
        }
        let built_for = (layer.class_name != "InputLayer").then_some(&layer.input_shape[..]);
        spell(&mut entry, native.then(|| Native { module: json!(module), registered, built_for }));
        Value::Object(entry)
    };
    let mut config = Object::new();
    config.insert("layers".into(), layers.iter().enumerate().map(entry).collect());
    if functional {
        config.insert("input_layers".into(), wiring.inputs.iter().map(|name| json!([name, 0, 0])).collect());
        config.insert("output_layers".into(), wiring.outputs.iter().map(tensor).collect());
    }
    config
}

/// Changes what Keras 3 writes otherwise to what Keras 2 reads.
fn for_keras2(class: &str, config: &mut Object) {
    if let Some(name) = config.get("dtype").and_then(|dtype| dtype.get("config")?.get("name")).cloned() {
        config.insert("dtype".into(), name);
    }
    if class == "InputLayer"
        && !config.contains_key("batch_input_shape")
        && let Some(shape) = config.shift_remove("batch_shape")
    {
        config.insert("batch_input_shape".into(), shape);
    }
    if class == "LeakyReLU"
        && !config.contains_key("alpha")
        && let Some(slope) = config.shift_remove("negative_slope")
    {
        config.insert("alpha".into(), slope);
    }
    if class == "LayerNormalization" {
        config.shift_remove("rms_scaling");
    }
}

/// What dictionaries of the native format have and those of `.h5` don't.
struct Native<'a> {
    module: Value,
    registered: Value,
    /// The input shape for which the layer was built, if it was.
    built_for: Option<&'a [usize]>,
}

/// Adds or removes what only the native format has.
fn spell(entry: &mut Object, native: Option<Native<'_>>) {
    let Some(Native { module, registered, built_for }) = native else {
        for key in ["module", "registered_name", "build_config"] {
            entry.shift_remove(key);
        }
        return;
    };
    if !entry.contains_key("module") {
        entry.insert("module".into(), module);
        entry.insert("registered_name".into(), registered);
        if let Some(shape) = built_for {
            entry.insert("build_config".into(), json!({"input_shape": json::batch_shape(shape)}));
        }
    }
}

/// Whether Keras stores the layer's weights as 64-bit floats.
fn is_double(layer: &FileLayer) -> bool {
    layer.dtype_policy() == Some("float64")
}

fn to_hdf5(model: &ModelFile, state: State) -> Result<Parts<'_>, Problem> {
    let mut root = Tree::default();
    root.attribute("keras_version", version(model));
    root.attribute("backend", "tensorflow");
    root.attribute("model_config", &to_json(&architecture(model, false)));
    let group = root.group("model_weights")?;
    group.attribute("keras_version", version(model));
    group.attribute("backend", "tensorflow");
    // Keras's Sequential doesn't count its input as a layer.
    let layers: Vec<&FileLayer> =
        model.layers.iter().filter(|layer| is_functional(model) || layer.class_name != "InputLayer").collect();
    let around = model_trainable(&model.frame.config, &model.layers);
    group.names("layer_names", &layers.iter().map(|layer| layer.name.clone()).collect::<Vec<_>>())?;
    for layer in layers {
        let arrays = layer.in_order(around);
        // A model inside the model has all its weights in its own group, each under its layer's name.
        let inner = format!("{}/", layer.name);
        let path =
            |of: &FileLayer, what: &str| format!("{}/{what}:0", of.name.strip_prefix(&inner).unwrap_or(&of.name));
        let names: Vec<_> = arrays.iter().map(|(of, (what, ..))| path(of, what)).collect();
        group.group(&layer.name)?.names("weight_names", &names)?;
        for (of, (what, shape, data)) in arrays {
            let values = WrittenArray { shape, data: data.into(), double: is_double(of) };
            group.dataset(&format!("{}/{}", layer.name, path(of, what)), values)?;
        }
    }
    group.group("top_level_model_weights")?.names("weight_names", &[])?;
    if let Some(compiled) = compiled(model) {
        root.attribute("training_config", &to_json(&compiled.training_config()));
        if let Some((steps, slots)) = state {
            let group = root.group("optimizer_weights")?;
            let mut names = vec!["iteration:0".to_owned()];
            group.count("iteration:0", steps);
            for Slot { name, shape, values } in slots {
                let name = format!("{name}:0");
                group.dataset(&name, WrittenArray { shape, data: values.into(), double: false })?;
                names.push(name);
            }
            group.names("weight_names", &names)?;
        }
    }
    Ok(Parts::Hdf5(root))
}

/// How the model was compiled, if its optimizer is known.
fn compiled(model: &ModelFile) -> Option<&Compiled> {
    let compiled = model.compiled.as_ref().filter(|_| cfg!(feature = "compiled"))?;
    compiled.config.get("optimizer").is_some_and(Value::is_object).then_some(compiled)
}

/// Writes the groups of a model's layers as the native format has them, below `path`.
fn by_class<'a>(tree: &mut Tree<'a>, path: &str, layers: &'a [FileLayer], functional: bool) -> Result<(), Problem> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for layer in layers.iter().filter(|layer| functional || layer.class_name != "InputLayer") {
        let is_model = matches!(layer.kind, LayerKind::Model);
        let functional = is_model && layer.class_name != "Sequential";
        let mut name = if functional { "functional".to_owned() } else { snake_case(&layer.class_name) };
        let count = counts.entry(name.clone()).or_default();
        if *count > 0 {
            name = format!("{name}_{count}");
        }
        *count += 1;
        let path = format!("{path}layers/{name}");
        let vars = tree.group(&format!("{path}/vars"))?;
        for (index, (_, shape, data)) in layer.weights().into_iter().enumerate() {
            vars.dataset(&index.to_string(), WrittenArray { shape, data: data.into(), double: is_double(layer) })?;
        }
        if is_model {
            by_class(tree, &format!("{path}/"), &layer.inner, functional)?;
        }
    }
    Ok(())
}

fn to_keras(model: &ModelFile, state: State) -> Result<Parts<'_>, Problem> {
    let mut weights = Tree::default();
    weights.group("vars")?;
    by_class(&mut weights, "", &model.layers, is_functional(model))?;
    if let Some((steps, slots)) = state {
        let vars = weights.group("optimizer/vars")?;
        vars.count("0", steps);
        for (at, Slot { shape, values, .. }) in slots.into_iter().enumerate() {
            vars.dataset(&(at + 1).to_string(), WrittenArray { shape, data: values.into(), double: false })?;
        }
    }
    let metadata = json!({"keras_version": version(model)}).to_string();
    Ok(Parts::Keras { metadata, config: to_json(&architecture(model, true)), weights })
}

impl FileLayer {
    /// The layer's name within the model that it is in.
    fn own_name(&self) -> &str {
        self.config.get("name").and_then(Value::as_str).unwrap_or(&self.name)
    }

    /// The layer's own arrays, in Keras's order.
    pub(crate) fn weights(&self) -> Vec<Stored<'_>> {
        match &self.kind {
            LayerKind::LocallyConnected(local) => weights(local),
            LayerKind::Computed(computed) => {
                let all = computed.weights.iter();
                all.map(|weight| (weight.name, weight.shape.clone(), weight.values.as_slice())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The layer's own weights by Keras's names, as the file stores them.
    pub fn weights_by_name(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        self.weights().into_iter().map(|(what, _, values)| (what, values))
    }

    /// All arrays of the layer and of those inside it, in the order in which Keras reads them: first those that are
    /// trained, then the others.
    fn in_order(&self, around: bool) -> Vec<(&Self, Stored<'_>)> {
        let [trained, rest] = self.by_training(around);
        [trained, rest].concat()
    }

    pub(crate) fn by_training(&self, around: bool) -> [Vec<(&Self, Stored<'_>)>; 2] {
        let trains = layer_trainable(self, around);
        if matches!(self.kind, LayerKind::Model) {
            let mut all = [Vec::new(), Vec::new()];
            for layer in &self.inner {
                for (list, more) in all.iter_mut().zip(layer.by_training(around && trains)) {
                    list.extend(more);
                }
            }
            return if trains { all } else { [Vec::new(), all.concat()] };
        }
        let mut lists = [Vec::new(), Vec::new()];
        for weight in self.weights() {
            let statistic = matches!(weight.0, "moving_mean" | "moving_variance");
            lists[usize::from(!trains || statistic)].push((self, weight));
        }
        lists
    }
}

fn to_safetensors(model: &ModelFile, state: State) -> Result<Parts<'_>, Problem> {
    let native = model.frame.outer.contains_key("module");
    let mut architecture = architecture(model, native);
    if let (Some(compiled), Value::Object(outer), false) = (compiled(model), &mut architecture, native) {
        outer.insert("compile_config".into(), compiled.config.clone());
    }
    let metadata = Metadata {
        version: 1,
        keras_version: model.keras_version.clone(),
        model: architecture,
        layers: model.locals().map(|(layer, local)| (layer.name.clone(), local.geometry.config().clone())).collect(),
        iterations: state.as_ref().map(|(steps, _)| *steps),
        beside: model.beside.json.clone(),
    };
    let metadata = to_json(&serde_json::to_value(&metadata).map_err(Problem::format)?);
    let (mut arrays, slots) = (arrays(model), state.map(|(_, slots)| slots).unwrap_or_default());
    arrays.extend(slots.into_iter().map(|slot| (format!("{OPTIMIZER}{}", slot.name), slot.shape, slot.values.into())));
    let beside = model.beside.arrays.iter();
    arrays.extend(beside.map(|(name, array)| (format!("{BESIDE}{name}"), array.shape.clone(), (&array.values).into())));
    Ok(Parts::Safetensors { metadata, arrays })
}

fn sequential(name: &str, input_shape: &[usize], layers: Vec<(String, LayerKind)>) -> Result<ModelFile> {
    let mut frame = Frame::default();
    frame.outer.insert("class_name".into(), json!("Sequential"));
    frame.config.insert("name".into(), json!(name));
    let input = "input".to_owned();
    let config = json!({
        "batch_input_shape": json::batch_shape(input_shape), "dtype": "float32", "sparse": false, "ragged": false,
        "name": input,
    });
    let (input_shape, output_shape) = (input_shape.to_vec(), input_shape.to_vec());
    let first = new_layer(input, "InputLayer".into(), config, LayerKind::Identity);
    let mut model = ModelFile {
        name: name.to_owned(),
        input_shape: input_shape.clone(),
        layers: vec![FileLayer { input_shape, output_shape, ..first }],
        wiring: Wiring::chain(1, "input".to_owned(), "input".to_owned()),
        frame,
        keras_version: KERAS_VERSION.to_owned(),
        compiled: None,
        beside: Beside::default(),
    };
    for (name, kind) in layers {
        if model.layer(&name).is_some() || name.is_empty() {
            let what = format!("a second or unnamed layer \"{name}\"");
            return Err(Error::Unsupported { what, with: "in a model".into() }.into());
        }
        let input = model.output_shape().to_vec();
        let elements = input.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).unwrap_or(0);
        let unsupported = |what: String| Error::Unsupported { what, with: "in a model file".into() };
        let mismatch = |expected: &[usize]| Error::Shape {
            what: format!("the input of layer \"{name}\""),
            expected: format!("{expected:?}"),
            found: input.clone(),
        };
        let base = |key: &str, value: Value| {
            let mut config = Object::new();
            config.insert("name".into(), json!(name));
            config.insert("trainable".into(), json!(true));
            config.insert("dtype".into(), json!("float32"));
            config.insert(key.into(), value);
            Value::Object(config)
        };
        let (class, config, output_shape) = match &kind {
            LayerKind::LocallyConnected(local) => {
                local.check()?;
                if local.geometry.input_shape() != input {
                    return Err(mismatch(local.geometry.input_shape()).into());
                }
                let mut described = LayerConfig::new(local.geometry.config().clone(), local.layout);
                (described.name, described.trainable) = (Some(name.clone()), local.trainable);
                (described.class_name(), described.dictionary().into(), local.geometry.output_shape())
            }
            LayerKind::Activation(activation) => {
                let (class, config) = activation_layer_to_keras(&name, activation)
                    .ok_or_else(|| unsupported(format!("{activation:?} as a layer of its own")))?;
                (class, config, input.clone())
            }
            LayerKind::Flatten { data_format } => {
                let format = match data_format {
                    DataFormat::ChannelsLast => "channels_last",
                    DataFormat::ChannelsFirst => "channels_first",
                };
                ("Flatten".into(), base("data_format", json!(format)), vec![elements])
            }
            LayerKind::Reshape(shape) => {
                if shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b)) != Some(elements) {
                    return Err(mismatch(shape).into());
                }
                ("Reshape".into(), base("target_shape", json!(shape)), shape.clone())
            }
            // The one that needs no arguments.
            LayerKind::Identity => ("Activation".into(), base("activation", json!("linear")), input.clone()),
            LayerKind::Noise(noise) => {
                let (class, arguments) = noise_to_keras(noise, input.len());
                let mut config = Object::new();
                config.insert("name".into(), json!(name));
                config.insert("trainable".into(), json!(true));
                config.insert("dtype".into(), json!("float32"));
                config.extend(arguments.into_iter().map(|(key, value)| (key.to_owned(), value)));
                (class.into(), Value::Object(config), input.clone())
            }
            LayerKind::Computed(_) | LayerKind::Model | LayerKind::Unsupported { .. } => {
                return Err(unsupported(format!("layer \"{name}\"")).into());
            }
        };
        let layer = new_layer(name, class, config, kind);
        model.layers.push(FileLayer { input_shape: input, output_shape, ..layer });
        let output = model.layers.last().map(|last| last.name.clone()).unwrap_or_default();
        model.wiring = Wiring::chain(model.layers.len(), "input".to_owned(), output);
    }
    Ok(model)
}

/// A layer whose shapes aren't known yet.
fn new_layer(name: String, class: String, config: Value, kind: LayerKind) -> FileLayer {
    let mut rest = Object::new();
    rest.insert("class_name".into(), json!(class));
    let (input_shape, output_shape, inner, wiring) = (Vec::new(), Vec::new(), Vec::new(), Wiring::default());
    FileLayer { name, class_name: class, config, input_shape, output_shape, kind, inner, wiring, rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layer's calls aren't looked for among those of all others: that would take minutes.
    #[test]
    fn thousands_of_layers_and_calls_are_written() {
        let new = |_| new_layer("a".into(), "ReLU".into(), json!({}), LayerKind::Identity);
        let layers: Vec<FileLayer> = (0..10_000).map(new).collect();
        let wiring = Wiring { calls: vec![Call { layer: 7, inputs: Vec::new() }; 1_000_000], ..Wiring::default() };
        let written = graph(&layers, &wiring, Style { native: false, functional: true, around: true });
        let calls = |at: usize| written.get("layers")?.get(at)?.get("inbound_nodes")?.as_array().map(Vec::len);
        assert_eq!([6, 7].map(calls), [Some(0), Some(1_000_000)]);
    }
}

//! From a description and weights to a [`ModelFile`]: every layer gets its shapes, its kind and the layers inside it.

use crate::architecture::{Architecture, Entry, Inside};
use crate::config::own_trainable;
use crate::error::Problem;
use crate::layer::{self, Described, Shape};
use crate::layers::{self, Arguments};
use crate::model_file::{Beside, FileLayer, LayerKind, ModelFile};
use crate::reading::Reading;
use crate::shapes;
use crate::weights::Source;
use crate::wiring::{Tensor, Wiring};
use locally_connected::Config;
use locally_connected::model::MOST_AXES;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Gives every layer its shapes, kind and weights. A layer that can't be run, for whatever reason, is marked so and is
/// no error of the file.
pub(crate) fn build(
    architecture: Architecture<'_>,
    reading: &Reading,
    configs: &BTreeMap<String, Config>,
    source: &dyn Source,
) -> Result<ModelFile, Problem> {
    let trainable = own_trainable(&architecture.frame.config)?;
    let place = Place { path: "", trainable, reading, configs, source };
    let inputs = vec![architecture.input_shape.clone(); architecture.wiring.inputs.len()];
    let Architecture { name, frame, layers, wiring, .. } = architecture;
    let Built { layers, input, .. } = place.layers(layers, &wiring, &inputs)?;
    let mut waiting: Vec<&FileLayer> = layers.iter().collect();
    let mut full_names = BTreeSet::new();
    while let Some(layer) = waiting.pop() {
        // "m/dense" may be a layer's own name as well as that of "dense" inside "m", but parameters need unique names.
        if !full_names.insert(&layer.name) {
            return Err(Problem::TwoLayers(layer.name.clone()));
        }
        waiting.extend(&layer.inner);
    }
    let (input_shape, keras_version) = (input.unwrap_or_default(), reading.keras_version.clone());
    Ok(ModelFile { name, input_shape, layers, wiring, frame, keras_version, compiled: None, beside: Beside::default() })
}

/// The longest name of a layer, with those of the layers around it, in bytes: all layers inside a layer have its name before their own.
const LONG_NAME: usize = 1000;
const LONG_NAME_SAYS: &str = "string of at most 1000 bytes";
/// See [`MOST_AXES`].
const MOST_AXES_SAYS: &str = "list of at most 16 sizes";

/// Where layers are: in the model itself, or inside one of its layers.
struct Place<'a> {
    /// The names of the layers around, each followed by a slash.
    path: &'a str,
    /// Whether no layer around is frozen.
    trainable: bool,
    reading: &'a Reading,
    configs: &'a BTreeMap<String, Config>,
    source: &'a dyn Source,
}

/// The layers of a model, with the shapes of its first input and of its outputs, if they are known.
struct Built {
    layers: Vec<FileLayer>,
    input: Option<Shape>,
    outputs: Vec<Option<Shape>>,
}

/// The first call of a layer, with the shapes that it takes and gives.
struct First {
    layer: FileLayer,
    inputs: Vec<Option<Shape>>,
    outputs: Shapes,
}

/// What a call gives. Many calls of one layer give the same.
type Shapes = Rc<[Option<Shape>]>;

impl Place<'_> {
    /// The layers of a model. `given` are the shapes of its inputs where the model doesn't say them.
    fn layers(&self, entries: Vec<Entry<'_>>, wiring: &Wiring, given: &[Option<Shape>]) -> Result<Built, Problem> {
        let mut first: Vec<Option<First>> = entries.iter().map(|_| None).collect();
        // Those that weren't called yet. Their JSON becomes the layers' own: it is much larger than the file.
        let mut entries: Vec<Option<Entry<'_>>> = entries.into_iter().map(Some).collect();
        let mut outputs: Vec<Shapes> = Vec::with_capacity(wiring.calls.len());
        let mut input = None;
        let shape = |tensor: &Tensor, outputs: &[Shapes]| match *tensor {
            Tensor::Input(index) => given.get(index).cloned().flatten(),
            Tensor::Output { call, index } => outputs.get(call).and_then(|call| call.get(index)).cloned().flatten(),
        };
        for call in &wiring.calls {
            let Some((entry, slot)) = entries.get_mut(call.layer).zip(first.get_mut(call.layer)) else { continue };
            let inputs: Vec<_> = call.inputs.iter().map(|tensor| shape(tensor, &outputs)).collect();
            let found = match entry.take() {
                None => slot.as_ref().map(|first| again(first, &inputs)).unwrap_or_default(),
                Some(entry) => {
                    let (layer, outputs) = self.layer(entry, &inputs)?;
                    slot.insert(First { layer, inputs, outputs: outputs.into() }).outputs.clone()
                }
            };
            if call.inputs.contains(&Tensor::Input(0)) && input.is_none() {
                input = slot.as_ref().map(|first| first.layer.input_shape.clone()).filter(|shape| !shape.is_empty());
            }
            outputs.push(found);
        }
        let mut layers = Vec::with_capacity(first.len());
        for (first, entry) in first.into_iter().zip(entries) {
            layers.extend(first.map(|first| first.layer));
            if let Some(entry) = entry {
                layers.push(self.layer(entry, &[None])?.0);
            }
        }
        let outputs = wiring.outputs.iter().map(|tensor| shape(tensor, &outputs)).collect();
        Ok(Built { layers, input, outputs })
    }

    fn layer(&self, entry: Entry<'_>, inputs: &[Option<Shape>]) -> Result<(FileLayer, Vec<Option<Shape>>), Problem> {
        if self.path.len() + entry.name.len() > LONG_NAME {
            return Err(Problem::malformed("a layer's name, with those of the layers around it", LONG_NAME_SAYS));
        }
        let entry = layer::as_class(Cow::Owned(entry), self.reading).into_owned();
        let (mut kind, input, output) = self.described(&entry, inputs)?;
        if [&input, &output].into_iter().flatten().any(|shape| shape.len() > MOST_AXES) {
            return Err(Problem::malformed(format!("the shape of layer \"{}\"", entry.name), MOST_AXES_SAYS));
        }
        let mut outputs = vec![output];
        match &mut kind {
            LayerKind::LocallyConnected(local) => local.trainable &= self.trainable,
            LayerKind::Computed(computed) => computed.trainable &= self.trainable,
            _ => {}
        }
        let (mut inner, mut wiring) = (Vec::new(), Wiring::default());
        if let (LayerKind::Unsupported { reason }, Some(inside)) = (&kind, entry.inside()) {
            match inside.and_then(|inside| self.inside(&entry, inside, inputs)) {
                Ok((built, wired)) => {
                    (inner, outputs) = (built.layers, built.outputs);
                    if let Some(wired) = wired {
                        (kind, wiring) = (LayerKind::Model, wired);
                    }
                }
                Err(problem) if problem.is_of_file() => return Err(problem),
                Err(problem) => {
                    let found = problem.by_keras(&self.reading.keras_version).to_string();
                    let reason = reason.as_ref().map_or(found.clone(), |reason| format!("{reason}: {found}"));
                    kind = LayerKind::Unsupported { reason: Some(reason) };
                }
            }
        }
        let layer = FileLayer {
            name: format!("{}{}", self.path, entry.name),
            class_name: entry.class_name,
            config: Value::Object(entry.config),
            input_shape: input.unwrap_or_default(),
            output_shape: outputs.first().cloned().flatten().unwrap_or_default(),
            kind,
            inner,
            wiring,
            rest: entry.rest,
        };
        Ok((layer, outputs))
    }

    fn described(&self, entry: &Entry<'_>, inputs: &[Option<Shape>]) -> Result<Described, Problem> {
        let own_config = self.configs.get(&format!("{}{}", self.path, entry.name));
        let around = layer::Around { own_config, source: self.source, reading: self.reading };
        match layer::describe(entry, inputs, around) {
            Err(problem) if !problem.is_of_file() => {
                let reason = problem.by_keras(&self.reading.keras_version).to_string();
                let (kind, input, output) = layer::refused(entry, inputs, Some(reason));
                Ok((kind, input, layer::output_from_bias(entry, self.source).or(output)))
            }
            described => described,
        }
    }

    /// The layers inside a layer and, if that is a model which can be called, their calls.
    fn inside(
        &self,
        entry: &Entry<'_>,
        inside: Inside<'_>,
        inputs: &[Option<Shape>],
    ) -> Result<(Built, Option<Wiring>), Problem> {
        let path = format!("{}{}/", self.path, entry.name);
        let trainable = self.trainable && own_trainable(&entry.config)?;
        // A wrapper changes what its layer does, and so may an argument of a model's call.
        let is_called = matches!(inside, Inside::Model(_)) && layer::refused_call(entry, self.reading).is_none();
        let place = |source| Place { path: &path, trainable, source, ..*self };
        match inside {
            Inside::Model(model) => {
                let names = model.in_file();
                let source = self.source.model(&entry.name, &names);
                let inputs: Vec<_> = (0..model.wiring.inputs.len().max(inputs.len()))
                    .map(|at| inputs.get(at).cloned().flatten())
                    .collect();
                let own = |shape: &Option<Shape>| model.input_shape.clone().or(shape.clone());
                let given = if inputs.len() == 1 { inputs.iter().map(own).collect() } else { inputs };
                let built = place(&*source).layers(model.layers, &model.wiring, &given)?;
                Ok((built, is_called.then_some(model.wiring)))
            }
            Inside::Wrapped(wrapped) => {
                let source = self.source.wrapped(&entry.name, &wrapped.name);
                let input = inputs.first().and_then(Option::as_deref);
                // A layer in `TimeDistributed` gets one time step at a time; about other wrappers nothing is known.
                let steps =
                    input.filter(|_| entry.class_name == "TimeDistributed").and_then(|shape| shape.split_first());
                let (layer, _) = place(&*source).layer(*wrapped, &[steps.map(|(_, sample)| sample.to_vec())])?;
                let output = steps.filter(|_| !layer.output_shape.is_empty());
                let output = output.map(|(steps, _)| [&[*steps], layer.output_shape.as_slice()].concat());
                Ok((Built { layers: vec![layer], input: None, outputs: vec![output] }, None))
            }
        }
    }
}

/// The shapes that a further call of a layer gives.
fn again(first: &First, inputs: &[Option<Shape>]) -> Shapes {
    if first.inputs == inputs {
        return first.outputs.clone();
    }
    let known: Option<Vec<&[usize]>> = inputs.iter().map(Option::as_deref).collect();
    let one = |inputs: &[&[usize]]| match &first.layer.kind {
        LayerKind::Identity | LayerKind::Noise(_) | LayerKind::Activation(_) => {
            inputs.first().map(|shape| shape.to_vec())
        }
        LayerKind::Flatten { .. } => {
            let elements = |shape: &&[usize]| usize::try_from(shapes::elements(shape).ok()?).ok();
            inputs.first().and_then(elements).map(|elements| vec![elements])
        }
        LayerKind::Reshape(shape) => Some(shape.clone()),
        LayerKind::Computed(_) => {
            // Its inputs may be larger here than in its first call, but its weights are the same.
            let arguments =
                Arguments::new(first.layer.config.as_object()?).storing(first.layer.parameters().iter().sum());
            let known = layers::describe(&first.layer.class_name, &arguments, inputs);
            known.and_then(Result::ok).map(|known| known.output)
        }
        LayerKind::LocallyConnected(_) | LayerKind::Model | LayerKind::Unsupported { .. } => None,
    };
    let shape = known.and_then(|inputs| one(&inputs)).filter(|shape| shape.len() <= MOST_AXES);
    Rc::new([shape])
}

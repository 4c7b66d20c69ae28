//! From a description and weights to a [`ModelFile`]: every layer gets its shapes, its kind and what is in it.

use crate::architecture::{Architecture, Entry, Inside};
use crate::error::Problem;
use crate::layer::{self, Described, Shape};
use crate::model_file::{FileLayer, LayerKind, ModelFile};
use crate::weights::Source;
use locally_connected::Config;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// Gives every layer its shapes, its kind and its weights. A layer that can't be run, for whatever reason, is one that
/// says so, and nobody else's problem.
pub(crate) fn build(
    architecture: Architecture,
    keras_version: String,
    configs: &BTreeMap<String, Config>,
    source: &dyn Source,
) -> Result<ModelFile, Problem> {
    let trainable = layer::is_trainable(&architecture.frame.config);
    let place = Place { path: "", trainable, keras_version: &keras_version, configs, source };
    let (layers, input_shape) = place.layers(&architecture, None)?;
    let Architecture { name, frame, not_a_chain, .. } = architecture;
    Ok(ModelFile { name, input_shape, layers, not_a_chain, frame, keras_version })
}

/// Where layers stand: in the model itself or in one of its layers.
struct Place<'a> {
    /// The names of the layers around, each with a slash behind.
    path: &'a str,
    /// Whether none of those around is frozen.
    trainable: bool,
    keras_version: &'a str,
    configs: &'a BTreeMap<String, Config>,
    source: &'a dyn Source,
}

impl Place<'_> {
    /// The layers of a model, and the shape of its first input; `input` is that of what the model gets where it
    /// doesn't say it itself.
    fn layers(&self, model: &Architecture, input: Option<&Shape>) -> Result<(Vec<FileLayer>, Shape), Problem> {
        let entries = &model.layers;
        let mut outputs: Vec<Option<Shape>> = vec![None; entries.len()];
        let mut layers: Vec<Option<FileLayer>> = vec![None; entries.len()];
        for index in order(entries) {
            let Some(entry) = entries.get(index) else { continue };
            let mut inputs: Vec<_> = entry.inputs.iter().map(|&from| outputs.get(from).cloned().flatten()).collect();
            if inputs.is_empty() {
                inputs.push(model.input_shape.as_ref().or(input).cloned());
            }
            let layer = self.layer(entry, &inputs)?;
            if let Some(slot) = outputs.get_mut(index) {
                *slot = Some(layer.output_shape.clone()).filter(|shape| !shape.is_empty());
            }
            if let Some(slot) = layers.get_mut(index) {
                *slot = Some(layer);
            }
        }
        let layers: Vec<_> = layers.into_iter().flatten().collect();
        if layers.len() != entries.len() {
            return Err(Problem::Circle(entries.len() - layers.len()));
        }
        let first = entries.iter().position(|entry| entry.inputs.is_empty());
        let input = first.and_then(|first| layers.get(first)).map(|layer| layer.input_shape.clone());
        Ok((layers, input.unwrap_or_default()))
    }

    fn layer(&self, entry: &Entry, inputs: &[Option<Shape>]) -> Result<FileLayer, Problem> {
        let (mut kind, input, mut output) = self.described(entry, inputs)?;
        if let LayerKind::LocallyConnected(local) = &mut kind {
            local.trainable &= self.trainable;
        }
        let mut inner = Vec::new();
        if let (LayerKind::Unsupported { reason }, Some(inside)) = (&mut kind, entry.inside()) {
            let found = inside.and_then(|inside| self.inside(entry, &inside, input.as_ref()));
            match found {
                Ok((layers, shape)) => (inner, output) = (layers, output.or(shape)),
                Err(problem) if problem.is_of_file() => return Err(problem),
                Err(problem) => *reason = Some(problem.by_keras(self.keras_version).to_string()),
            }
        }
        Ok(FileLayer {
            name: format!("{}{}", self.path, entry.name),
            class_name: entry.class_name.clone(),
            config: Value::Object(entry.config.clone()),
            input_shape: input.unwrap_or_default(),
            output_shape: output.unwrap_or_default(),
            kind,
            inner,
            rest: entry.rest.clone(),
        })
    }

    fn described(&self, entry: &Entry, inputs: &[Option<Shape>]) -> Result<Described, Problem> {
        let own_config = self.configs.get(&entry.name).filter(|_| self.path.is_empty());
        match layer::describe(entry, inputs, own_config, self.source) {
            Err(problem) if !problem.is_of_file() => {
                let reason = problem.by_keras(self.keras_version).to_string();
                let (kind, input, output) = layer::refused(entry, inputs, Some(reason));
                Ok((kind, input, layer::output_from_bias(entry, self.source).or(output)))
            }
            described => described,
        }
    }

    /// The layers in a layer that takes `input`, and the shape of its output.
    fn inside(
        &self,
        entry: &Entry,
        inside: &Inside,
        input: Option<&Shape>,
    ) -> Result<(Vec<FileLayer>, Option<Shape>), Problem> {
        let path = format!("{}{}/", self.path, entry.name);
        let place = |source| Place {
            path: &path,
            trainable: self.trainable && layer::is_trainable(&entry.config),
            source,
            ..*self
        };
        match inside {
            Inside::Model(model) => {
                let names = model.in_file();
                let source = self.source.model(&entry.name, &names);
                let (layers, _) = place(&*source).layers(model, input)?;
                let last = layers.last().filter(|_| model.not_a_chain.is_none());
                let output = last.map(|layer| layer.output_shape.clone()).filter(|shape| !shape.is_empty());
                Ok((layers, output))
            }
            Inside::Wrapped(wrapped) => {
                let source = self.source.wrapped(&entry.name, &wrapped.name);
                // Its layer gets one step at a time; of other wrappers nothing is known.
                let steps =
                    input.filter(|_| entry.class_name == "TimeDistributed").and_then(|shape| shape.split_first());
                let layer = place(&*source).layer(wrapped, &[steps.map(|(_, sample)| sample.to_vec())])?;
                let output = steps.filter(|_| !layer.output_shape.is_empty());
                let output = output.map(|(steps, _)| [&[*steps], layer.output_shape.as_slice()].concat());
                Ok((vec![layer], output))
            }
        }
    }
}

/// Indices of the layers, each after all that feed it; layers in a circle are left out.
fn order(entries: &[Entry]) -> Vec<usize> {
    let mut waiting: Vec<usize> = entries.iter().map(|entry| entry.inputs.len()).collect();
    let mut consumers: Vec<Vec<usize>> = vec![Vec::new(); entries.len()];
    for (index, entry) in entries.iter().enumerate() {
        for &from in &entry.inputs {
            if let Some(list) = consumers.get_mut(from) {
                list.push(index);
            }
        }
    }
    let mut ready: VecDeque<usize> =
        waiting.iter().enumerate().filter(|(_, count)| **count == 0).map(|(index, _)| index).collect();
    let mut order = Vec::with_capacity(entries.len());
    while let Some(index) = ready.pop_front() {
        order.push(index);
        for &consumer in consumers.get(index).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(consumer) {
                *count -= 1;
                if *count == 0 {
                    ready.push_back(consumer);
                }
            }
        }
    }
    order
}

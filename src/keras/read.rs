//! From a file's bytes to a [`Model`].

use super::architecture::Architecture;
use super::archive::{self, entry};
use super::error::{Problem, Result};
use super::files::read_file;
use super::hdf5::{self, Reader};
use super::layer::{self, Shape};
use super::metadata::{METADATA_KEY, Metadata};
use super::model::{FileFormat, Layer, Model};
use super::weights::Source;
use crate::config::Config;
use crate::config::keras::rank_of_class;
use safetensors::{SafeTensorError, SafeTensors};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::Cursor;
use std::path::Path;

impl Model {
    /// Reads a whole model. Its format is told by its first bytes, as Keras has saved HDF5 under `.keras`, and else
    /// by its extension.
    ///
    /// # Errors
    /// [`super::Error::Io`], and [`super::Error::File`] for whatever is wrong with the contents.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_file(path)?;
        let format = sniff(&bytes).map_or_else(|| FileFormat::from_path(path), Ok)?;
        model(&path.display().to_string(), bytes, format)
    }

    /// Reads a whole model from memory; `name` stands for the file in errors.
    ///
    /// # Errors
    /// [`super::Error::File`].
    pub fn from_bytes(name: &str, bytes: &[u8], format: FileFormat) -> Result<Self> {
        model(name, bytes.to_vec(), sniff(bytes).unwrap_or(format))
    }
}

/// The format that the first bytes tell, for those that have a signature.
fn sniff(bytes: &[u8]) -> Option<FileFormat> {
    if bytes.starts_with(hdf5::MAGIC) {
        Some(FileFormat::Hdf5)
    } else if bytes.starts_with(b"PK\x03\x04") && !is_npz(bytes) {
        Some(FileFormat::Keras)
    } else {
        None
    }
}

/// Both are zip archives; the first entry tells them apart.
fn is_npz(bytes: &[u8]) -> bool {
    let length = bytes.get(26..28).and_then(|length| length.first_chunk()).map(|length| u16::from_le_bytes(*length));
    let name = length.and_then(|length| bytes.get(30..)?.get(..usize::from(length)));
    name.is_some_and(|name| name.ends_with(b".npy"))
}

fn model(path: &str, bytes: Vec<u8>, format: FileFormat) -> Result<Model> {
    let model = match format {
        FileFormat::Hdf5 => from_hdf5(bytes),
        FileFormat::Keras => from_keras(&bytes),
        FileFormat::Safetensors => from_safetensors(&bytes),
        FileFormat::Npz => {
            Err(Problem::NoModel("an .npz holds arrays without a model; a .h5, .keras or .safetensors is needed"))
        }
    };
    model.map_err(|problem| problem.of_file(path))
}

fn from_hdf5(bytes: Vec<u8>) -> Result<Model, Problem> {
    let file = Reader::new(bytes)?;
    let Some(config) = file.root_attribute("model_config")? else {
        return Err(Problem::NoModel(match file.is_weights_alone() {
            true => {
                "holds weights without the model's config (save_weights wrote it); save the whole model with model.save"
            }
            false => "holds no Keras model: it has no attribute \"model_config\"",
        }));
    };
    let version = file.root_attribute("keras_version")?.unwrap_or_else(|| "1".into());
    build(Architecture::parse(&config)?, version, &BTreeMap::new(), &file.by_name())
}

fn from_keras(bytes: &[u8]) -> Result<Model, Problem> {
    let mut archive = archive::open(bytes)?;
    let version = entry(&mut archive, "metadata.json").ok().and_then(|metadata| {
        let metadata: Value = serde_json::from_slice(&metadata).ok()?;
        Some(metadata.get("keras_version")?.as_str()?.to_owned())
    });
    let version = version.unwrap_or_else(|| "2".into());
    from_archive(&mut archive, version.clone()).map_err(|problem| match version.starts_with("2") {
        true => problem,
        false => Problem::KerasVersion { version, problem: Box::new(problem) },
    })
}

/// The file of a native archive that holds the weights.
const WEIGHTS: &str = "model.weights.h5";

fn from_archive(archive: &mut zip::ZipArchive<Cursor<&[u8]>>, version: String) -> Result<Model, Problem> {
    let config =
        String::from_utf8(entry(archive, "config.json")?).map_err(|_| Problem::malformed("config.json", "UTF-8"))?;
    let architecture = Architecture::parse(&config)?;
    if architecture.layers.iter().all(|layer| rank_of_class(&layer.class_name).is_none()) {
        // Nothing to be read, whatever the weights are.
        return build(architecture, version, &BTreeMap::new(), &Nothing);
    }
    let weights = Reader::new(entry(archive, WEIGHTS)?).map_err(|problem| problem.within(WEIGHTS))?;
    let mut layers: Vec<_> = architecture.layers.iter().collect();
    layers.sort_by_key(|layer| layer.listed);
    let layers: Vec<_> = layers.iter().map(|layer| (layer.name.as_str(), layer.class_name.as_str())).collect();
    let source = weights.by_class(&layers)?;
    build(architecture, version, &BTreeMap::new(), &source)
}

struct Nothing;

impl Source for Nothing {
    fn arrays(&self, _: &str, _: &str) -> Result<Vec<super::weights::Array<'_>>, Problem> {
        Err(Problem::NoWeights)
    }
}

const NO_METADATA: &str = "holds no model: its metadata has no \"locally_connected\"";

fn from_safetensors(bytes: &[u8]) -> Result<Model, Problem> {
    let readable =
        |error: SafeTensorError| Problem::Unreadable { format: "safetensors file", message: error.to_string() };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(readable)?;
    let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY));
    let metadata = metadata.ok_or(Problem::NoModel(NO_METADATA))?;
    let of = "metadata \"locally_connected\"";
    let metadata: Metadata = serde_json::from_str(metadata).map_err(|error| Problem::format(error).within(of))?;
    if metadata.version != 1 {
        return Err(Problem::Version { of, found: metadata.version });
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(readable)?;
    let architecture = Architecture::from_value(metadata.model)?;
    build(architecture, metadata.keras_version, &metadata.layers, &tensors)
}

/// Gives every layer its shapes, its kind and its weights.
fn build(
    architecture: Architecture,
    keras_version: String,
    configs: &BTreeMap<String, Config>,
    source: &dyn Source,
) -> Result<Model, Problem> {
    let Architecture { name, frame, layers: entries, not_a_chain, input_shape } = architecture;
    let mut outputs: Vec<Option<Shape>> = vec![None; entries.len()];
    let mut layers: Vec<Option<Layer>> = vec![None; entries.len()];
    let mut model_input = None;
    for index in order(&entries) {
        let Some(entry) = entries.get(index) else { continue };
        let mut inputs: Vec<_> = entry.inputs.iter().map(|&from| outputs.get(from).cloned().flatten()).collect();
        if inputs.is_empty() {
            inputs.push(input_shape.clone());
        }
        let (kind, input, output) = layer::kind(entry, &inputs, configs.get(&entry.name), source)?;
        if entry.inputs.is_empty() && model_input.is_none() {
            model_input.clone_from(&input);
        }
        if let Some(slot) = layers.get_mut(index) {
            *slot = Some(Layer {
                name: entry.name.clone(),
                class_name: entry.class_name.clone(),
                config: Value::Object(entry.config.clone()),
                input_shape: input.unwrap_or_default(),
                output_shape: output.clone().unwrap_or_default(),
                kind,
                rest: entry.rest.clone(),
            });
        }
        if let Some(slot) = outputs.get_mut(index) {
            *slot = output;
        }
    }
    let layers: Vec<_> = layers.into_iter().flatten().collect();
    if layers.len() != entries.len() {
        return Err(Problem::Circle(entries.len() - layers.len()));
    }
    Ok(Model { name, input_shape: model_input.unwrap_or_default(), layers, not_a_chain, frame, keras_version })
}

/// Indices of the layers, each after all that feed it; layers in a circle are left out.
fn order(entries: &[super::architecture::Entry]) -> Vec<usize> {
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

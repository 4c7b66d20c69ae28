//! From a file's bytes to a [`ModelFile`].

use crate::architecture::Architecture;
use crate::archive::{self, entry};
use crate::build::build;
use crate::error::{Problem, Result};
use crate::files::read_file;
use crate::hdf5::{self, Reader};
use crate::json::from_json;
use crate::metadata::{METADATA_KEY, Metadata};
use crate::model_file::{FileFormat, ModelFile};
use crate::weights::Nothing;
use locally_connected::model::Model;
use safetensors::{SafeTensorError, SafeTensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

/// The model of a file, as it runs: all of [`ModelFile::read`]'s layers.
///
/// # Errors
/// Those of [`ModelFile::read`] and [`ModelFile::model`].
pub fn read(path: impl AsRef<Path>) -> Result<Model> {
    ModelFile::read(path)?.model(None)
}

impl ModelFile {
    /// Reads a whole model. Its format is told by its first bytes, as Keras has saved HDF5 under `.keras`, and else
    /// by its extension.
    ///
    /// # Errors
    /// [`crate::Error::Io`], and [`crate::Error::File`] for whatever is wrong with the contents.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read_file(path)?;
        let format = sniff(&bytes).map_or_else(|| FileFormat::from_path(path), Ok)?;
        model(&path.display().to_string(), bytes, format)
    }

    /// Reads a whole model from memory; `name` stands for the file in errors.
    ///
    /// # Errors
    /// [`crate::Error::File`].
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

fn model(path: &str, bytes: Vec<u8>, format: FileFormat) -> Result<ModelFile> {
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

fn from_hdf5(bytes: Vec<u8>) -> Result<ModelFile, Problem> {
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
    let model = Architecture::parse(&config);
    let model = model.and_then(|model| build(model, version.clone(), &BTreeMap::new(), &file.by_name()));
    model.map_err(|problem| problem.by_keras(&version))
}

fn from_keras(bytes: &[u8]) -> Result<ModelFile, Problem> {
    let mut archive = archive::open(bytes)?;
    let version = entry(&mut archive, "metadata.json").ok().and_then(|metadata| {
        let metadata: Value = serde_json::from_slice(&metadata).ok()?;
        Some(metadata.get("keras_version")?.as_str()?.to_owned())
    });
    let version = version.unwrap_or_else(|| "2".into());
    from_archive(&mut archive, version.clone()).map_err(|problem| problem.by_keras(&version))
}

/// The file of a native archive that holds the weights.
const WEIGHTS: &str = "model.weights.h5";

fn from_archive(archive: &mut zip::ZipArchive<Cursor<&[u8]>>, version: String) -> Result<ModelFile, Problem> {
    let config =
        String::from_utf8(entry(archive, "config.json")?).map_err(|_| Problem::malformed("config.json", "UTF-8"))?;
    let architecture = Architecture::parse(&config)?;
    if !config.contains("LocallyConnected") {
        // Nothing to be read, whatever the weights are.
        return build(architecture, version, &BTreeMap::new(), &Nothing);
    }
    let weights = Reader::new(entry(archive, WEIGHTS)?).map_err(|problem| problem.within(WEIGHTS))?;
    let source = weights.by_class(&architecture.in_file());
    build(architecture, version, &BTreeMap::new(), &source)
}

const NO_METADATA: &str = "holds no model: its metadata has no \"locally_connected\"";

fn from_safetensors(bytes: &[u8]) -> Result<ModelFile, Problem> {
    let readable =
        |error: SafeTensorError| Problem::Unreadable { format: "safetensors file", message: error.to_string() };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(readable)?;
    let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY));
    let metadata = metadata.ok_or(Problem::NoModel(NO_METADATA))?;
    let of = "metadata \"locally_connected\"";
    let metadata: Metadata =
        from_json(metadata).and_then(serde_json::from_value).map_err(|error| Problem::format(error).within(of))?;
    if metadata.version != 1 {
        return Err(Problem::Version { of, found: metadata.version });
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(readable)?;
    let architecture = Architecture::from_value(metadata.model)?;
    build(architecture, metadata.keras_version, &metadata.layers, &tensors)
}

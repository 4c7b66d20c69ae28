//! Reads a file's bytes to a [`ModelFile`].

use crate::architecture::{self, Architecture};
use crate::architectures;
use crate::archive::Archive;
use crate::build::build;
use crate::compiled::{Compiled, OPTIMIZER, StateArray};
use crate::contents::{Contents, Watch};
use crate::error::{Problem, Result};
use crate::files::{io_error, open_file};
use crate::hdf5::{self, Reader};
use crate::json::from_json;
use crate::metadata::{BESIDE, METADATA_KEY, Metadata};
use crate::model_file::{FileFormat, ModelFile};
use crate::npy::NpyArray;
use crate::reading::Reading;
use crate::weights::{Array, Room, Tensors};
use locally_connected::model::Model;
use safetensors::{SafeTensorError, SafeTensors};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The library that Keras ran on when it wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Its convolutions correlate, as they do here.
    TensorFlow,
    /// Its convolutions flip their kernels, so its files have them flipped in space.
    Theano,
}

/// What a file doesn't say itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// The description of a file that holds weights alone: Keras's JSON (`to_json`), or the name of a built-in one:
    /// `deepface`, `deepface-embedding` or `alltnn`. The file's own description, if it has one, isn't used then.
    pub architecture: Option<String>,
    /// Layers of these classes, or registered names, are read as layers of other classes: subclasses or ports of the
    /// layer, for example `Hypercolumn2D` as `LocallyConnected2D`.
    pub classes: BTreeMap<String, String>,
    /// The backend, which files of Keras 1 don't name; without it TensorFlow.
    pub backend: Option<Backend>,
    /// Leaves out how the model was compiled and the optimizer's state, which may be twice as large as the weights. Without the crate's
    /// feature `compiled` they are always left out.
    pub without_optimizer: bool,
}

impl ReadOptions {
    fn with_optimizer(&self) -> bool {
        cfg!(feature = "compiled") && !self.without_optimizer
    }
}

/// Reads a file's model, ready to run: all layers of [`ModelFile::read`].
///
/// # Errors
/// Those of [`ModelFile::read`] and [`ModelFile::model`].
pub fn read(path: impl AsRef<Path>) -> Result<Model> {
    ModelFile::read_with(path, &ReadOptions { without_optimizer: true, ..ReadOptions::default() })?.take_model(None)
}

impl ModelFile {
    /// Reads a whole model. The first bytes tell the format, since Keras has saved HDF5 under `.keras`, else the
    /// extension does. If a `.zip` holds one such file, that is read.
    ///
    /// # Errors
    /// [`crate::Error::Io`], and [`crate::Error::File`] for anything wrong with the contents.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_with(path, &ReadOptions::default())
    }

    /// Reads a model, with options for what the file doesn't say itself.
    ///
    /// # Errors
    /// As [`ModelFile::read`].
    pub fn read_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        Self::open(path.as_ref(), options, None)
    }

    /// As [`ModelFile::read_with`]; calls `watch` from time to time with how much was read. A file that isn't
    /// compressed is never copied into memory beside the weights.
    ///
    /// # Errors
    /// As [`ModelFile::read`].
    pub fn read_watched(path: impl AsRef<Path>, options: &ReadOptions, watch: Watch) -> Result<Self> {
        Self::open(path.as_ref(), options, Some(watch))
    }

    fn open(path: &Path, options: &ReadOptions, watch: Option<Watch>) -> Result<Self> {
        let contents = open_file(path, watch)?;
        let first = contents.first(SIGNATURE).map_err(|error| io_error(path, &error))?;
        let format = sniff(&first).map_or_else(|| FileFormat::from_path(path), Ok)?;
        model(&path.display().to_string(), contents, format, options)
    }

    /// Reads a model from memory; `name` stands for the file in errors.
    ///
    /// # Errors
    /// [`crate::Error::File`].
    pub fn from_bytes(name: &str, bytes: &[u8], format: FileFormat) -> Result<Self> {
        Self::from_bytes_with(name, bytes, format, &ReadOptions::default())
    }

    /// As [`ModelFile::from_bytes`], with options for what the file doesn't say itself.
    ///
    /// # Errors
    /// [`crate::Error::File`].
    pub fn from_bytes_with(name: &str, bytes: &[u8], format: FileFormat, options: &ReadOptions) -> Result<Self> {
        model(name, Contents::held(bytes.to_vec()), sniff(bytes).unwrap_or(format), options)
    }
}

/// How many bytes at most tell the format: a signature, and the first name in an archive.
const SIGNATURE: u64 = 1 << 17;

/// The format that the first bytes tell, if it has a signature.
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

fn model(path: &str, contents: Contents, format: FileFormat, options: &ReadOptions) -> Result<ModelFile> {
    let model = match format {
        FileFormat::Hdf5 => from_hdf5(contents, options),
        FileFormat::Keras => from_zip(&contents, options),
        FileFormat::Safetensors => {
            contents.all().map_err(Problem::format).and_then(|bytes| from_safetensors(&bytes, options))
        }
        FileFormat::Npz => {
            Err(Problem::NoModel("an .npz holds arrays without a model; a .h5, .keras or .safetensors is needed"))
        }
    };
    model.map_err(|problem| problem.of_file(path))
}

/// The JSON of the architecture in the options, if there is one.
fn given(options: &ReadOptions) -> Result<Option<Value>, Problem> {
    let Some(text) = &options.architecture else { return Ok(None) };
    match architectures::built_in(text) {
        Some(known) => Ok(Some(known)),
        None => architecture::parse(text).map(Some).map_err(of_given),
    }
}

fn of_given(problem: Problem) -> Problem {
    problem.within("the architecture")
}

fn reading(version: String, backend: Option<String>, options: &ReadOptions) -> Result<Reading, Problem> {
    let says = match backend.as_deref() {
        Some("theano") => Some(Backend::Theano),
        Some(_) => Some(Backend::TensorFlow),
        None => None,
    };
    if let (Some(says), Some(asked), Some(named)) = (says, options.backend, backend)
        && says != asked
    {
        return Err(Problem::Backend(named));
    }
    let flipped = says.or(options.backend) == Some(Backend::Theano);
    Ok(Reading {
        is_keras1: version.starts_with('1'),
        keras_version: version,
        flipped,
        classes: options.classes.clone(),
    })
}

fn from_hdf5(contents: Contents, options: &ReadOptions) -> Result<ModelFile, Problem> {
    let file = Reader::new(contents)?;
    file.checked(of_hdf5(&file, options))
}

fn of_hdf5(file: &Reader, options: &ReadOptions) -> Result<ModelFile, Problem> {
    let (given, own) = (given(options)?, file.root_attribute("model_config")?);
    let (mut version, mut backend) =
        (file.attribute_of_weights("keras_version")?, file.attribute_of_weights("backend")?);
    let json;
    let architecture = match (&given, own) {
        (Some(given), _) => {
            let given = Architecture::of(given).map_err(of_given)?;
            (version, backend) = (version.or(given.keras_version.clone()), backend.or(given.backend.clone()));
            given
        }
        (None, Some(own)) => {
            let by_keras = |problem: Problem| problem.by_keras(version.as_deref().unwrap_or("1"));
            json = architecture::parse(&own).map_err(by_keras)?;
            Architecture::of(&json).map_err(by_keras)?
        }
        (None, None) => {
            return Err(Problem::NoModel(match file.is_weights_alone() {
                true => {
                    "holds weights without the model's config (save_weights wrote it): --architecture F.json, from \
                     Keras's to_json, or a built-in name gives it; or save the whole model with model.save"
                }
                false => "holds no Keras model: it has no attribute \"model_config\"",
            }));
        }
    };
    let version = version.unwrap_or_else(|| "1".into());
    let reading = reading(version.clone(), backend, options)?;
    let mut model = if file.has_native_groups() {
        let source = file.by_class(&architecture.in_file());
        build(architecture, &reading, &BTreeMap::new(), &source)
    } else {
        let source = file.by_name(&architecture);
        source.and_then(|source| build(architecture, &reading, &BTreeMap::new(), &source))
    };
    if let Ok(model) = &mut model
        && options.architecture.is_none()
        && options.with_optimizer()
    {
        model.compiled = compiled_of_hdf5(file, model);
    }
    model.map_err(|problem| problem.by_keras(&version))
}

/// How the model in an `.h5` file was compiled. A fault in that is no fault of the model.
fn compiled_of_hdf5(file: &Reader, model: &ModelFile) -> Option<Compiled> {
    let training = match file.root_attribute("training_config") {
        Ok(training) => from_json(&training?).map_err(|error| error.to_string()),
        Err(problem) => Err(problem.to_string()),
    };
    Some(match training {
        Ok(training) => Compiled::from_training_config(&training).with_state(model, &|| file.optimizer_by_name()),
        Err(why) => Compiled::unreadable(&why),
    })
}

/// The file in a native archive that holds the weights.
const WEIGHTS: &str = "model.weights.h5";

/// Reads Keras's native format, or an archive with one model file in it.
fn from_zip(whole: &Contents, options: &ReadOptions) -> Result<ModelFile, Problem> {
    let archive = Archive::of(whole)?;
    let is_native = archive.names().any(|name| name == "config.json");
    let is_model = |name: &&str| [".h5", ".hdf5", ".keras"].iter().any(|end| name.ends_with(end));
    let models: Vec<String> = archive.names().filter(is_model).map(str::to_owned).collect();
    match &models[..] {
        _ if is_native => from_keras(&archive, whole, options),
        [one] => {
            let inner = archive.lying(whole, one)?;
            let model = match sniff(&inner.first(SIGNATURE).map_err(Problem::format)?) {
                Some(FileFormat::Hdf5) => from_hdf5(inner, options),
                // An archive inside an archive isn't searched for another.
                Some(FileFormat::Keras) => from_keras(&Archive::of(&inner)?, &inner, options),
                _ => Err(Problem::NoModel("is no model's file")),
            };
            model.map_err(|problem| problem.within(one))
        }
        _ => Err(Problem::Models(models)),
    }
}

/// What is needed of `metadata.json`.
#[derive(Deserialize)]
struct Saved {
    keras_version: String,
}

/// A file of text in the archive that `whole` is.
fn text(archive: &Archive<'_>, whole: &Contents, name: &str) -> Result<String, Problem> {
    let text = String::from_utf8(archive.entry(name)?).map_err(|_| Problem::malformed(name, "UTF-8"))?;
    whole.check_text(&text).map_err(|problem| problem.within(name))?;
    Ok(text)
}

fn from_keras(archive: &Archive<'_>, whole: &Contents, options: &ReadOptions) -> Result<ModelFile, Problem> {
    let saved = match text(archive, whole, "metadata.json") {
        Ok(metadata) => serde_json::from_str::<Saved>(&metadata).ok(),
        Err(Problem::In { problem, part }) if matches!(*problem, Problem::TextLength { .. }) => {
            return Err(problem.within(part));
        }
        // Without it Keras reads the file as well.
        Err(_) => None,
    };
    let version = saved.map_or_else(|| "2".into(), |saved| saved.keras_version);
    from_archive(archive, whole, version.clone(), options).map_err(|problem| problem.by_keras(&version))
}

fn from_archive(
    archive: &Archive<'_>,
    whole: &Contents,
    version: String,
    options: &ReadOptions,
) -> Result<ModelFile, Problem> {
    let config = text(archive, whole, "config.json")?;
    let given = given(options)?;
    let json;
    let architecture = match &given {
        Some(given) => Architecture::of(given).map_err(of_given)?,
        None => {
            json = architecture::parse(&config)?;
            Architecture::of(&json)?
        }
    };
    let reading = reading(version, None, options)?;
    let weights = Reader::new(archive.lying(whole, WEIGHTS)?).map_err(|problem| problem.within(WEIGHTS))?;
    let source = weights.by_class(&architecture.in_file());
    let mut model = weights.checked(build(architecture, &reading, &BTreeMap::new(), &source))?;
    if let Some(config) = model.frame.outer.shift_remove("compile_config").filter(Value::is_object)
        && options.with_optimizer()
    {
        model.compiled = Some(Compiled::from_config(config).with_state(&model, &|| weights.optimizer_by_number()));
    }
    weights.checked(Ok(model))
}

const NO_METADATA: &str = "holds no model: its metadata has no \"locally_connected\"";

fn from_safetensors(bytes: &[u8], options: &ReadOptions) -> Result<ModelFile, Problem> {
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
    let architecture = Architecture::of(&metadata.model)?;
    let reading = reading(metadata.keras_version, None, options)?;
    let room = Room::of(bytes.len() as u64, bytes.len() as u64);
    let source = Tensors { tensors: &tensors, path: String::new(), room: &room };
    let mut model = build(architecture, &reading, &metadata.layers, &source)?;
    if let Some(config) = model.frame.outer.shift_remove("compile_config").filter(Value::is_object)
        && options.with_optimizer()
    {
        let arrays = |names: &[String]| optimizer_tensors(&tensors, names, &room);
        model.compiled = Some(Compiled::from_config(config).with_tensors(&model, metadata.iterations, &arrays));
    }
    model.beside.json = metadata.beside;
    for (name, view) in tensors.tensors() {
        if let Some(name) = name.strip_prefix(BESIDE) {
            let array = Array::safetensors(view, &room);
            let array = NpyArray { shape: array.shape.clone(), values: array.read()? };
            model.beside.arrays.insert(name.to_owned(), array);
        }
    }
    Ok(model)
}

/// The optimizer's tensors.
fn optimizer_tensors(tensors: &SafeTensors<'_>, names: &[String], room: &Room) -> Result<Vec<StateArray>, Problem> {
    let array = |name: &String| {
        let view = tensors.tensor(&format!("{OPTIMIZER}{name}")).map_err(Problem::format)?;
        let array = Array::safetensors(view, room);
        Ok((array.shape.clone(), array.read()?))
    };
    names.iter().map(array).collect()
}

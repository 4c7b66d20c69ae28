//! Opens a model's file, and makes the model that a command works on.

use crate::args::Source;
use crate::failure::{Failure, one_line};
use crate::progress::Progress;
use locally_connected::Error;
use locally_connected::model::Model;
use locally_connected_keras::{self as keras, ModelFile, ReadOptions};
use std::path::Path;

/// The built-in architectures.
const BUILT_IN: [&str; 3] = ["deepface", "deepface-embedding", "alltnn"];

/// Reads a model's file without its optimizer.
pub(crate) fn open(source: &Source, progress: &Progress) -> Result<ModelFile, Failure> {
    read(source, true, progress)
}

/// Reads all of a model's file, and prints what isn't kept of how it was compiled.
pub(crate) fn open_whole(source: &Source, progress: &Progress) -> Result<ModelFile, Failure> {
    let file = read(source, false, progress)?;
    for lost in file.lost() {
        eprintln!("warning: not kept: {}", one_line(lost));
    }
    Ok(file)
}

fn read(source: &Source, without_optimizer: bool, progress: &Progress) -> Result<ModelFile, Failure> {
    let architecture = match &source.architecture {
        None => None,
        Some(name) if BUILT_IN.contains(&name.as_str()) => Some(name.clone()),
        Some(path) => {
            let unreadable = |error: std::io::Error| {
                Failure::request(format!("{path}: {error}")).with_help(format!(
                    "a file of Keras's to_json, or one of the built-in names: {}",
                    BUILT_IN.join(", ")
                ))
            };
            Some(std::fs::read_to_string(Path::new(path)).map_err(unreadable)?)
        }
    };
    let classes = source.classes.iter().cloned().collect();
    let options = ReadOptions { architecture, classes, backend: source.backend.map(Into::into), without_optimizer };
    let file = ModelFile::read_watched(&source.model, &options, progress.bytes());
    progress.set("reading the model");
    Ok(file?)
}

/// The model that runs: all of the file's layers, or the one of `--layer`.
pub(crate) fn model(file: &ModelFile, only: Option<&str>) -> Result<Model, Failure> {
    file.model(only).map_err(|error| refused(file, only, error))
}

/// The same, with the weights taken out of the file, so that they are in memory once.
pub(crate) fn take(file: &mut ModelFile, only: Option<&str>) -> Result<Model, Failure> {
    file.take_model(only).map_err(|error| refused(file, only, error))
}

fn refused(file: &ModelFile, only: Option<&str>, error: keras::Error) -> Failure {
    let names: Vec<_> = file.locals().map(|(layer, _)| layer.name.as_str()).collect();
    let names = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
    match (&error, only) {
        (keras::Error::Core(Error::UnknownValue { .. }), Some(name)) => {
            Failure::request(format!("the model has no layer {name:?}"))
                .with_help(format!("its locally connected layers: {names}"))
        }
        (keras::Error::UnsupportedLayers(_), _) => Failure::from(error).with_help(format!(
            "`--as CLASS=LocallyConnected2D` reads a subclass or a port of the layer; `--layer NAME` runs one locally \
                 connected layer alone; here: {names}"
        )),
        _ => error.into(),
    }
}

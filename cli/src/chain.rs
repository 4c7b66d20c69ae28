//! A model's file, and the part of it that a command works on.

use crate::failure::Failure;
use locally_connected::Error;
use locally_connected::model::Model;
use locally_connected_keras::{self as keras, ModelFile};
use std::path::Path;

/// Reads a model's file.
pub(crate) fn open(path: &Path) -> Result<ModelFile, Failure> {
    Ok(ModelFile::read(path)?)
}

/// The model that runs: all of the file's layers, or the one that `--layer` names.
pub(crate) fn model(file: &ModelFile, only: Option<&str>) -> Result<Model, Failure> {
    file.model(only).map_err(|error| {
        let names: Vec<_> = file.locals().map(|(layer, _)| layer.name.as_str()).collect();
        let names = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
        match (&error, only) {
            (keras::Error::Core(Error::UnknownValue { .. }), Some(name)) => {
                Failure::request(format!("the model has no layer {name:?}"))
                    .with_help(format!("its locally connected layers: {names}"))
            }
            (keras::Error::UnsupportedLayers(_) | keras::Error::NotAChain(_), _) => Failure::from(error)
                .with_help(format!("`--layer NAME` runs one locally connected layer alone; here: {names}")),
            _ => error.into(),
        }
    })
}

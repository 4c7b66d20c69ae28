//! The part of a model that a command works on.

use crate::failure::Failure;
use locally_connected::Error;
use locally_connected::keras::{self, Layer, Model};
use std::path::Path;

/// Reads a model.
pub(crate) fn open(path: &Path) -> Result<Model, Failure> {
    Ok(Model::read(path)?)
}

/// The layers that run: all, or the one that `--layer` names.
pub(crate) fn layers<'m>(model: &'m Model, only: Option<&str>) -> Result<&'m [Layer], Failure> {
    model.runnable(only).map_err(|error| {
        let names: Vec<_> = model.locals().map(|(layer, _)| layer.name.as_str()).collect();
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

/// The shapes of one input and of one output sample of `layers`.
pub(crate) fn shapes(layers: &[Layer]) -> (Vec<usize>, Vec<usize>) {
    let input = layers.first().map(|layer| layer.input_shape.clone()).unwrap_or_default();
    let output = layers.last().map(|layer| layer.output_shape.clone()).unwrap_or_default();
    (input, output)
}

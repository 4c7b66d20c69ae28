//! Files of models and arrays: read; whatever is read is asked, planned, run if it is small, and written.

use crate::programs;
use locally_connected::model::Wanted;
use locally_connected::train::{Goals, Training};
use locally_connected_keras::{FileFormat, ModelFile, ReadOptions, npy};

/// Weights alone, for architectures that are given.
const WEIGHTS: &[u8] = include_bytes!("../../tests/fixtures/cases/weights_only/legacy_weights.h5");

pub(crate) fn hdf5(bytes: &[u8]) {
    read(bytes, FileFormat::Hdf5, &ReadOptions::default());
}

pub(crate) fn keras(bytes: &[u8]) {
    read(bytes, FileFormat::Keras, &ReadOptions::default());
}

pub(crate) fn safetensors(bytes: &[u8]) {
    read(bytes, FileFormat::Safetensors, &ReadOptions::default());
}

/// The architecture that the seeds of [`weights`] are of.
pub(crate) const ARCHITECTURE: &str = include_str!("../../tests/fixtures/cases/weights_only/config.json");

pub(crate) fn weights(bytes: &[u8]) {
    let options = ReadOptions { architecture: Some(ARCHITECTURE.to_owned()), ..ReadOptions::default() };
    read(bytes, FileFormat::Hdf5, &options);
}

pub(crate) fn architecture(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let options = ReadOptions { architecture: Some(text.to_owned()), ..ReadOptions::default() };
    read(WEIGHTS, FileFormat::Hdf5, &options);
}

pub(crate) fn arrays(bytes: &[u8]) {
    if let Ok(array) = npy::npy_from_bytes("fuzzed", bytes) {
        assert_eq!(array.shape.iter().product::<usize>(), array.values.len());
    }
    if let Ok(arrays) = npy::npz_from_bytes("fuzzed", bytes) {
        for (_, array) in arrays {
            assert_eq!(array.shape.iter().product::<usize>(), array.values.len());
        }
    }
}

fn read(bytes: &[u8], format: FileFormat, options: &ReadOptions) {
    match ModelFile::from_bytes_with("fuzzed", bytes, format, options) {
        Ok(file) => use_it(&file, bytes.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Whatever a host may do with a model that it has read.
fn use_it(file: &ModelFile, length: usize) {
    let _ = (file.output_shape(), file.keras_version(), file.all_layers().count());
    file.all_layers().for_each(|layer| _ = (layer.parameters(), layer.dtype_policy()));
    let formats = [FileFormat::Hdf5, FileFormat::Keras, FileFormat::Safetensors, FileFormat::Npz];
    let format = formats[length % formats.len()];
    if let Ok(written) = file.to_bytes(format)
        && format != FileFormat::Npz
    {
        let again = ModelFile::from_bytes("written", &written, format);
        assert!(again.is_ok(), "what was written as {format:?} isn't read: {:?}", again.err());
    }
    let Ok(model) = file.model(None) else {
        assert!(file.check_runnable().is_err() || file.graph().is_err(), "a model that runs isn't one");
        return;
    };
    assert_eq!(model.check(), Ok(()));
    programs::use_it(&model.graph.forward());
    programs::use_it(&model.graph.backward(Wanted::All));
    let Some(compiled) = &file.compiled else { return };
    let outputs: Vec<String> = model.graph.outputs().iter().map(|end| end.name.to_owned()).collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    if let (Ok(optimizer), Ok(goals)) = (compiled.optimizer(), compiled.goals(&outputs))
        && let goals = outputs.iter().map(|&name| name.to_owned()).zip(goals).collect()
        && let Ok(training) = Training::new(&model.graph, optimizer, Goals::Named(goals))
    {
        programs::use_it(&training.step());
        programs::use_it(&training.evaluation());
    }
}

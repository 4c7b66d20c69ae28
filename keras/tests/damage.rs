//! Damaged and hostile files: an error or a model, never a panic, never more memory than the file warrants.

use crate::common::fixture;
use locally_connected_keras::{Error, FileFormat, ModelFile, Result, npy};
use serde_json::{Value, json};
use std::io::{Cursor, Read, Write};
use std::path::PathBuf;

/// Xorshift: the same places in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }
}

fn cases() -> PathBuf {
    fixture("cases")
}

fn one_line(result: Result<ModelFile>) -> Option<String> {
    match result {
        Ok(_) => None,
        Err(error @ Error::File { .. }) => {
            let text = error.to_string();
            let message = text.strip_prefix("damaged: ").expect("the name that was given").to_owned();
            assert!(!message.contains('\n') && !message.is_empty(), "{message}");
            Some(message)
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Files of every kind: Keras's own, and what we write of them.
fn files() -> Vec<(FileFormat, Vec<u8>)> {
    let mut files = Vec::new();
    let models = ["functional_2d_mixed", "slash_names", "config_full", "compiled_adam", "weights_only"];
    for model in models {
        for (extension, format) in [("h5", FileFormat::Hdf5), ("keras", FileFormat::Keras)] {
            let bytes = std::fs::read(cases().join(format!("{model}/model.{extension}"))).unwrap();
            let model = ModelFile::from_bytes("fixture", &bytes, format).unwrap();
            files.push((format, bytes));
            for format in [FileFormat::Hdf5, FileFormat::Keras, FileFormat::Safetensors] {
                files.push((format, model.to_bytes(format).unwrap()));
            }
        }
    }
    files.push((FileFormat::Hdf5, std::fs::read(cases().join("old_keras_h5/model.h5")).unwrap()));
    files
}

#[test]
fn truncated_files_are_refused() {
    let mut random = Random(2);
    for (format, bytes) in files() {
        let ends = (0..60).chain((1..60).map(|n| bytes.len() - n));
        for length in ends.chain((0..150).map(|_| random.below(bytes.len()))).collect::<Vec<_>>() {
            let result = ModelFile::from_bytes("damaged", &bytes[..length], format);
            assert!(one_line(result).is_some(), "{format:?} of {} bytes, cut to {length}", bytes.len());
        }
    }
    for name in ["slash_names/x.npy", "slash_names/grads.npz"] {
        let bytes = std::fs::read(cases().join(name)).unwrap();
        for length in 0..bytes.len() {
            let is_error = match name.ends_with("npy") {
                true => npy::npy_from_bytes("damaged", &bytes[..length]).is_err(),
                false => npy::npz_from_bytes("damaged", &bytes[..length]).is_err(),
            };
            assert!(is_error, "{name} of {} bytes, cut to {length}", bytes.len());
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    let mut random = Random(3);
    let mut refused = 0;
    for (format, bytes) in files() {
        for round in 0..400 {
            let mut bytes = bytes.clone();
            // Where the structure is, in every other round.
            let end = if round % 2 == 0 { bytes.len() } else { bytes.len().min(4096) };
            for _ in 0..1 + round % 3 {
                bytes[random.below(end)] ^= 1 << random.below(8);
            }
            let model = ModelFile::from_bytes("damaged", &bytes, format);
            let runs = model.as_ref().is_ok_and(|model| model.check_runnable().is_ok());
            one_line(model);
            refused += usize::from(!runs);
        }
    }
    assert!(refused > 1000, "{refused}");
    for name in ["slash_names/x.npy", "slash_names/grads.npz"] {
        let original = std::fs::read(cases().join(name)).unwrap();
        for _ in 0..2000 {
            let mut bytes = original.clone();
            bytes[random.below(original.len())] ^= 1 << random.below(8);
            let _ = npy::npy_from_bytes("damaged", &bytes);
            let _ = npy::npz_from_bytes("damaged", &bytes);
        }
    }
}

/// A `.keras` file with another `config.json`.
fn with_config(archive: &[u8], config: &str) -> Vec<u8> {
    let mut old = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut new = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for name in ["metadata.json", "config.json", "model.weights.h5"] {
        new.start_file(name, options).unwrap();
        if name == "config.json" {
            new.write_all(config.as_bytes()).unwrap();
        } else {
            let mut contents = Vec::new();
            old.by_name(name).unwrap().read_to_end(&mut contents).unwrap();
            new.write_all(&contents).unwrap();
        }
    }
    new.finish().unwrap().into_inner()
}

fn config_of(archive: &[u8]) -> Value {
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    serde_json::from_reader(archive.by_name("config.json").unwrap()).unwrap()
}

/// Pointers to every value in `value`.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| pointers(value, &format!("{at}/{i}"), found));
        }
        _ => {}
    }
}

#[test]
fn every_value_of_a_config_may_be_anything() {
    let values = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1),
        json!(2),
        json!(4_294_967_295u64),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(0.5),
        json!(true),
        json!("x"),
        json!("same"),
        json!("channels_first"),
        json!([]),
        json!([1, 1]),
        json!([4_000_000_000u64, 4_000_000_000u64]),
        json!([[1]]),
        json!({}),
        json!([null, 1 << 26, 1 << 26]),
        json!([null, 3_000_000_000u64, 1, 2]),
        json!({"items": [[]]}),
        json!({"class_name": "x", "config": {}}),
    ];
    for name in ["functional_2d_mixed", "chain_2d_reshape_1d"] {
        let archive = std::fs::read(cases().join(name).join("model.keras")).unwrap();
        let original = config_of(&archive);
        let mut places = Vec::new();
        pointers(&original, "", &mut places);
        let unread = ["_initializer", "_regularizer", "_constraint"];
        for place in places.iter().filter(|place| !unread.iter().any(|key| place.contains(key))) {
            for value in &values {
                let mut config = original.clone();
                *config.pointer_mut(place).unwrap() = value.clone();
                let bytes = with_config(&archive, &config.to_string());
                if let Ok(model) = ModelFile::from_bytes("damaged", &bytes, FileFormat::Keras) {
                    // What is read can be asked and written without harm.
                    if model.check_runnable().is_ok() {
                        let _ = model.to_bytes(FileFormat::Keras);
                    }
                }
            }
        }
    }
}

#[test]
fn sizes_that_the_file_does_not_hold_are_refused() {
    let archive = std::fs::read(cases().join("2d_cl_i1_f1c1_s23_elu/model.keras")).unwrap();
    let refusal = |edits: &[(&str, Value)]| {
        let mut config = config_of(&archive);
        for (key, value) in edits {
            for layer in config["config"]["layers"].as_array_mut().unwrap() {
                if layer["config"].get(*key).is_some() || (*key == "groups" && layer["class_name"] != "InputLayer") {
                    layer["config"][*key] = value.clone();
                }
            }
        }
        let bytes = with_config(&archive, &config.to_string());
        let model =
            ModelFile::from_bytes("damaged", &bytes, FileFormat::Keras).expect("a model whose layer can't be run");
        model.check_runnable().expect_err("a refusal").to_string()
    };
    let shape = "batch_input_shape";
    let huge = json!([null, 4_000_000_000u64, 1, 1]);
    for edits in [
        &[(shape, huge.clone()), ("kernel_size", json!([1, 1]))][..],
        &[(shape, huge), ("kernel_size", json!([4_000_000_000u64, 1]))],
        &[(shape, json!([null, 1 << 26, 1, 1])), ("kernel_size", json!([1 << 13, 1])), ("strides", json!([1, 1]))],
        &[("strides", json!([u32::MAX, u32::MAX]))],
        &[("filters", json!(4_000_000_000u64))],
        &[("kernel_size", json!([8, 2]))],
        &[("kernel_size", json!([2, 2, 2]))],
        &[("kernel_size", json!([0, 2]))],
        &[(shape, json!([null, null, 8, 1]))],
        &[(shape, json!([null, 7, 8]))],
        &[("activation", json!("nonsense"))],
        &[("padding", json!("causal"))],
        &[("padding", json!("same"))],
        &[("implementation", json!(4))],
        &[("implementation", json!(2))],
        &[("data_format", json!("NHWC"))],
        &[("use_bias", json!(false))],
        &[("groups", json!(2))],
    ] {
        let error = refusal(edits);
        let start = "layers that can't be run here: locally_connected2d (LocallyConnected2D: ";
        assert!(error.starts_with(start), "{edits:?}: {error}");
    }
}

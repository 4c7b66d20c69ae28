//! Trainings of the real Keras (tests/fixtures/trainings), from the same weights, on every executor.

use crate::common::fixture;
use locally_connected_keras::compiled::Compiled;
use locally_connected_keras::npy::{NpyArray, read_npz};
use locally_connected_keras::{FileFormat, ModelFile};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// A training as `make_training_fixtures.py` stores it.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) described: Value,
    pub(crate) arrays: BTreeMap<String, NpyArray>,
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let files = std::fs::read_dir(fixture("trainings")).expect("the fixtures").map(|entry| entry.expect("it").path());
    let mut paths: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    assert!(paths.len() >= 120, "{}", paths.len());
    paths
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).expect("text");
            let described: Value = serde_json::from_str(&text).expect("JSON");
            let name = described["name"].as_str().expect("a name").to_owned();
            let arrays = read_npz(path.with_extension("npz")).expect("arrays").into_iter().collect();
            Case { name, described, arrays }
        })
        .collect()
}

impl Case {
    /// The arrays under a prefix, by the rest of their names.
    pub(crate) fn under(&self, prefix: &str) -> BTreeMap<&str, &NpyArray> {
        self.arrays.iter().filter_map(|(name, array)| Some((name.strip_prefix(prefix)?, array))).collect()
    }

    /// The model with the weights of a time, `before` or `after`, compiled as it was.
    pub(crate) fn file(&self, when: &str) -> ModelFile {
        let arrays = self.under(&format!("{when}/"));
        let views = arrays.iter().map(|(name, array)| {
            let view = TensorView::new(Dtype::F32, array.shape.clone(), bytemuck::cast_slice(&array.values));
            (*name, view.expect("a tensor"))
        });
        let metadata = json!({"version": 1, "keras_version": "2.15.0", "model": self.described["model"], "layers": {}});
        let metadata = HashMap::from([("locally_connected".to_owned(), metadata.to_string())]);
        let bytes = safetensors::serialize(views, Some(metadata)).expect("a file");
        let mut file = ModelFile::from_bytes(&self.name, &bytes, FileFormat::Safetensors)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        file.compiled = Some(Compiled::from_config(self.described["compile"].clone()));
        file
    }
}

#[test]
fn trainings_are_read() {
    for case in cases() {
        let name = &case.name;
        let file = case.file("before");
        let model = file.model(None).unwrap_or_else(|error| panic!("{name}: {error}"));
        let compiled = file.compiled.as_ref().expect("it was");
        compiled.optimizer().unwrap_or_else(|error| panic!("{name}: {error}"));
        for (at, end) in model.graph.outputs().into_iter().enumerate() {
            compiled.loss(at, end.name).unwrap_or_else(|error| panic!("{name}: {error}"));
            for weighted in [false, true] {
                compiled.metrics(at, end.name, weighted).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
        // What is trained is taken back into the file's own layouts.
        let (mut ours, after) = (case.file("before"), case.file("after"));
        let trained = after.model(None).expect("it runs").parameters;
        ours.set_parameters(&trained).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(ours.model(None).expect("it runs").parameters == trained, "{name}");
        if !["masked_out", "constraint_radial_local"].contains(&name.as_str()) {
            for (ours, after) in ours.all_layers().zip(after.all_layers()) {
                assert!(ours.kind == after.kind, "{name}: {}", ours.name);
            }
        }
    }
}

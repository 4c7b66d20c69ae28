//! Trainings of the real Keras (tests/fixtures/trainings) as they are stored, and its files of models that were trained.

use crate::common::fixture;
use locally_connected::headless::{Cpu, Device, DeviceOptions};
use locally_connected::train::{Data, FitOptions, Trainer, Training};
use locally_connected_keras::compiled::Compiled;
use locally_connected_keras::npy::{NpyArray, read_npz};
use locally_connected_keras::{FileFormat, ModelFile};
use pollster::block_on;
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

/// How far ours may end from Keras's: in parts of the largest weight of a variable, and of a history's value.
const OF_WEIGHTS: f32 = 2e-4;
const OF_HISTORY: f64 = 5e-4;

/// The samples of a training.
fn data(case: &Case) -> Data<'_> {
    let inputs = case.under("x/").into_iter();
    let data = inputs.fold(Data::default(), |data, (name, array)| data.input(name, &array.values));
    let targets = case.under("t/").into_iter();
    targets.fold(data, |data, (name, array)| data.target(name, &array.values))
}

/// Keras's own files with an optimizer that has come some way: a third epoch ends where Keras's third ends.
#[test]
fn optimizers_go_on_from_keras_s_files() {
    let device = Device::Cpu(Cpu::new(&DeviceOptions::default()).expect("threads"));
    let mut tried = 0;
    for entry in std::fs::read_dir(fixture("trainings/compiled")).expect("the fixtures") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|end| end == "npz") {
            continue;
        }
        let name = path.display().to_string();
        let arrays: BTreeMap<String, NpyArray> =
            read_npz(path.with_extension("npz")).expect("arrays").into_iter().collect();
        let case = Case { name: name.clone(), described: Value::Null, arrays };
        let file = ModelFile::read(&path).expect("a model");
        assert_eq!(file.lost(), &[] as &[String], "{name}");
        let model = file.model(None).expect("it runs");
        let compiled = file.compiled.as_ref().expect("it was");
        let names: Vec<String> = model.graph.outputs().into_iter().map(|output| output.name.to_owned()).collect();
        let goals = compiled.goals(&names.iter().map(String::as_str).collect::<Vec<_>>()).expect("known");
        let goals: Vec<_> = names.into_iter().zip(goals).collect();
        let training = Training::new(&model.graph, compiled.optimizer().expect("known"), goals).expect("a training");
        let state = compiled.state.as_ref().unwrap_or_else(|| panic!("{name}: no state"));
        assert_eq!(state.iterations, 6, "{name}");
        let (history, parameters) = block_on(async {
            let mut trainer = Trainer::new(device.runner(), training, &model.parameters).await?;
            let mut at = trainer.state().await?;
            at.steps = state.iterations;
            assert_eq!(at.optimizer.keys().collect::<Vec<_>>(), state.slots.keys().collect::<Vec<_>>(), "{name}");
            at.optimizer = state.slots.clone();
            trainer.restore(&at).await?;
            let options = FitOptions::new().batch_size(8).shuffle(false);
            let history = trainer.fit(&data(&case), &options, &mut []).await?;
            Ok::<_, locally_connected::Error>((history, trainer.parameters().await?))
        })
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        let keras = f64::from(case.arrays["loss"].values[2]);
        assert!((history.get("loss")[0] / keras - 1.0).abs() <= OF_HISTORY, "{name}: {history:?} {keras}");
        let mut after = file.clone();
        after.set_parameters(&parameters).expect("they fit");
        for layer in after.all_layers() {
            for (what, values) in layer.weights_by_name() {
                let keras = &case.arrays[&format!("after/{}/{what}", layer.name)].values;
                let largest = keras.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
                let off = keras.iter().zip(values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
                assert!(off <= OF_WEIGHTS, "{name}: {what} of {} off by {off:e}", layer.name);
            }
        }
        tried += 1;
    }
    assert_eq!(tried, 14);
}

#[test]
fn trainings_are_read() {
    for case in cases() {
        let name = &case.name;
        let file = case.file("before");
        let model = file.model(None).unwrap_or_else(|error| panic!("{name}: {error}"));
        let compiled = file.compiled.as_ref().expect("it was");
        let optimizer = compiled.optimizer().unwrap_or_else(|error| panic!("{name}: {error}"));
        let names: Vec<&str> = model.graph.outputs().into_iter().map(|output| output.name).collect();
        let goals = compiled.goals(&names).unwrap_or_else(|error| panic!("{name}: {error}"));
        // What we would write says the same.
        let named: Vec<_> = names.iter().map(|name| (*name).to_owned()).zip(goals.clone()).collect();
        let written = Compiled::new(&optimizer, &named);
        assert_eq!((written.optimizer(), written.goals(&names)), (Ok(optimizer), Ok(goals)), "{name}");
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

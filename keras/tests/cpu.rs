//! The CPU executor: every file that Keras wrote, forward and backward, as Keras computed it.

/// As the library's tests run programs.
#[path = "../../tests/cpu/executors.rs"]
mod executors;

use crate::common::{disagreement, fixture};
use executors::{EXECUTORS, run};
use locally_connected::model::{Wanted, names};
use locally_connected_keras::{ModelFile, npy};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn cases() -> PathBuf {
    fixture("cases")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("a text")
}

fn near(what: &str, keras: &[f32], ours: &[f32]) {
    let largest = keras.iter().fold(0f32, |most, v| most.max(v.abs()));
    let keras: Vec<f64> = keras.iter().map(|&v| v.into()).collect();
    assert_eq!(disagreement(ours, &keras, 2e-5 * f64::from(largest)), None, "{what}");
}

/// A model, or one of its layers, with the arrays that `folder` names, by every executor.
fn check(what: &str, file: &ModelFile, only: Option<&str>, folder: &Value) {
    let array = |key| npy::read_npy(cases().join(text(folder, key))).expect("an array");
    let (x, y, dy) = (array("x"), array("y"), array("dy"));
    let keras: BTreeMap<_, _> =
        npy::read_npz(cases().join(text(folder, "grads"))).expect("arrays").into_iter().collect();
    let model = file.model(only).expect("it runs");
    let batch = x.shape[0] as u32;
    let mut given: BTreeMap<String, Vec<f32>> =
        model.parameters.iter().map(|(name, values)| (name.clone(), values.to_vec())).collect();
    given.insert(names::INPUT.into(), x.values);
    given.insert(names::GRAD_OUTPUT.into(), dy.values);
    for (by, executor) in EXECUTORS.iter() {
        let what = format!("{what} by {by}");
        let forward = run(executor, &model.graph.forward(), batch, &given).expect("it runs");
        near(&format!("output of {what}"), &y.values, &forward[names::OUTPUT]);
        let written = run(executor, &model.graph.backward(Wanted::All), batch, &given).expect("it runs");
        near(&format!("the input's gradient of {what}"), &keras["input"].values, &written[names::GRAD_INPUT]);
        let ours: BTreeMap<_, _> = file.gradients(only, &written).expect("gradients").into_iter().collect();
        for (name, keras) in keras.iter().filter(|(name, _)| *name != "input") {
            near(&format!("the gradient of {name} of {what}"), &keras.values, &ours[name].values);
        }
    }
}

#[test]
fn fixtures_compute_what_keras_computed() {
    let index = std::fs::read_to_string(cases().join("index.json")).expect("the index");
    let index: Vec<Value> = serde_json::from_str(&index).expect("JSON");
    let mut checked = 0;
    for case in &index {
        let (name, file) = (text(case, "name"), ModelFile::read(cases().join(text(case, "model"))).expect("a file"));
        // Of the others the arrays are of one layer, or of one output.
        if case["supported"] == true {
            check(name, &file, None, case);
            checked += 1;
        }
        if let Some(alone) = case.get("alone") {
            check(name, &file, Some(text(alone, "layer")), alone);
            checked += 1;
        }
    }
    assert!(checked >= 60, "{checked}");
}

#[test]
fn digits_predict_as_keras() {
    let folder = fixture("digits");
    let array = |name: &str| npy::read_npy(folder.join(name)).expect("an array");
    let (x, predictions) = (array("x_test.npy"), array("predictions.npy"));
    let model = ModelFile::read(folder.join("digits.h5")).expect("a file").model(None).expect("it runs");
    let mut given: BTreeMap<String, Vec<f32>> =
        model.parameters.iter().map(|(name, values)| (name.clone(), values.to_vec())).collect();
    given.insert(names::INPUT.into(), x.values);
    for (by, executor) in EXECUTORS.iter() {
        let written = run(executor, &model.graph.forward(), x.shape[0] as u32, &given).expect("it runs");
        near(&format!("predictions by {by}"), &predictions.values, &written[names::OUTPUT]);
    }
}

//! The trainings of the real Keras once more here, on the host's threads and on the adapter: where they end, and their histories.

use crate::common::GPU;
use crate::trainings::{Case, cases};
use locally_connected::headless::GpuRunner;
use locally_connected::train::{Data, FitOptions, Goals, History, Runner, Trainer, Training};
use locally_connected::{Result, cpu};
use locally_connected_keras::npy::NpyArray;
use std::collections::{BTreeMap, BTreeSet};

/// Most difference of a weight, of the largest of its array.
const WEIGHTS: f64 = 2e-4;
/// Most relative difference of a number of a history.
const HISTORY: f64 = 5e-4;

/// Those that end otherwise, and why.
const OTHERWISE: [(&str, &str); 3] = [
    ("masked_out", "Keras counts and moves entries that nothing is connected to"),
    (
        "loss_binary_probabilities",
        "probabilities that are 0 and 1: in a graph TensorFlow adds the constants of 1 − p + ε first",
    ),
    ("constraint_radial_local", "only windows that locations share are constrained so here"),
];

fn training(case: &Case) -> Result<Training> {
    let file = case.file("before");
    let model = file.model(None).expect("it runs");
    let compiled = file.compiled.as_ref().expect("it was");
    let names: Vec<String> = model.graph.outputs().into_iter().map(|output| output.name.to_owned()).collect();
    let goals = compiled.goals(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let goals: Vec<_> = names.into_iter().zip(goals).collect();
    Training::new(&model.graph, compiled.optimizer()?, Goals::Named(goals))
}

fn data<'a>(arrays: &'a BTreeMap<String, NpyArray>, prefix: &str) -> Data<'a> {
    let mut data = Data::default();
    for (name, array) in arrays {
        let Some(name) = name.strip_prefix(prefix) else { continue };
        data = match name.split_once('/') {
            Some(("x", input)) => data.input(input, &array.values),
            Some(("t", output)) => data.target(output, &array.values),
            None if name == "w" => data.sample_weight(&array.values),
            _ => data,
        };
    }
    data
}

async fn trained<R: Runner>(
    case: &Case,
    runner: R,
    at_once: Option<usize>,
) -> Result<(History, BTreeMap<String, Vec<f32>>)> {
    let parameters = case.file("before").model(None).expect("it runs").parameters;
    let mut trainer = Trainer::new(runner, training(case)?, &parameters).await?;
    let told = &case.described["fit"];
    let number = |key: &str| told[key].as_u64().expect("a number") as usize;
    let mut options = FitOptions::new().batch_size(number("batch_size")).epochs(number("epochs")).shuffle(false);
    options.validation_split = told["validation_split"].as_f64();
    options.at_once = at_once;
    let weights = told["class_weight"].as_object().map(|weights| {
        let of = |class: usize| weights[&class.to_string()].as_f64().expect("a number") as f32;
        (0..weights.len()).map(of).collect::<Vec<_>>()
    });
    options.class_weight = weights.as_deref();
    if told["validation"].as_bool() == Some(true) {
        options.validation = Some(data(&case.arrays, "val_"));
    }
    let history = trainer.fit(&data(&case.arrays, ""), &options, &mut []).await?;
    Ok((history, trainer.parameters().await?))
}

/// How far a training ends from Keras's, in words where that is too far.
fn faults(case: &Case, (history, parameters): (History, BTreeMap<String, Vec<f32>>)) -> Vec<String> {
    let mut faults = Vec::new();
    let after = case.file("after").model(None).expect("it runs").parameters;
    for (name, keras) in &after {
        let ours = &parameters[name];
        let largest = keras.iter().fold(0.0, |most: f64, &value| most.max(f64::from(value).abs()));
        let far = ours.iter().zip(keras).map(|(a, b)| f64::from(a - b).abs()).fold(0.0, f64::max);
        if far.is_nan() || far > WEIGHTS * largest {
            faults.push(format!("{name} {:.1e}", far / largest));
        }
    }
    let keras = case.described["history"].as_object().expect("a history");
    let named: BTreeSet<&str> =
        history.epochs.iter().flat_map(|epoch| epoch.logs.iter()).map(|(name, _)| name).collect();
    if named != keras.keys().map(String::as_str).collect() {
        faults.push(format!("numbers {named:?} for {:?}", keras.keys()));
    }
    for (name, keras) in keras {
        let keras: Vec<f64> = keras.as_array().expect("a list").iter().map(|v| v.as_f64().expect("it")).collect();
        let ours = history.get(name);
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= HISTORY * b.abs().max(1e-3);
        if ours.len() != keras.len() || !ours.iter().zip(&keras).all(near) {
            faults.push(format!("{name}: {ours:?} for {keras:?}"));
        }
    }
    faults
}

fn all_cases(executor: &str, run: impl Fn(&Case) -> Result<(History, BTreeMap<String, Vec<f32>>)>) {
    let mut wrong = Vec::new();
    let only = std::env::var("LOCALLY_TRAINING").ok();
    for case in cases().iter().filter(|case| only.as_ref().is_none_or(|only| case.name.contains(only.as_str()))) {
        let faults = match run(case) {
            Ok(trained) => faults(case, trained),
            Err(error) => vec![error.to_string()],
        };
        if let Some((_, why)) = OTHERWISE.iter().find(|(name, _)| *name == case.name) {
            // Were it to end as Keras's, the documents would be wrong.
            println!("{}, {executor}: {why}: {}", case.name, faults.join("; "));
            if faults.is_empty() {
                wrong.push(format!("{}: ends as Keras's, though {why}", case.name));
            }
        } else if !faults.is_empty() {
            wrong.push(format!("{}: {}", case.name, faults.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{executor}: {} trainings end otherwise\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn trainings_end_as_keras_s_on_the_host() {
    all_cases("cpu", |case| pollster::block_on(trained(case, cpu::Runner::default(), None)));
}

#[test]
fn trainings_end_as_keras_s_on_the_adapter() {
    all_cases("gpu", |case| pollster::block_on(trained(case, GpuRunner::new(&GPU), None)));
}

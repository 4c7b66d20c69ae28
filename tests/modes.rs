//! Graphs in training: batch normalisation by its batch as Keras has it, and dropout and noise as layers.

use crate::common::{Arrays, GPU, assert_near, context, profile, random};
use crate::losses::keras::Array;
use crate::losses::step;
use locally_connected::gpu::{Bindings, Weights};
use locally_connected::model::{
    BatchNormalization, Dense, Flatten, Graph, Layer, LayerNormalization, Merge, Mode, NoiseLayer, Sequential, Wanted,
    names,
};
use locally_connected::ops::{Operation, RandomKind, StepNumbers, Usage};
use locally_connected::program::Program;
use locally_connected::reference;
use locally_connected::{Activation, Config, Error};
use serde::Deserialize;
use std::collections::BTreeMap;

const TRAINING: Mode = Mode::Training { seed: 7 };

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    axis: usize,
    momentum: f64,
    epsilon: f32,
    center: bool,
    scale: bool,
    trainable: bool,
    weights: BTreeMap<String, Array>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    x: Array,
    dy: Array,
    y: Array,
    grads: BTreeMap<String, Array>,
    after: BTreeMap<String, Array>,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// What a program writes, its outputs, gradients and the parameters that it changes, by every executor.
fn everywhere(program: &Program, batch: u32, given: &Arrays) -> Vec<(String, Arrays)> {
    let exact = given.iter().map(|(name, values)| (name.clone(), wide(values))).collect();
    let written = reference::run(program, batch, &exact).expect("the reference runs");
    let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    let scratch: Vec<&str> = program.used_as(Usage::Scratch).map(|buffer| buffer.name.as_str()).collect();
    let kept = written.into_iter().filter(|(name, _)| !scratch.contains(&name.as_str()));
    let mut all = vec![("the reference".to_owned(), kept.map(|(name, values)| (name, narrow(values))).collect())];
    #[cfg(feature = "cpu")]
    all.extend(by_cpus(program, batch, given));
    all.push(("the device".to_owned(), by_device(program, batch, given)));
    all
}

/// The parameters that a program changes.
fn updated(program: &Program) -> Vec<String> {
    let ids = program.operations.iter().flat_map(Operation::updates);
    let names = ids.filter_map(|id| program.buffer(id)).map(|buffer| buffer.name.clone());
    names.collect()
}

#[cfg(feature = "cpu")]
fn by_cpus(program: &Program, batch: u32, given: &Arrays) -> Vec<(String, Arrays)> {
    let run = |(name, executor): &(String, locally_connected::cpu::Executor)| {
        let mut weights = locally_connected::cpu::Weights::new();
        for buffer in program.used_as(Usage::Parameter) {
            weights.set(program, &buffer.name, &given[&buffer.name]).expect("its length");
        }
        let inputs = program.used_as(Usage::Input).map(|buffer| (buffer.name.as_str(), given[&buffer.name].as_slice()));
        let inputs: Vec<_> = inputs.collect();
        let outputs = program.used_as(Usage::Output).chain(program.used_as(Usage::Gradient));
        let nothing = |elements: u64| vec![f32::NAN; elements as usize];
        let mut written: Arrays =
            outputs.map(|buffer| (buffer.name.clone(), nothing(buffer.shape.elements(batch)))).collect();
        let mut places: Vec<_> =
            written.iter_mut().map(|(name, values)| (name.as_str(), values.as_mut_slice())).collect();
        let mut bound = executor.bind(program, batch).expect("it is bound");
        bound.run(&mut weights, &inputs, &mut places).expect("it runs");
        let changed = updated(program).into_iter().map(|name| {
            let values = weights.get(&name).expect("it is there").into_owned();
            (name, values)
        });
        written.extend(changed);
        (name.clone(), written)
    };
    let all: Vec<(String, Arrays)> = crate::cpu::EXECUTORS.iter().map(run).collect();
    let bits = |values: &Arrays| values.values().flatten().map(|value| value.to_bits()).collect::<Vec<_>>();
    // Threads decide no bit: the best instructions come last, on 1, 3 and 8 of them.
    for two in all[all.len() - 3..].windows(2) {
        assert!(bits(&two[0].1) == bits(&two[1].1), "{} and {} give other bits", two[0].0, two[1].0);
    }
    all
}

fn by_device(program: &Program, batch: u32, given: &Arrays) -> Arrays {
    pollster::block_on(async {
        let weights = Weights::new(&context(&profile()), program).await.expect("its parameters");
        for buffer in program.used_as(Usage::Parameter) {
            weights.write(&buffer.name, &given[&buffer.name]).await.expect("its length");
        }
        let inputs: Vec<_> = program.used_as(Usage::Input).map(|b| (&b.name, GPU.upload(&given[&b.name]))).collect();
        let outputs = program.used_as(Usage::Output).map(|b| (&b.name, GPU.empty(b.shape.elements(batch))));
        let outputs: Vec<_> = outputs.collect();
        let mut gradients = Vec::new();
        for buffer in program.used_as(Usage::Gradient) {
            gradients.push((&buffer.name, weights.create(buffer).await.expect("memory")));
        }
        let mut bindings = Bindings::default();
        for (name, buffer) in inputs.iter().chain(&outputs) {
            bindings = bindings.with(name, buffer);
        }
        for (name, gradient) in &gradients {
            bindings = bindings.with(name, gradient);
        }
        let bound = weights.bind(program, batch, &bindings).await.expect("it is bound");
        GPU.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&Default::default())));
        let mut written = Arrays::new();
        for (name, buffer) in &outputs {
            written.insert((*name).clone(), GPU.read(buffer, buffer.size() / 4).await.expect("the device is there"));
        }
        let changed = updated(program);
        let changed = changed.iter().map(|name| (name, weights.get(name).expect("it is there")));
        for (name, tensor) in gradients.iter().map(|(name, tensor)| (*name, tensor)).chain(changed) {
            let mut readback = tensor.readback(GPU.context().device()).await.expect("ours");
            GPU.submit(|encoder| readback.record(encoder)).expect("not recorded before");
            written.insert(name.clone(), GPU.drive(readback.canonical()).await.expect("the device is there"));
        }
        written
    })
}

#[test]
fn batch_normalisation_is_trained_as_keras_does() {
    let path = crate::common::root().join("tests/data/keras_batch_normalization.json");
    let text = std::fs::read_to_string(path).expect("the fixture");
    let cases = serde_json::from_str::<Fixture>(&text).expect("as the script writes it").cases;
    assert!(cases.len() >= 15);
    for case in cases {
        let Case { axis, momentum, epsilon, center, scale, trainable, .. } = case;
        let shape = &case.steps[0].x.shape[1..];
        let layer = Layer::new(BatchNormalization { axis, epsilon, momentum, center, scale });
        // Something before it that is to be trained, or nobody asks for the gradient of a frozen layer's input.
        let graph = Sequential::new(shape).add(layer.named("bn").trainable(trainable)).graph().expect("a layer");
        let program = graph.backward_in(TRAINING, Wanted::All);
        assert_eq!(program.check(), Ok(()));
        let mut weights: Arrays =
            case.weights.iter().map(|(name, array)| (names::parameter("bn", name), array.values.clone())).collect();
        for (step, at) in case.steps.iter().zip(1..) {
            let batch = step.x.shape[0] as u32;
            let mut given = weights.clone();
            given.insert(names::INPUT.into(), step.x.values.clone());
            given.insert(names::GRAD_OUTPUT.into(), step.dy.values.clone());
            for (by, found) in everywhere(&program, batch, &given) {
                let what = |which: &str| {
                    let shape = &step.x.shape;
                    format!("{which} of {shape:?} along {axis}, step {at}, scale {scale}, center {center}, by {by}")
                };
                assert_near(what("output"), &found[names::OUTPUT], &step.y.wide(), 1e-5);
                for (name, grad) in &step.grads {
                    let buffer = if name == "input" { names::GRAD_INPUT.into() } else { names::gradient("bn", name) };
                    assert_near(what(name), &found[&buffer], &grad.wide(), 2e-5);
                }
                for (name, after) in &step.after {
                    let name = names::parameter("bn", name);
                    let found = found.get(&name).unwrap_or(&weights[&name]);
                    assert_near(what(&name), found, &after.wide(), 2e-6);
                }
            }
            let after = step.after.iter().map(|(name, array)| (names::parameter("bn", name), array.values.clone()));
            weights.extend(after);
        }
        // At inference nothing changes.
        assert!(updated(&graph.backward(Wanted::All)).is_empty());
        assert_eq!(updated(&program).is_empty(), !trainable);
    }
}

#[derive(Deserialize)]
struct Rows {
    cases: Vec<RowsCase>,
}

#[derive(Deserialize)]
struct RowsCase {
    axes: Vec<usize>,
    epsilon: f32,
    center: bool,
    scale: bool,
    weights: BTreeMap<String, Array>,
    x: Array,
    dy: Array,
    y: Array,
    grads: BTreeMap<String, Array>,
}

/// Over the last axes, over others, and over axes in another order than the input's, in which gamma's sizes are.
#[test]
fn layer_normalisation_is_over_any_axes() {
    let path = crate::common::root().join("tests/data/keras_layer_normalization.json");
    let text = std::fs::read_to_string(path).expect("the fixture");
    let cases = serde_json::from_str::<Rows>(&text).expect("as the script writes it").cases;
    assert!(cases.len() >= 10);
    for case in cases {
        let RowsCase { axes, epsilon, center, scale, .. } = case;
        let layer = LayerNormalization { axes: axes.clone(), epsilon, center, scale };
        let graph = Sequential::new(&case.x.shape[1..]).add(Layer::new(layer).named("ln")).graph().expect("a layer");
        let program = graph.backward_in(TRAINING, Wanted::All);
        let mut given: Arrays =
            case.weights.iter().map(|(name, array)| (names::parameter("ln", name), array.values.clone())).collect();
        given.insert(names::INPUT.into(), case.x.values.clone());
        given.insert(names::GRAD_OUTPUT.into(), case.dy.values.clone());
        for (by, found) in everywhere(&program, case.x.shape[0] as u32, &given) {
            let what = |which: &str| format!("{which} of {:?} over {axes:?} by {by}", case.x.shape);
            assert_near(what("output"), &found[names::OUTPUT], &case.y.wide(), 1e-5);
            for (name, grad) in &case.grads {
                let buffer = if name == "input" { names::GRAD_INPUT.into() } else { names::gradient("ln", name) };
                assert_near(what(name), &found[&buffer], &grad.wide(), 2e-5);
            }
        }
    }
    for axes in [vec![], vec![3], vec![1, 1]] {
        let layer = LayerNormalization { axes, epsilon: 1e-3, center: true, scale: true };
        assert!(Sequential::new([2, 3, 4]).add(layer).graph().is_err());
    }
}

/// Layers of every kind of noise, with one that is called twice.
fn noisy() -> Graph {
    let mut graph = Graph::new();
    let mut build = || -> Result<(), Error> {
        let x = graph.input([6, 5, 3])?;
        let spatial = NoiseLayer::new(RandomKind::Dropout { rate: 0.5 }).shared_axes([0, 1]);
        let spatial = graph.add(Layer::new(spatial).named("spatial"), &[x])?;
        let local = graph.add(Config::new(4, [2, 2]).activation(Activation::Tanh), &[spatial])?;
        let noise = graph.add(NoiseLayer::new(RandomKind::GaussianNoise { stddev: 0.3 }), &[local])?;
        let alpha = graph.add(NoiseLayer::new(RandomKind::AlphaDropout { rate: 0.2 }), &[noise])?;
        let norm = BatchNormalization { axis: 2, epsilon: 1e-3, momentum: 0.9, center: true, scale: true };
        let norm = graph.add(norm, &[alpha])?;
        let flat = graph.add(Flatten::default(), &[norm])?;
        let dropout = NoiseLayer::new(RandomKind::GaussianDropout { rate: 0.4 }).seed(3);
        let first = graph.add(Layer::new(dropout).named("dropout"), &[flat])?;
        let second = graph.call(first, &[flat])?;
        let sum = graph.add(Merge::Add, &[first, second])?;
        let head = graph.add(Layer::new(Dense::new(3)).named("head"), &[sum])?;
        graph.output(head);
        Ok(())
    };
    build().expect("layers");
    graph
}

fn given(program: &Program, batch: u32, draw: u32) -> Arrays {
    let needed = program.buffers.iter().zip(program.given()).zip(3..).filter(|((_, given), _)| *given);
    let numbers = StepNumbers { per_sample: 1.0 / batch as f32, draw, ..StepNumbers::default() };
    let values = |(((buffer, _), seed), elements): (((&locally_connected::ops::Buffer, bool), u64), u64)| {
        let mut values = random(seed, elements);
        if buffer.name.ends_with("variance") {
            values.iter_mut().for_each(|value| *value = value.abs() + 0.5);
        }
        if buffer.name == names::STEP { step(numbers) } else { values }
    };
    needed
        .map(|one| {
            let buffer = one.0.0;
            (buffer.name.clone(), values((one, buffer.shape.elements(batch))))
        })
        .collect()
}

#[test]
fn every_executor_trains_noisy_graphs_alike() {
    let (graph, batch) = (noisy(), 5);
    let program = graph.backward_in(TRAINING, Wanted::All);
    assert_eq!(program.check(), Ok(()));
    assert!(program.find(names::STEP).is_some());
    let given = given(&program, batch, 11);
    let mut all = everywhere(&program, batch, &given).into_iter();
    let (_, expected) = all.next().expect("the reference");
    assert!(expected.contains_key("batch_normalization/moving_mean"));
    for (by, found) in all {
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{by}");
        for (name, values) in &found {
            assert_near(format!("{name} by {by}"), values, &wide(&expected[name]), 2e-5);
        }
    }
}

/// A noisy graph's gradients are the slopes of what it computes, with its numbers held.
#[test]
fn gradients_of_training_are_slopes() {
    let (graph, batch) = (noisy(), 4);
    let program = graph.backward_in(TRAINING, Wanted::All);
    let given = given(&program, batch, 2);
    let exact: reference::Values = given.iter().map(|(name, values)| (name.clone(), wide(values))).collect();
    let written = reference::run(&program, batch, &exact).expect("it runs");
    let forward = graph.forward_in(TRAINING);
    let loss = |values: &reference::Values| {
        let output = &reference::run(&forward, batch, values).expect("it runs")[names::OUTPUT];
        output.iter().zip(&exact[names::GRAD_OUTPUT]).map(|(y, dy)| y * dy).sum::<f64>()
    };
    for name in [names::INPUT, "batch_normalization/gamma", "batch_normalization/beta", "locally_connected2d/kernel"] {
        let gradient = match name.split_once('/') {
            None => names::GRAD_INPUT.to_owned(),
            Some((layer, parameter)) => names::gradient(layer, parameter),
        };
        for at in (0..exact[name].len()).step_by(exact[name].len().div_ceil(12)) {
            let moved = |by: f64| {
                let mut values = exact.clone();
                values.get_mut(name).expect("it")[at] += by;
                loss(&values)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let found = written[&gradient][at];
            assert!((slope - found).abs() < 1e-6 * slope.abs().max(1.0), "{name} {at}: {found}, not {slope}");
        }
    }
}

/// Noise is of its draw and its seed; at inference there is none, and no operation for it.
#[test]
fn noise_is_of_its_draw_and_seed() {
    let (graph, batch) = (noisy(), 2);
    let run = |graph: &Graph, mode, draw| {
        let program = graph.forward_in(mode);
        let given: reference::Values = given(&program, batch, draw).into_iter().map(|(n, v)| (n, wide(&v))).collect();
        reference::run(&program, batch, &given).expect("it runs").remove(names::OUTPUT).expect("written")
    };
    let first = run(&graph, TRAINING, 1);
    assert_eq!(first, run(&graph, TRAINING, 1));
    assert_ne!(first, run(&graph, TRAINING, 2));
    assert_ne!(first, run(&graph, Mode::Training { seed: 8 }, 1));
    let random = |program: &Program| {
        program.operations.iter().filter(|operation| operation.name().starts_with("random")).count()
    };
    assert_eq!(random(&graph.forward_in(TRAINING)), 5);
    assert_eq!(random(&graph.backward_in(TRAINING, Wanted::All)), 5 + 4);
    for program in [graph.forward(), graph.backward(Wanted::All)] {
        assert_eq!(random(&program), 0);
        assert!(program.find(names::STEP).is_none());
    }
    // Where Keras's layers do nothing, neither do these.
    for kind in [
        RandomKind::Dropout { rate: 0.0 },
        RandomKind::GaussianDropout { rate: 1.0 },
        RandomKind::AlphaDropout { rate: 0.0 },
        RandomKind::GaussianNoise { stddev: 0.0 },
    ] {
        let graph = Sequential::new([3]).add(NoiseLayer::new(kind)).add(Dense::new(2)).graph().expect("layers");
        assert_eq!(random(&graph.backward_in(TRAINING, Wanted::All)), 0, "{kind:?}");
    }
}

#[test]
fn noise_layers_that_are_none_are_refused() {
    let why = |layer: NoiseLayer| {
        let graph = Sequential::new([2, 3, 2, 3, 2]).add(Layer::new(layer).named("noise")).graph();
        graph.expect_err("it is wrong").to_string()
    };
    let of = |rate| NoiseLayer::new(RandomKind::Dropout { rate });
    assert!(why(of(1.5)).contains("rate") && why(of(f32::NAN)).contains("rate"));
    assert!(why(NoiseLayer::new(RandomKind::GaussianNoise { stddev: -1.0 })).contains("stddev"));
    assert!(why(of(0.5).shared_axes([5])).contains("noise_shape"));
    let apart = why(of(0.5).shared_axes([1, 3]));
    assert!(apart.contains("more than four groups of axes"), "{apart}");
    // Keras makes such a layer, and refuses to train with it.
    let graph = Sequential::new([2]).add(of(1.0)).graph().expect("a layer");
    assert_eq!(graph.forward().check(), Ok(()));
    assert!(graph.forward_in(TRAINING).check().expect_err("it has no scale").to_string().contains("its rate"));
}

//! What passes between modules and to JavaScript is what it was.

mod trained;

use crate::graph::GraphModel;
use crate::plan::Device;
use crate::{plan, program};
use locally_connected::config::{Axes, Constraint, Regularizer};
use locally_connected::model::{Dense, Layer, Sequential, Wanted};
use locally_connected::plan::{Planner, WrittenPlan};
use locally_connected::program::Program;
use locally_connected::{Activation, Bias, Config, DeviceProfile, Geometry, KerasLayout, Pattern};
use serde_json::Value;
use std::sync::Arc;

fn programs() -> Vec<Program> {
    let windows = Config::new(4, [3, 3]).activation(Activation::Elu { alpha: 0.3 });
    let mut windows = windows.kernel_regularizer(Regularizer::L1L2 { l1: 0.5, l2: 0.25 });
    windows.kernel_constraint = Some(Constraint::UnitNorm { axis: Axes::Several(vec![0, 1]) });
    windows.bias_constraint = Some(Constraint::MaxNorm { max_value: 2.0, axis: Axes::One(-1) });
    let windows = Geometry::new(&windows, &[6, 6, 2]).expect("a layer");
    let (pattern, _) = Pattern::from_coo(3, 5, &[(0, 1), (2, 4), (0, 3), (1, 0)]).expect("connections");
    let pattern = Geometry::from_pattern(pattern, 2, Bias::PerFilter, Activation::Softmax).expect("a layer");
    let shared = Config::new(4, [3, 3]).bias(Bias::PerFilter).groups(2);
    let shared = Geometry::convolution(&shared, &[6, 6, 2]).expect("a layer");
    [("shared", Arc::new(shared)), ("windows \"\\\n", Arc::new(windows)), ("pattern", Arc::new(pattern))]
        .into_iter()
        .flat_map(|(name, layer)| {
            let model = Sequential::new(layer.input_shape()).add(Layer::new(layer).named(name));
            let graph = model.graph().expect("a graph");
            [graph.forward(), graph.backward(Wanted::All)]
        })
        .collect()
}

#[test]
fn programs_are_read_as_they_were_written() {
    for program in programs() {
        let bytes = program::Program::from(program.clone()).bytes().expect("they are written");
        assert_eq!(program::read(&bytes).expect("it is read"), program);
    }
}

/// What a file's model is to the module that runs it.
#[test]
fn graphs_are_read_as_they_were_written() {
    let regularizer = Regularizer::L1L2 { l1: 0.0, l2: 0.5 };
    let local = Layer::new(Config::new(2, [3]).bias(Bias::None)).named("local").regularizer("kernel", regularizer);
    let local = local.stored_in(KerasLayout::Implementation3).trainable(false);
    let model = Sequential::new([6, 1]).add(local).add(Dense::new(3)).add(Layer::new(Activation::Softmax));
    let graph = model.graph().expect("a graph");
    let bytes = postcard::to_allocvec(&graph).expect("it is written");
    assert_eq!(GraphModel::read(&bytes).expect("it is read").graph, graph);
}

/// The plan's JSON, but for the constants' words, is what serde would write.
#[test]
fn plans_are_written_as_serde_writes_them() {
    let profile = DeviceProfile { max_binding: 1280, ..DeviceProfile::webgpu_defaults() };
    for program in programs() {
        let planned = Planner::new(&profile).program(&program, 3).expect("it is planned");
        let written: WrittenPlan = planned.written(&program).expect("it is written");
        let mut expected = serde_json::to_value(&written).expect("JSON");
        for buffer in expected["buffers"].as_array_mut().expect("buffers") {
            buffer.as_object_mut().expect("a buffer").remove("words");
        }
        let mut device = Device::new(false);
        device.set_limit("maxStorageBufferBindingSize", 1280.0).expect("a limit");
        let plan: plan::Plan = device.plan(&program.into(), 3).expect("it is planned");
        assert_eq!(serde_json::from_str::<Value>(&plan.json()).expect("JSON"), expected);
        for (buffer, place) in written.buffers.iter().zip(0..) {
            assert_eq!(plan.words(place), buffer.words);
        }
    }
}

/// What a layer gives is what it gives, though the one behind it only activates.
#[test]
fn layers_inside_are_outputs_when_they_are_kept() {
    let local = Layer::new(Config::new(2, [3])).named("local");
    let model = Sequential::new([6, 1]).add(local).add(Layer::new(Activation::Tanh).named("last"));
    let graph = model.graph().expect("a graph");
    let outputs = |layers| {
        let kept = program::keeping(graph.clone(), layers).expect("they compute").forward();
        let outputs = kept.used_as(locally_connected::ops::Usage::Output).map(|buffer| buffer.name.clone());
        (outputs.collect::<Vec<_>>(), kept.operations.len())
    };
    assert_eq!(outputs(""), (vec!["output".to_owned()], 1));
    assert_eq!(outputs("last"), (vec!["output".to_owned()], 1));
    let (mut both, operations) = outputs("local\nlast");
    both.sort();
    assert_eq!((both, operations), (vec!["output/last".to_owned(), "output/local".to_owned()], 2));
}

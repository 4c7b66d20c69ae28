//! Programs: what every executor may rely on, over all of the fixtures' models.

use crate::common::{self, Planned, ProgramRun, assert_near, fixture, profile, random};
use locally_connected::model::{Model, Wanted, names};
use locally_connected::ops::{Shape, Usage};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::reference::{self, Values};
use locally_connected::{DeviceProfile, Error};
use locally_connected_keras::{ModelFile, read};
use std::collections::{BTreeMap, BTreeSet};

/// The programs of every model that runs as a whole, and of the digits', with a name each.
fn programs() -> Vec<(String, Program)> {
    let folders = std::fs::read_dir(fixture("cases")).expect("the fixtures").map(|entry| entry.expect("it").path());
    let mut programs = Vec::new();
    for folder in folders.filter(|path| path.is_dir()).chain([fixture("digits")]) {
        for file in ["model.h5", "model.keras", "digits.h5"] {
            let Some(path) = Some(folder.join(file)).filter(|path| path.exists()) else { continue };
            let name = path.display().to_string();
            let Ok(model) = ModelFile::read(&path).expect("a model").model(None) else { continue };
            let graph = model.graph;
            programs.push((format!("{name} forward"), graph.forward()));
            programs.push((format!("{name} backward"), graph.backward(Wanted::All)));
            programs.push((format!("{name} training"), graph.backward(Wanted::Parameters)));
        }
    }
    assert!(programs.len() > 100, "{}", programs.len());
    programs
}

#[test]
fn operations_read_what_was_written_and_write_what_they_do_not_read() {
    for (name, program) in programs() {
        assert_eq!(program.check(), Ok(()), "{name}");
        let distinct: BTreeSet<_> = program.buffers.iter().map(|buffer| &buffer.name).collect();
        assert_eq!(distinct.len(), program.buffers.len(), "{name}: names");
        let given = |usage| matches!(usage, Usage::Input | Usage::Parameter);
        let mut written: Vec<bool> = program.buffers.iter().map(|buffer| given(buffer.usage)).collect();
        for operation in &program.operations {
            let output = operation.writes();
            for input in operation.reads() {
                assert!(written[input.index()], "{name}: {operation:?} reads what nothing wrote");
                assert_ne!(input, output, "{name}");
            }
            let adds = operation.accumulates();
            assert_eq!(
                written[output.index()],
                adds,
                "{name}: {operation:?} writes what is there, or adds to what isn't"
            );
            written[output.index()] = true;
        }
        assert!(written.iter().all(|&written| written), "{name}: a buffer that nothing writes");
    }
}

/// Walks through the operations with the scratch's memory in place of its buffers.
#[test]
fn scratch_is_there_as_long_as_it_is_read() {
    let mut shared = 0;
    for (name, program) in programs() {
        let scratch = program.scratch();
        let mut holds = BTreeMap::new();
        for operation in &program.operations {
            for input in operation.reads() {
                if let Some(piece) = scratch.of_buffer[input.index()] {
                    assert_eq!(holds.get(&piece), Some(&input), "{name}: {operation:?} reads another's values");
                }
            }
            let output = operation.writes();
            if let Some(piece) = scratch.of_buffer[output.index()] {
                let inputs = operation.reads().into_iter().filter_map(|input| scratch.of_buffer[input.index()]);
                assert!(inputs.into_iter().all(|other| other != piece), "{name}: read and written by one operation");
                let (shape, room) = (&program.buffer(output).expect("it").shape, &scratch.pieces[piece]);
                assert!(shape.elements(7) <= room.elements(7), "{name}: {shape:?} in {room:?}");
                holds.insert(piece, output);
            }
        }
        let buffers = program.used_as(Usage::Scratch).count();
        assert_eq!(scratch.of_buffer.iter().flatten().count(), buffers, "{name}");
        shared += usize::from(scratch.pieces.len() < buffers);
        let apart: u64 = program.buffers.iter().map(|buffer| 4 * buffer.shape.elements(7)).sum();
        assert!(program.bytes(7) <= apart, "{name}");
    }
    assert!(shared > 20, "{shared} programs share memory");
}

#[test]
fn what_is_not_given_is_named() {
    let Model { graph, parameters } = read(fixture("digits/digits.h5")).expect("a model");
    let program = graph.forward();
    let missing = reference::run(&program, 1, &Values::new()).expect_err("nothing is given");
    assert_eq!(missing, Error::NotGiven { name: "input".into() });
    let mut values: Values = parameters.into_iter().map(|(name, v)| (name, wide(&v))).collect();
    values.insert(names::INPUT.into(), vec![0.0; 3]);
    let short = reference::run(&program, 1, &values).expect_err("too few").to_string();
    assert!(short.contains("64") && short.contains('3'), "{short}");
    let output = program.find(names::OUTPUT).and_then(|output| program.buffer(output)).expect("an output");
    assert_eq!(output.shape, Shape::Samples(graph.outputs()[0].elements()));
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// What training needs is computed as it is among all gradients, and what it doesn't need isn't.
#[test]
fn training_leaves_out_the_input_s_gradient() {
    let Model { graph, parameters } = read(fixture("digits/digits.h5")).expect("a model");
    let mut values: Values = parameters.into_iter().map(|(name, v)| (name, wide(&v))).collect();
    values.insert(names::INPUT.into(), (0..64u8).map(|i| f64::from(i) / 64.0).collect());
    values.insert(names::GRAD_OUTPUT.into(), vec![1.0; graph.outputs()[0].elements() as usize]);
    let run = |wanted| reference::run(&graph.backward(wanted), 1, &values).expect("it runs");
    let (all, training) = (run(Wanted::All), run(Wanted::Parameters));
    assert!(all.contains_key(names::GRAD_INPUT) && !training.contains_key(names::GRAD_INPUT));
    let gradients: Vec<_> = training.iter().filter(|(name, _)| name.contains("/grad_")).collect();
    assert!(gradients.len() >= 4, "{}", gradients.len());
    assert!(gradients.iter().all(|(name, values)| all[*name] == **values));
}

/// The gradients of a batch are those of its pieces, one added to the other.
#[test]
fn pieces_of_a_batch_add_up() {
    let Model { graph, parameters } = read(fixture("digits/digits.h5")).expect("a model");
    let program = graph.backward(Wanted::All);
    let parameters: Values = parameters.into_iter().map(|(name, v)| (name, wide(&v))).collect();
    let mut values = parameters.clone();
    let (inputs, outputs) = (graph.inputs()[0].elements() as usize, graph.outputs()[0].elements() as usize);
    // In -1..1, in no order.
    let mixed = |count: usize| (0..count).map(|i| (i * 7919 % 1009) as f64 / 504.5 - 1.0).collect::<Vec<_>>();
    let (input, grad_output) = (mixed(3 * inputs), mixed(3 * outputs));
    let mut run = |program: &Program, samples: std::ops::Range<usize>| {
        let of = |values: &[f64], each: usize| values[samples.start * each..samples.end * each].to_vec();
        values.insert(names::INPUT.into(), of(&input, inputs));
        values.insert(names::GRAD_OUTPUT.into(), of(&grad_output, outputs));
        let written = reference::run(program, samples.len() as u32, &values);
        values.extend(written.clone().unwrap_or_default().into_iter().filter(|(name, _)| name.contains("/grad_")));
        written
    };
    let whole = run(&program, 0..3).expect("it runs");
    run(&program, 0..2).expect("it runs");
    let both = run(&program.clone().accumulating(), 2..3).expect("it runs");
    let gradients = program.used_as(Usage::Gradient).map(|buffer| &buffer.name);
    let compared = gradients
        .inspect(|&name| {
            let worst = both[name].iter().zip(&whole[name]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-12, "{name}: {worst}");
        })
        .count();
    assert!(compared >= 4, "{compared}");
    let mut values = parameters;
    values.insert(names::INPUT.into(), vec![0.0; inputs]);
    values.insert(names::GRAD_OUTPUT.into(), vec![0.0; outputs]);
    let nothing = reference::run(&program.accumulating(), 1, &values);
    assert!(matches!(nothing, Err(Error::NotGiven { name }) if name.contains("/grad_")));
}

/// Every program of the fixtures on the device, forward and backward, against the reference; what it takes is
/// what was planned.
#[test]
fn the_device_runs_every_program() {
    let (batch, profile) = (3, profile());
    let mut ran = 0;
    for (name, program) in programs() {
        let mut seed = 0;
        let mut given = common::Arrays::new();
        for buffer in program.buffers.iter().filter(|buffer| buffer.usage != Usage::Scratch) {
            seed += 1;
            // Weights as small as a trained model's, so that the values stay where activations are no corners.
            let scale = if buffer.usage == Usage::Parameter { 0.25 } else { 1.0 };
            let values = random(seed, buffer.shape.elements(batch)).into_iter().map(|value| scale * value);
            given.insert(buffer.name.clone(), values.collect());
        }
        let exact: Values = given.iter().map(|(name, values)| (name.clone(), wide(values))).collect();
        let expected = reference::run(&program, batch, &exact).expect("it runs");
        let run = ProgramRun::new(&program, batch, &given, &profile).expect("it runs");
        let found = run.run();
        for (buffer, found) in &found {
            assert_near(format!("{buffer} of {name}"), found, &expected[buffer], 1e-4);
        }
        let memory = run.bound.plan().memory;
        assert_eq!(run.bound.bytes(), memory.bound(), "{name}");
        assert_eq!(run.shared, memory.parameters + memory.constants, "{name}");
        let kept = memory.operands + memory.parameters + memory.gradients;
        let scratch: u64 = run.bound.plan().pieces().iter().sum();
        assert_eq!(kept + scratch, program.bytes(batch), "{name}");
        ran += found.len();
    }
    assert!(ran > 300, "{ran}");
}

/// Two operations of a program never share a buffer that one dispatch reads and writes, and every limit is kept.
#[test]
fn plans_of_programs_keep_the_limits() {
    let defaults = DeviceProfile::webgpu_defaults();
    let narrow = DeviceProfile { max_binding: 40_000, max_buffer: 60_000, ..defaults.clone() };
    let mut planned = 0;
    for (name, program) in programs() {
        for profile in [&defaults, &narrow] {
            match Planned::new(program.clone(), 7, &Planner::new(profile)) {
                Ok(plan) => {
                    plan.assert_keeps_limits(profile);
                    planned += 1;
                }
                Err(error) => assert!(matches!(error.cause(), Error::Limit { .. }), "{name}: {error}"),
            }
        }
    }
    assert!(planned > 150, "{planned}");
}

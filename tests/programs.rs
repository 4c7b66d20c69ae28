//! Programs: what every executor may rely on, over all of the fixtures' models.

use crate::common::root;
use locally_connected::Activation;
use locally_connected::keras::Model;
use locally_connected::model::names;
use locally_connected::ops::{Shape, Usage};
use locally_connected::program::Program;
use locally_connected::reference::{self, Values};
use std::collections::{BTreeMap, BTreeSet};

/// The programs of every model that runs as a whole, and of the digits', with a name each.
fn programs() -> Vec<(String, Program)> {
    let fixtures = root().join("tests/fixtures");
    let folders =
        std::fs::read_dir(fixtures.join("cases")).expect("the fixtures").map(|entry| entry.expect("it").path());
    let mut programs = Vec::new();
    for folder in folders.filter(|path| path.is_dir()).chain([fixtures.join("digits")]) {
        for file in ["model.h5", "model.keras", "digits.h5"] {
            let Some(model) = Some(folder.join(file)).filter(|path| path.exists()) else { continue };
            let name = model.display().to_string();
            let Ok(chain) = Model::read(&model).expect("a model").chain(None) else { continue };
            programs.push((format!("{name} forward"), chain.forward()));
            programs.push((format!("{name} backward"), chain.backward()));
        }
    }
    assert!(programs.len() > 100, "{}", programs.len());
    programs
}

#[test]
fn operations_read_what_was_written_and_write_what_they_do_not_read() {
    for (name, program) in programs() {
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
            assert!(!written[output.index()], "{name}: {operation:?} writes what is there");
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
                let (shape, room) = (program.buffer(output).shape, scratch.pieces[piece]);
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
    let model = Model::read(&root().join("tests/fixtures/digits/digits.h5")).expect("a model");
    let chain = model.chain(None).expect("it runs");
    let program = chain.forward();
    let missing = reference::run(&program, 1, &Values::new()).expect_err("nothing is given").to_string();
    assert!(missing.contains("\"input\""), "{missing}");
    let mut values: Values =
        model.parameters().expect("weights").into_iter().map(|(name, v)| (name, wide(&v))).collect();
    values.insert(names::INPUT.into(), vec![0.0; 3]);
    let short = reference::run(&program, 1, &values).expect_err("too few").to_string();
    assert!(short.contains("64") && short.contains('3'), "{short}");
    let Shape::Samples(outputs) = program.buffer(program.find(names::OUTPUT).expect("it")).shape else {
        panic!("samples")
    };
    assert_eq!(outputs, chain.outputs());
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// A derivative by the output is the derivative at what gave it.
#[test]
fn outputs_determine_the_derivatives_that_they_are_saved_for() {
    let mut compared = 0;
    for activation in crate::common::activations() {
        if activation.over_rows() || activation.saved() != locally_connected::Saved::Output {
            continue;
        }
        for z in (-40..=40).map(|i| f64::from(i) * 0.25 + 0.01) {
            let by_output = reference::derivative_from_output(reference::activation(z, activation), activation);
            let expected = reference::derivative(z, activation);
            assert!((by_output - expected).abs() < 1e-9, "{activation:?} at {z}: {by_output}, not {expected}");
        }
        compared += 1;
    }
    assert!(compared >= 7, "{compared}");
    assert!(reference::derivative_from_output(1.0, Activation::Swish).is_nan());
}

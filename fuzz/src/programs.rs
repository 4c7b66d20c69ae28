//! Programs read from bytes: checked, planned, and run by the CPU executor and by the reference if they are small.

use locally_connected::cpu::{Executor, Weights};
use locally_connected::ops::{Buffer, Operation, Usage};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::{DeviceProfile, Geometry, reference};
use std::collections::{BTreeMap, BTreeSet};

const BATCH: u32 = 2;

pub(crate) fn take(bytes: &[u8]) {
    if let Ok(program) = postcard::from_bytes::<Program>(bytes) {
        use_it(&program);
    }
}

/// Whether so small a program needs no time to speak of.
fn is_small(program: &Program) -> bool {
    let elements = program.buffers.iter().map(|buffer| buffer.shape.elements(BATCH)).fold(0, u64::saturating_add);
    elements <= 1 << 14 && program.operations.len() <= 200
}

/// Whether the tap tables, which are made when a program is planned, are long: up to twelve bytes for each of these taps.
fn has_long_tables(program: &Program) -> bool {
    let taps = |layer: &Geometry| u64::from(layer.locations()) * u64::from(layer.taps());
    let layers = program.operations.iter().filter_map(Operation::layer);
    layers.map(|layer| taps(layer)).fold(0, u64::saturating_add) > 1 << 20
}

/// Plans a program, and runs it by what needs no device.
pub(crate) fn use_it(program: &Program) {
    let checked = program.check();
    if has_long_tables(program) {
        return;
    }
    let profile = DeviceProfile::webgpu_defaults();
    let planned = Planner::new(&profile).program(program, BATCH);
    if checked.is_err() {
        assert!(planned.is_err(), "a program that is none is planned: {checked:?}");
        assert!(!is_small(program) || Executor::default().bind(program, BATCH).is_err(), "{checked:?}");
        return;
    }
    let Ok(plan) = planned else { return };
    if plan.flops() > 3_000_000 || !is_small(program) {
        return;
    }
    let written = plan.written(program);
    assert!(written.is_ok(), "{written:?}");
    run(program);
}

fn run(program: &Program) {
    let values = |buffer: &Buffer| {
        let count = buffer.shape.elements(BATCH) as usize;
        (0..count).map(|i| (i % 7) as f32 * 0.25 - 0.5).collect::<Vec<f32>>()
    };
    let mut names = BTreeSet::new();
    if !program.buffers.iter().all(|buffer| names.insert(&buffer.name)) {
        // Names are how values are given; which of two is meant nobody can say.
        return;
    }
    let given: BTreeMap<String, Vec<f32>> = program
        .buffers
        .iter()
        .zip(program.given())
        .filter(|(_, given)| *given)
        .map(|(buffer, _)| (buffer.name.clone(), values(buffer)))
        .collect();
    let wide = given.iter().map(|(name, v)| (name.clone(), v.iter().map(|&v| f64::from(v)).collect())).collect();
    let referred = reference::run(program, BATCH, &wide);

    let mut weights = Weights::new();
    for buffer in program.used_as(Usage::Parameter).chain(program.used_as(Usage::State)) {
        assert_eq!(weights.set(program, &buffer.name, values(buffer)), Ok(()), "{buffer:?}");
    }
    let inputs: Vec<_> = program.used_as(Usage::Input).map(|b| (b.name.as_str(), given[&b.name].as_slice())).collect();
    let outputs = program.used_as(Usage::Output).chain(program.used_as(Usage::Gradient));
    let mut outputs: BTreeMap<&str, Vec<f32>> = outputs.map(|b| (b.name.as_str(), values(b))).collect();
    let mut written: Vec<_> = outputs.iter_mut().map(|(name, values)| (*name, values.as_mut_slice())).collect();
    let Ok(mut bound) = Executor::default().bind(program, BATCH) else { return };
    let ran = bound.run(&mut weights, &inputs, &mut written);
    assert_eq!(ran.is_ok(), referred.is_ok(), "the executor {ran:?}, the reference {:?}", referred.err());
}

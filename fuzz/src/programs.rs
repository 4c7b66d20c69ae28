//! Programs read from bytes: checked, planned, and run by the CPU executor and by the reference if they are small.

use locally_connected::cpu::{Executor, Weights};
use locally_connected::ops::{Buffer, Usage};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::{DeviceProfile, reference};
use std::collections::{BTreeMap, BTreeSet};

const BATCH: u32 = 2;

/// Most bytes of constants that are written and run: a few bytes name longer ones, and rightly so. They are made in parts and joined, the CPU
/// executor's own tables are up to twice as long, and a target may hold 32 MiB.
const MOST_CONSTANTS: u64 = 8 << 20;

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

/// Plans a program, and runs it by what needs no device.
pub(crate) fn use_it(program: &Program) {
    let checked = program.check();
    let profile = DeviceProfile::webgpu_defaults();
    let planned = Planner::new(&profile).program(program, BATCH);
    if checked.is_err() {
        assert!(planned.is_err(), "a program that is none is planned: {checked:?}");
        assert!(!is_small(program) || Executor::default().bind(program, BATCH).is_err(), "{checked:?}");
        return;
    }
    let Ok(plan) = planned else { return };
    if plan.flops() > 3_000_000 || plan.memory.constants > MOST_CONSTANTS || !is_small(program) {
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

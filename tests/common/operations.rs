//! Programs of one operation, on every executor.

use super::{Arrays, Given, Planned, ProgramRun, assert_near, profile, random};
use locally_connected::DeviceProfile;
use locally_connected::ops::{BufferId, Operation, Shape, Usage};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::reference;

/// A program of one operation: its inputs' elements a sample, and those of its output.
pub(crate) fn alone(
    inputs: &[u64],
    output: u64,
    operation: impl FnOnce(&[BufferId], BufferId) -> Operation,
) -> Program {
    let mut program = Program::default();
    let add =
        |(&elements, at): (&u64, usize)| program.add(format!("input {at}"), Usage::Input, Shape::Samples(elements));
    let read: Vec<BufferId> = inputs.iter().zip(0..).map(add).collect();
    let written = program.add("output", Usage::Output, Shape::Samples(output));
    program.operations.push(operation(&read, written));
    program
}

/// Random values for all of a program's inputs. Of a few levels only, so that several are the largest.
pub(crate) fn levels(program: &Program, batch: u32, seed: u64) -> Arrays {
    let inputs = program.used_as(Usage::Input).zip(seed..);
    inputs
        .map(|(buffer, seed)| {
            let values = random(seed, buffer.shape.elements(batch)).into_iter();
            (buffer.name.clone(), values.map(|value| (4.0 * value).round() / 4.0).collect())
        })
        .collect()
}

/// A device that binds two samples of the largest of a program's buffers at once, at the most.
pub(crate) fn narrow(program: &Program) -> DeviceProfile {
    let most = program.buffers.iter().map(|buffer| buffer.shape.elements(1)).max().unwrap_or(0);
    DeviceProfile { max_binding: 8 * most + 256, storage_alignment: 256, ..profile() }
}

/// What a program writes, by every executor: on the device with the batch whole and cut, where its plan keeps all limits and can
/// be written down; on the CPU with all instructions and any number of threads.
#[track_caller]
pub(crate) fn everywhere(program: &Program, batch: u32, given: &Arrays) -> Vec<(String, Arrays)> {
    let mut runs = Vec::new();
    for (name, profile) in [("the device", profile()), ("the device piece by piece", narrow(program))] {
        let planned = Planned::new(program.clone(), batch, &Planner::new(&profile)).expect("it is planned");
        planned.assert_keeps_limits(&profile);
        let written = planned.plan.written(program).expect("it is written");
        assert_eq!(written.dispatches.len(), planned.plan.dispatches().count(), "{name}");
        let run = ProgramRun::new(program, batch, given, &profile).expect("it is bound");
        // A device has no buffers of no bytes.
        let held = |mut written: Arrays| {
            for buffer in &program.buffers {
                let elements = buffer.shape.elements(batch) as usize;
                written.entry(buffer.name.clone()).and_modify(|values| values.truncate(elements));
            }
            written
        };
        let (first, again) = (held(run.run()), held(run.run()));
        assert!(bits(&first) == bits(&again), "{name} gives other bits when it is run again");
        runs.push((name.to_owned(), first));
    }
    runs.extend(by_cpus(program, batch, given));
    // Nothing is multiplied and added at once, so that all instructions agree.
    for two in runs[2..].windows(2) {
        assert!(bits(&two[0].1) == bits(&two[1].1), "{} and {} give other bits", two[0].0, two[1].0);
    }
    runs
}

/// What the CPU executor writes, with all instructions and numbers of threads.
#[cfg(feature = "cpu")]
fn by_cpus(program: &Program, batch: u32, given: &Arrays) -> Vec<(String, Arrays)> {
    let run = |executor| crate::cpu::run(executor, program, batch, given).expect("it runs");
    crate::cpu::EXECUTORS.iter().map(|(name, executor)| (name.clone(), run(executor))).collect()
}

#[cfg(not(feature = "cpu"))]
fn by_cpus(_: &Program, _: u32, _: &Arrays) -> Vec<(String, Arrays)> {
    Vec::new()
}

/// What the reference writes.
#[track_caller]
fn by_reference(program: &Program, batch: u32, given: &Arrays) -> reference::Values {
    let wide = |values: &Vec<f32>| values.iter().map(|&value| value.into()).collect();
    let exact = given.iter().map(|(name, values)| (name.clone(), wide(values))).collect();
    reference::run(program, batch, &exact).expect("the reference runs")
}

fn bits(values: &Arrays) -> Vec<Vec<u32>> {
    values.values().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}

/// Compares every executor with the reference.
#[track_caller]
pub(crate) fn assert_everywhere(what: &str, given: Given<'_>, tolerance: f64) {
    let Given { program, batch, values } = given;
    let expected = by_reference(program, batch, values);
    for (by, written) in everywhere(program, batch, values) {
        for (name, found) in &written {
            assert_near(format!("{what}: {name} by {by}"), found, &expected[name], tolerance);
        }
    }
}

/// What each executor writes of a program's outputs and gradients: the reference, the CPU executor with all instructions and
/// numbers of threads, the device under test. `given` is as for [`ProgramRun::new`].
pub(crate) fn on_every_executor(program: &Program, batch: u32, given: &Arrays) -> Vec<(String, Arrays)> {
    let is_written = |name: &String| {
        let buffer = program.find(name).and_then(|id| program.buffer(id)).expect("it has what it wrote");
        !matches!(buffer.usage, Usage::Scratch)
    };
    let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    let referred = by_reference(program, batch, given).into_iter();
    let referred = referred.filter(|(name, _)| is_written(name)).map(|(name, values)| (name, narrow(values))).collect();
    let mut all = vec![("the reference".to_owned(), referred)];
    all.extend(by_cpus(program, batch, given));
    all.push(("the device".into(), ProgramRun::new(program, batch, given, &profile()).expect("it runs").run()));
    all
}

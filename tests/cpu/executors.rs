//! The executors under test, and runs of programs on them by name.

use crate::common::Given;
use locally_connected::Result;
use locally_connected::cpu::{Executor, Instructions, Store, Threads, Weights};
use locally_connected::ops::{Buffer, Usage};
use locally_connected::program::Program;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::LazyLock;

/// What a program wrote to its caller, by name.
pub(crate) type Written = BTreeMap<String, Vec<f32>>;

/// The executors under test: all instructions on two threads, and the best on 1, 3 and 8, of which 3 write past the caches what may be.
pub(crate) static EXECUTORS: LazyLock<Vec<(String, Executor)>> = LazyLock::new(|| {
    let best = Instructions::best();
    let others = Instructions::available().into_iter().map(|instructions| (instructions, 2, None));
    let all = others.chain([(best, 1, None), (best, 3, Some(0)), (best, 8, None)]);
    all.map(|(instructions, threads, streams)| {
        let own = Threads::own(NonZeroUsize::new(threads).expect("not 0")).expect("a pool");
        assert_eq!(own.count(), threads);
        let executor = Executor::new(own).with_instructions(instructions).with_streaming_stores(streams);
        let stores = if streams.is_some() { ", stores past the caches" } else { "" };
        (format!("{instructions:?} on {threads} threads{stores}"), executor)
    })
    .collect()
});

/// Runs a program on what is given by name, inputs and parameters together.
pub(crate) fn run(
    executor: &Executor,
    program: &Program,
    batch: u32,
    given: &BTreeMap<String, Vec<f32>>,
) -> Result<Written> {
    let mut weights = Weights::new();
    let kept = || program.used_as(Usage::Parameter).chain(program.used_as(Usage::State));
    for buffer in kept() {
        // A state that isn't given is zero at first.
        if buffer.usage == Usage::Parameter || given.contains_key(&buffer.name) {
            weights.set(program, &buffer.name, &given[&buffer.name])?;
        }
    }
    if !program.updates() {
        return run_on(executor, &weights, Given { program, batch, values: given });
    }
    let mut written = run_on(executor, &mut weights, Given { program, batch, values: given })?;
    let updated: BTreeSet<_> = program.operations.iter().flat_map(|operation| operation.updates()).collect();
    for buffer in updated.iter().filter_map(|id| program.buffer(*id)) {
        let values = weights.get(&buffer.name).expect("it was updated").into_owned();
        written.insert(buffer.name.clone(), values);
    }
    Ok(written)
}

/// [`run`] with a store of weights.
pub(crate) fn run_on<'w, 'p: 'w>(
    executor: &Executor,
    weights: impl Into<Store<'w, 'p>>,
    given: Given<'_>,
) -> Result<Written> {
    let Given { program, batch, values: given } = given;
    let inputs: Vec<_> = program.used_as(Usage::Input).map(|b| (b.name.as_str(), given[&b.name].as_slice())).collect();
    let outputs = program.used_as(Usage::Output).chain(program.used_as(Usage::Gradient));
    // What gradients are added to is given; what else was there must not show.
    let before = |buffer: &Buffer| given.get(&buffer.name).cloned();
    let nothing = |buffer: &Buffer| vec![f32::NAN; buffer.shape.elements(batch) as usize];
    let mut written: Written =
        outputs.map(|buffer| (buffer.name.clone(), before(buffer).unwrap_or_else(|| nothing(buffer)))).collect();
    let mut outputs: Vec<_> = written.iter_mut().map(|(name, values)| (name.as_str(), values.as_mut_slice())).collect();
    executor.bind(program, batch)?.run(weights, &inputs, &mut outputs)?;
    Ok(written)
}

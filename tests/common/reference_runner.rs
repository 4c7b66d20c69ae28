//! Trains by the reference, in f64.

use locally_connected::ops::Usage;
use locally_connected::program::Program;
use locally_connected::reference::{self, Values};
use locally_connected::train::{Run, Runner};
use locally_connected::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Holds everything in f64, so that nothing is rounded from step to step.
#[derive(Default)]
pub(crate) struct ReferenceRunner {
    held: Values,
    pub(crate) at_once: Option<usize>,
}

impl Runner for ReferenceRunner {
    async fn hold(&mut self, store: &Program) -> Result<()> {
        let zeroes =
            store.buffers.iter().map(|buffer| (buffer.name.clone(), vec![0.0; buffer.shape.elements(0) as usize]));
        self.held = zeroes.collect();
        Ok(())
    }

    async fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.held.insert(name.to_owned(), values.iter().map(|&value| value.into()).collect());
        Ok(())
    }

    async fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let held = self.held.get(name).ok_or_else(|| Error::NoBuffer { name: name.to_owned() })?;
        Ok(held.iter().map(|&value| value as f32).collect())
    }

    async fn run(&mut self, run: Run<'_>) -> Result<BTreeMap<String, Vec<f32>>> {
        let mut given = self.held.clone();
        for (name, values) in run.inputs {
            given.insert((*name).to_owned(), values.iter().map(|&value| value.into()).collect());
        }
        let written = reference::run(run.program, run.batch, &given)?;
        let mut outputs = BTreeMap::new();
        for (name, values) in written {
            let usage = run.program.find(&name).and_then(|id| run.program.buffer(id)).map(|buffer| buffer.usage);
            match usage {
                Some(Usage::Output) => drop(outputs.insert(name, values.iter().map(|&value| value as f32).collect())),
                Some(Usage::Parameter | Usage::State | Usage::Gradient) => drop(self.held.insert(name, values)),
                _ => {}
            }
        }
        Ok(outputs)
    }

    fn samples_at_once(&self, _: &Arc<Program>) -> Result<usize> {
        Ok(self.at_once.unwrap_or(usize::MAX))
    }
}

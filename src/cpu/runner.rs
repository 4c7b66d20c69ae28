//! Trains on the host's own threads.

use super::bound::Bound;
use super::executor::Executor;
use super::weights::Weights;
use crate::ops::{Buffer, Usage};
use crate::program::Program;
use crate::room::zeroes;
use crate::train::{self, Recent, Run};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of samples, and of values computed from them, at once, where the caller says nothing.
const SAMPLE_BUDGET: u64 = 1 << 30;

/// Holds a training's parameters, states and gradients, and runs its programs on the host's own threads.
#[derive(Debug)]
pub struct Runner {
    executor: Executor,
    sample_budget: u64,
    store: Program,
    weights: Weights<'static>,
    gradients: BTreeMap<String, Vec<f32>>,
    bound: Recent<Bound>,
}

impl Default for Runner {
    /// A runner on the calling thread.
    fn default() -> Self {
        Self::new(Executor::default())
    }
}

impl Runner {
    /// A runner with this executor.
    #[must_use]
    pub fn new(executor: Executor) -> Self {
        let (store, weights, gradients) = (Program::default(), Weights::new(), BTreeMap::new());
        Self { executor, sample_budget: SAMPLE_BUDGET, store, weights, gradients, bound: Recent::default() }
    }

    /// The same runner with a budget in bytes for samples, and values computed from them, at once.
    #[must_use]
    pub fn with_sample_budget(self, sample_budget: u64) -> Self {
        Self { sample_budget, ..self }
    }

    /// The executor it runs on.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// The buffer of a parameter or a state that it holds.
    fn held(&self, name: &str) -> Result<&Buffer> {
        let held = self.store.buffers.iter().find(|buffer| buffer.name == name);
        held.ok_or_else(|| Error::NoBuffer { name: name.to_owned() })
    }
}

impl train::Runner for Runner {
    async fn hold(&mut self, store: &Program) -> Result<()> {
        let mut weights = Weights::new();
        for buffer in store.used_as(Usage::Parameter).chain(store.used_as(Usage::State)) {
            let values: Vec<f32> = zeroes("what is trained", buffer.shape.elements(0))?;
            weights.insert(buffer.name.clone(), values);
        }
        (self.store, self.weights, self.gradients) = (store.clone(), weights, BTreeMap::new());
        self.bound.clear();
        Ok(())
    }

    async fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let buffer = self.held(name)?;
        if values.len() as u64 != buffer.shape.elements(0) {
            return Err(buffer.wrong_length(0, values.len() as u64));
        }
        match self.weights.get_mut(name) {
            Some(held) => held.copy_from_slice(values),
            None => self.weights.insert(name, values.to_vec()),
        }
        Ok(())
    }

    async fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let held = self.weights.get(name).map(|values| values.into_owned());
        let held = held.or_else(|| self.gradients.get(name).cloned());
        held.ok_or_else(|| Error::NoBuffer { name: name.to_owned() })
    }

    async fn run(&mut self, run: Run<'_>) -> Result<BTreeMap<String, Vec<f32>>> {
        let Run { program, batch, inputs } = run;
        let mut bound = match self.bound.take(program, batch) {
            Some(bound) => bound,
            None => self.executor.bind(program, batch)?,
        };
        for buffer in program.used_as(Usage::Gradient) {
            if !self.gradients.contains_key(&buffer.name) {
                let values = zeroes("the gradients", buffer.shape.elements(batch))?;
                self.gradients.insert(buffer.name.clone(), values);
            }
        }
        let mut outputs: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
        for buffer in program.used_as(Usage::Output) {
            outputs.insert(&buffer.name, zeroes("outputs", buffer.shape.elements(batch))?);
        }
        let written = outputs.iter_mut().map(|(name, values)| (*name, values.as_mut_slice()));
        let gradients = self.gradients.iter_mut().map(|(name, values)| (name.as_str(), values.as_mut_slice()));
        let mut written: Vec<(&str, &mut [f32])> = written.chain(gradients).collect();
        let done = bound.run(&mut self.weights, inputs, &mut written);
        self.bound.put(program, batch, bound);
        done?;
        Ok(outputs.into_iter().map(|(name, values)| (name.to_owned(), values)).collect())
    }

    fn samples_at_once(&self, program: &Arc<Program>) -> Result<usize> {
        Ok(program.samples_within(self.sample_budget))
    }
}

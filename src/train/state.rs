//! The state of a training.

use super::Training;
use crate::ops::{Buffer, Usage};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// All that a training needs to go on: restored from it, with the same data, options and executor, it gives the same
/// bits as a training that was never interrupted.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct State {
    /// By [`names::parameter`](crate::model::names::parameter), as in
    /// [`Model::parameters`](crate::model::Model::parameters), including moving statistics.
    pub parameters: BTreeMap<String, Vec<f32>>,
    /// The optimizer's states, by [`names::state`](crate::model::names::state), each laid out as its parameter.
    pub optimizer: BTreeMap<String, Vec<f32>>,
    /// Steps done.
    pub steps: u64,
    /// Epochs done.
    pub epochs: usize,
    /// How often random numbers were drawn for dropout and noise.
    pub draws: u32,
    /// The seed of the samples' order.
    pub seed: u64,
}

impl State {
    /// Checks that it has all that the training holds, with the right lengths, and nothing else, and leaves numbers for
    /// further steps.
    pub(super) fn check(&self, training: &Training) -> Result<()> {
        const MOST: u64 = i64::MAX as u64;
        if self.steps > MOST {
            return Err(Error::TooLarge { what: "the number of steps done", value: self.steps.into(), limit: MOST });
        }
        let store = training.store();
        let kept = |usage| store.used_as(usage).collect::<Vec<_>>();
        let pairs = [(&self.parameters, kept(Usage::Parameter)), (&self.optimizer, kept(Usage::State))];
        for (values, buffers) in pairs {
            check_all(values, &buffers)?;
        }
        Ok(())
    }
}

/// Checks values by name against the buffers that they are for.
pub(super) fn check_all(values: &BTreeMap<String, Vec<f32>>, buffers: &[&Buffer]) -> Result<()> {
    for buffer in buffers {
        let found = values.get(&buffer.name).ok_or_else(|| Error::NotGiven { name: buffer.name.clone() })?;
        if found.len() as u64 != buffer.shape.elements(0) {
            return Err(buffer.wrong_length(0, found.len() as u64));
        }
    }
    match values.keys().find(|name| buffers.iter().all(|buffer| buffer.name != **name)) {
        Some(name) => Err(Error::NoBuffer { name: name.clone() }),
        None => Ok(()),
    }
}

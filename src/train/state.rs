//! All that a training goes on from.

use super::Training;
use crate::ops::{Buffer, Usage};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// All that a training goes on from: with the same data, options and executor a training that is restored from it gives the same bits
/// as one that was never interrupted.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct State {
    /// By [`names::parameter`](crate::model::names::parameter), as [`Model::parameters`](crate::model::Model::parameters) has them, moving statistics
    /// among them.
    pub parameters: BTreeMap<String, Vec<f32>>,
    /// What the optimizer keeps, by [`names::state`](crate::model::names::state), each as its parameter lies.
    pub optimizer: BTreeMap<String, Vec<f32>>,
    /// Steps done.
    pub steps: u64,
    /// Epochs done.
    pub epochs: usize,
    /// How often random numbers were drawn for dropout and noise.
    pub draws: u32,
    /// Of the orders in which samples are taken.
    pub seed: u64,
}

impl State {
    /// Checks that it has all that a training holds, of the right lengths, and nothing else.
    pub(super) fn check(&self, training: &Training) -> Result<()> {
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

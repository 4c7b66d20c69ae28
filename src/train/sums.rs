//! From the sums that programs give for batches to the numbers of an epoch.

use super::Training;
use super::data::Batch;
use super::history::Logs;
use crate::model::names;
use std::collections::BTreeMap;

/// Sums over samples, and what they are to be divided by.
#[derive(Debug, Default)]
pub(super) struct Sums {
    samples: usize,
    /// The sum of each batch's whole loss times its samples.
    loss: f64,
    /// Sums by the programs' output names.
    outputs: BTreeMap<String, f64>,
    /// Sums of the samples' weights, by output.
    weights: BTreeMap<String, f64>,
}

impl Sums {
    /// Adds the outputs of a batch of `samples` samples, and gives its whole loss.
    pub(super) fn add(
        &mut self,
        training: &Training,
        (batch, samples): (&Batch, usize),
        outputs: BTreeMap<String, f64>,
    ) -> f64 {
        let of = |name: &str| outputs.get(name).copied().unwrap_or(0.0);
        let graph = training.graph();
        let losses = training.aims.iter().filter(|aim| aim.loss.is_some());
        let losses = losses.map(|aim| aim.weight * of(&graph.output_buffer(names::LOSS, &aim.name)));
        let loss = losses.sum::<f64>() / samples as f64 + of(names::PENALTIES) + of(names::ACTIVITY);
        self.loss += loss * samples as f64;
        self.samples += samples;
        for aim in training.aims.iter().filter(|aim| aim.is_judged()) {
            let buffer = graph.output_buffer(names::SAMPLE_WEIGHT, &aim.name);
            let weights = batch.iter().find(|(name, _)| *name == buffer);
            let weights = weights.map_or(0.0, |(_, values)| values.iter().map(|&w| f64::from(w)).sum());
            *self.weights.entry(aim.name.clone()).or_default() += weights;
        }
        for (name, value) in outputs {
            *self.outputs.entry(name).or_default() += value;
        }
        loss
    }

    /// Samples so far, and their mean loss.
    pub(super) fn so_far(&self) -> (usize, f64) {
        (self.samples, self.loss / self.samples.max(1) as f64)
    }

    /// The means.
    pub(super) fn logs(&self, training: &Training) -> Logs {
        let mut logs = Logs::default();
        let samples = self.samples.max(1) as f64;
        logs.push(names::LOSS, self.loss / samples);
        let sum = |name: &str| self.outputs.get(name).copied().unwrap_or(0.0);
        let graph = training.graph();
        if training.aims.len() > 1 {
            for aim in training.aims.iter().filter(|aim| aim.loss.is_some()) {
                logs.push(format!("{}_loss", aim.name), sum(&graph.output_buffer(names::LOSS, &aim.name)) / samples);
            }
        }
        for aim in &training.aims {
            let weights = self.weights.get(&aim.name).copied().unwrap_or(samples);
            for count in &aim.counts {
                let of = if count.weighted { weights } else { samples };
                // Keras gives 0 where all weights are 0.
                let mean = if of == 0.0 { 0.0 } else { sum(&names::metric(&count.name)) / of };
                logs.push(count.name.clone(), mean);
            }
        }
        logs
    }
}

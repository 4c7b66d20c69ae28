//! From the sums that programs give for batches to the numbers of an epoch.

use super::Training;
use super::data::Batch;
use super::history::Logs;
use crate::model::names;

/// Numbers by names, of which there are few.
#[derive(Debug, Default)]
pub(super) struct Totals(Vec<(String, f64)>);

impl Totals {
    /// Adds to the number of that name, which is 0 at first.
    pub(super) fn add(&mut self, name: &str, value: f64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, total)) => *total += value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, total)| *total)
    }
}

/// Sums over samples, and what they are to be divided by.
#[derive(Debug, Default)]
pub(super) struct Sums {
    samples: usize,
    /// The sum of each batch's whole loss times its samples.
    loss: f64,
    /// Sums by the programs' output names.
    outputs: Totals,
    /// Sums of the samples' weights, by output.
    weights: Totals,
}

impl Sums {
    /// Adds the outputs of a batch of `samples` samples, and gives its whole loss.
    pub(super) fn add(&mut self, training: &Training, (batch, samples): (&Batch, usize), outputs: &Totals) -> f64 {
        let of = |name: &str| outputs.get(name).unwrap_or(0.0);
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
            self.weights.add(&aim.name, weights);
        }
        outputs.0.iter().for_each(|(name, value)| self.outputs.add(name, *value));
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
        let sum = |name: &str| self.outputs.get(name).unwrap_or(0.0);
        let graph = training.graph();
        if training.aims.len() > 1 {
            for aim in training.aims.iter().filter(|aim| aim.loss.is_some()) {
                logs.push(format!("{}_loss", aim.name), sum(&graph.output_buffer(names::LOSS, &aim.name)) / samples);
            }
        }
        for aim in &training.aims {
            let weights = self.weights.get(&aim.name).unwrap_or(samples);
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

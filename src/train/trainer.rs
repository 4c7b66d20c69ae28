//! A training on an executor: steps, evaluations and predictions.

use super::data::{Batch, Data, Samples, part};
use super::history::Logs;
use super::runner::{Run, Runner};
use super::state::check_all;
use super::sums::{Sums, Totals};
use super::{State, Training};
use crate::model::names;
use crate::ops::{StepNumbers, Usage};
use crate::program::Program;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A training on an executor, which holds the parameters and the optimizer's states.
///
/// ```
/// # #[cfg(feature = "cpu")]
/// # fn main() -> locally_connected::Result<()> {
/// use locally_connected::model::{Dense, Sequential};
/// use locally_connected::train::{Data, FanRule, FitOptions, Loss, Optimizer, Trainer, Training, initial_parameters};
/// use locally_connected::{Config, cpu};
///
/// let graph = Sequential::new([6, 1]).add(Config::local1d(1, 3)).graph()?;
/// let training = Training::new(&graph, Optimizer::sgd(), Loss::MeanSquaredError)?;
/// let parameters = initial_parameters(&graph, FanRule::Keras, 42)?;
/// let (x, y) = (vec![0.5; 64 * 6], vec![1.0; 64 * 4]);
///
/// let train = async {
///     let mut trainer = Trainer::new(cpu::Runner::default(), training, &parameters).await?;
///     let history = trainer.fit(&Data::new(&x, &y), &FitOptions::new().epochs(5), &mut []).await?;
///     trainer.parameters().await.map(|parameters| (history, parameters))
/// };
/// let (history, _) = pollster::block_on(train)?;
/// assert!(history.get("loss")[4] < history.get("loss")[0]);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "cpu"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Trainer<R> {
    runner: R,
    pub(super) training: Training,
    programs: Programs,
    pub(super) steps: u64,
    pub(super) epochs: usize,
    draws: u32,
    /// A callback's rate for the running epoch, in place of the schedule's.
    pub(super) rate: Option<f32>,
}

/// A training's programs, made once for all batch sizes.
#[derive(Debug)]
struct Programs {
    step: Arc<Program>,
    gradients: Arc<Program>,
    /// As `gradients`, adding to the gradients: for all pieces of a batch but the first.
    accumulating: Arc<Program>,
    update: Arc<Program>,
    /// A whole step, and the second half of one, in which averages replace the parameters at the end.
    overwriting: Option<[Arc<Program>; 2]>,
    evaluation: Arc<Program>,
    forward: Arc<Program>,
    end: Option<Arc<Program>>,
}

impl Programs {
    fn new(training: &Training) -> Self {
        let overwrites = training.optimizer().ema.is_some_and(|ema| ema.overwrite_frequency.is_some());
        let overwriting = || [training.step_with(true), training.update_with(true)].map(Arc::new);
        Self {
            step: Arc::new(training.step()),
            gradients: Arc::new(training.gradients()),
            accumulating: Arc::new(training.gradients().accumulating()),
            update: Arc::new(training.update()),
            overwriting: overwrites.then(overwriting),
            evaluation: Arc::new(training.evaluation()),
            forward: Arc::new(training.graph().forward()),
            end: training.end().map(Arc::new),
        }
    }
}

/// How a batch is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batching {
    /// Samples of a batch.
    pub(super) batch: usize,
    /// The most samples that are run at once; none is as many as the runner has memory for.
    pub(super) at_once: Option<usize>,
}

impl<R: Runner> Trainer<R> {
    /// A training from these parameters, by [`names::parameter`], in the order of [`Model::parameters`](crate::model::Model::parameters): those of a model, or new ones
    /// from [`initial_parameters`](super::initial_parameters).
    ///
    /// # Errors
    /// [`Error::NotGiven`], [`Error::Length`] and [`Error::NoBuffer`] for parameters; those of the runner.
    pub async fn new(mut runner: R, training: Training, parameters: &BTreeMap<String, Vec<f32>>) -> Result<Self> {
        let store = training.store();
        check_all(parameters, &store.used_as(Usage::Parameter).collect::<Vec<_>>())?;
        runner.hold(&store).await?;
        for (name, values) in parameters {
            runner.write(name, values).await?;
        }
        Self::of_held(runner, training).await
    }

    /// A training of parameters that the runner holds already, with zeroes for the optimizer's states and room for
    /// gradients. A model that runs there can so be trained without its parameters going to the host and back.
    ///
    /// # Errors
    /// Those of the runner.
    pub async fn of_held(runner: R, training: Training) -> Result<Self> {
        let programs = Programs::new(&training);
        let mut trainer = Self { runner, training, programs, steps: 0, epochs: 0, draws: 0, rate: None };
        if let Some(begin) = trainer.training.begin() {
            trainer.run(&Arc::new(begin), 1, &[]).await?;
        }
        Ok(trainer)
    }

    /// What is trained, and how.
    #[must_use]
    pub fn training(&self) -> &Training {
        &self.training
    }

    /// The executor that it runs on.
    #[must_use]
    pub fn runner(&self) -> &R {
        &self.runner
    }

    /// Steps done.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Epochs done.
    #[must_use]
    pub fn epochs(&self) -> usize {
        self.epochs
    }

    async fn run(
        &mut self,
        program: &Arc<Program>,
        batch: usize,
        inputs: &[&Batch],
    ) -> Result<BTreeMap<String, Vec<f32>>> {
        let inputs = inputs.iter().flat_map(|inputs| inputs.iter());
        let inputs: Vec<(&str, &[f32])> = inputs.map(|(name, values)| (name.as_str(), &values[..])).collect();
        self.runner.run(Run { program, batch: batch as u32, inputs: &inputs }).await
    }

    /// The inputs that hold a step's numbers.
    fn numbers(&self, samples: usize) -> Batch {
        let numbers = self.training.numbers(self.steps, samples, self.draws);
        let numbers = StepNumbers { learning_rate: self.learning_rate(), ..numbers };
        let of = |(name, weight): (String, f64)| {
            let per_sample = (weight / samples as f64) as f32;
            (name, StepNumbers { per_sample, ..numbers }.to_floats().to_vec())
        };
        self.training.steps().into_iter().map(of).collect()
    }

    /// The learning rate of the next step.
    pub(super) fn learning_rate(&self) -> f32 {
        self.rate.unwrap_or_else(|| self.training.optimizer().learning_rate.at(self.steps))
    }

    /// How many samples are run at once.
    fn at_once(&self, program: &Arc<Program>, batching: Batching) -> Result<usize> {
        let fits = self.runner.samples_at_once(program)?;
        Ok(batching.at_once.unwrap_or(fits).min(fits).min(batching.batch).max(1))
    }

    /// Does a step on a batch of `batching.batch` samples.
    ///
    /// # Errors
    /// [`Error::NotFinite`] where the loss isn't finite; [`Error::Unsupported`] where the batch doesn't fit at once and
    /// a layer needs it whole; those of the runner.
    pub(super) async fn step(
        &mut self,
        (batch, samples): (Batch, usize),
        batching: Batching,
        sums: &mut Sums,
    ) -> Result<()> {
        let at_once = self.at_once(&self.programs.step, batching)?;
        let overwrites = self.training.optimizer().ema.and_then(|ema| ema.overwrite_frequency);
        let overwrites = overwrites.is_some_and(|every| self.steps.saturating_add(1).is_multiple_of(every));
        let overwriting = self.programs.overwriting.clone().filter(|_| overwrites);
        let [step, update] =
            overwriting.unwrap_or_else(|| [&self.programs.step, &self.programs.update].map(Arc::clone));
        let numbers = self.numbers(samples);
        let mut outputs = Totals::default();
        let mut add = |given: BTreeMap<String, Vec<f32>>| {
            for (name, values) in &given {
                outputs.add(name, values.iter().map(|&value| f64::from(value)).sum());
            }
        };
        if at_once >= samples {
            add(self.run(&step, samples, &[&batch, &numbers]).await?);
            self.draws = self.draws.wrapping_add(1);
        } else {
            if let Some(layer) = self.training.joins_samples() {
                let what = format!("a batch of {samples} in pieces of {at_once}");
                let with = "in training: each sample's values depend on the whole batch".into();
                return Err(Error::Unsupported { what, with }.in_layer(layer.name()));
            }
            let mut program = self.programs.gradients.clone();
            for first in (0..samples).step_by(at_once) {
                let piece = first..samples.min(first + at_once);
                let (length, numbers) = (piece.len(), self.numbers(samples));
                add(self.run(&program, length, &[&part(&batch, samples, piece), &numbers]).await?);
                self.draws = self.draws.wrapping_add(1);
                program = self.programs.accumulating.clone();
            }
            add(self.run(&update, samples, &[&numbers]).await?);
        }
        // A state that was read may say any number.
        self.steps = self.steps.saturating_add(1);
        let loss = sums.add(&self.training, (&batch, samples), &outputs);
        if loss.is_finite() { Ok(()) } else { Err(Error::NotFinite { step: self.steps, loss }) }
    }

    /// One step on all of the data, as Keras's `train_on_batch`: its numbers.
    ///
    /// # Errors
    /// Those of [`Trainer::fit`].
    pub async fn train_on_batch(&mut self, data: &Data<'_>) -> Result<Logs> {
        let samples = Samples::new(&self.training, data)?;
        let mut sums = Sums::default();
        let batch = samples.batch(&(0..samples.count as u32).collect::<Vec<_>>());
        let batching = Batching { batch: samples.count, at_once: None };
        // A fit that ended with an error may have left one.
        self.rate = None;
        self.step((batch, samples.count), batching, &mut sums).await?;
        Ok(sums.logs(&self.training))
    }

    /// Losses and metrics of data, without training, in batches of `batch` samples: Keras's `evaluate`.
    ///
    /// # Errors
    /// [`Error::NotGiven`], [`Error::NoBuffer`], [`Error::Length`], [`Error::UnknownValue`] for data; [`Error::NotPositive`] for a batch of 0; those of the runner.
    pub async fn evaluate(&mut self, data: &Data<'_>, batch: usize) -> Result<Logs> {
        let samples = Samples::new(&self.training, data)?;
        self.evaluated(&samples, Batching { batch: checked(batch)?, at_once: None }).await
    }

    pub(super) async fn evaluated(&mut self, samples: &Samples<'_>, batching: Batching) -> Result<Logs> {
        let mut sums = Sums::default();
        let program = self.programs.evaluation.clone();
        let at_once = self.at_once(&program, batching)?;
        for first in (0..samples.count).step_by(batching.batch) {
            let count = batching.batch.min(samples.count - first);
            let batch = samples.batch(&(first as u32..(first + count) as u32).collect::<Vec<_>>());
            let mut outputs = Totals::default();
            for first in (0..count).step_by(at_once) {
                let piece = first..count.min(first + at_once);
                let (length, numbers) = (piece.len(), self.numbers(count));
                let part = part(&batch, count, piece);
                for (name, values) in &self.run(&program, length, &[&part, &numbers]).await? {
                    // Each piece gives the whole value of the parameters' penalties.
                    if first == 0 || name != names::PENALTIES {
                        outputs.add(name, values.iter().map(|&value| f64::from(value)).sum());
                    }
                }
            }
            sums.add(&self.training, (&batch, count), &outputs);
        }
        Ok(sums.logs(&self.training))
    }

    /// The outputs for inputs, both by the graph's names, in batches of `batch` samples: `[samples][…]` each.
    ///
    /// # Errors
    /// [`Error::NotGiven`], [`Error::NoBuffer`], [`Error::Length`] for inputs; [`Error::NotPositive`] for a batch of 0; those of the runner.
    pub async fn predict(&mut self, inputs: &[(&str, &[f32])], batch: usize) -> Result<BTreeMap<String, Vec<f32>>> {
        let given: Vec<_> = inputs.iter().map(|(name, values)| ((*name).to_owned(), *values)).collect();
        let samples = Samples::inputs(&self.training, &given)?;
        let program = self.programs.forward.clone();
        let batching = Batching { batch: checked(batch)?, at_once: None };
        let at_once = self.at_once(&program, batching)?;
        let mut all: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for first in (0..samples.count).step_by(at_once) {
            let count = at_once.min(samples.count - first);
            let batch = samples.batch(&(first as u32..(first + count) as u32).collect::<Vec<_>>());
            for (name, values) in self.run(&program, count, &[&batch]).await? {
                all.entry(name).or_default().extend(values);
            }
        }
        let graph = self.training.graph();
        let named = graph.outputs().into_iter().map(|output| {
            let buffer = graph.output_buffer(names::OUTPUT, output.name);
            (output.name.to_owned(), all.remove(&buffer).unwrap_or_default())
        });
        Ok(named.collect())
    }

    /// Replaces the parameters by their averages, if averages are kept: the end of a `fit`.
    pub(super) async fn finish(&mut self) -> Result<()> {
        let Some(end) = self.programs.end.clone() else { return Ok(()) };
        self.run(&end, 1, &[]).await.map(drop)
    }

    /// The parameters as they are now.
    ///
    /// # Errors
    /// Those of the runner.
    pub async fn parameters(&mut self) -> Result<BTreeMap<String, Vec<f32>>> {
        self.held(Usage::Parameter).await
    }

    /// Replaces the parameters; all of them or, if some don't fit, none.
    ///
    /// # Errors
    /// [`Error::NotGiven`], [`Error::Length`] and [`Error::NoBuffer`]: nothing is written then; those of the runner.
    pub async fn set_parameters(&mut self, parameters: &BTreeMap<String, Vec<f32>>) -> Result<()> {
        let store = self.training.store();
        check_all(parameters, &store.used_as(Usage::Parameter).collect::<Vec<_>>())?;
        for (name, values) in parameters {
            self.runner.write(name, values).await?;
        }
        Ok(())
    }

    /// The state, to go on from with [`Trainer::restore`].
    ///
    /// # Errors
    /// Those of the runner.
    pub async fn state(&mut self) -> Result<State> {
        let (parameters, optimizer) = (self.held(Usage::Parameter).await?, self.held(Usage::State).await?);
        let &mut Self { steps, epochs, draws, .. } = self;
        let seed = self.training.seed();
        Ok(State { parameters, optimizer, steps, epochs, draws, seed })
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// [`Error::NotGiven`], [`Error::Length`] and [`Error::NoBuffer`] for a state of another training, [`Error::TooLarge`] for one of 2⁶³
    /// steps or more: nothing is changed then; those of the runner.
    pub async fn restore(&mut self, state: &State) -> Result<()> {
        state.check(&self.training)?;
        for (name, values) in state.parameters.iter().chain(&state.optimizer) {
            self.runner.write(name, values).await?;
        }
        (self.steps, self.epochs) = (state.steps, state.epochs);
        self.draws = state.draws;
        if self.training.seed() != state.seed {
            self.training = self.training.clone().with_seed(state.seed);
            self.programs = Programs::new(&self.training);
        }
        Ok(())
    }

    async fn held(&mut self, usage: Usage) -> Result<BTreeMap<String, Vec<f32>>> {
        let mut held = BTreeMap::new();
        for buffer in self.training.store().used_as(usage) {
            held.insert(buffer.name.clone(), self.runner.read(&buffer.name).await?);
        }
        Ok(held)
    }
}

/// Refuses a batch of no samples.
pub(super) fn checked(batch: usize) -> Result<usize> {
    if batch == 0 { Err(Error::NotPositive { argument: "batch_size", value: 0 }) } else { Ok(batch) }
}

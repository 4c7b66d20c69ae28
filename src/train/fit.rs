//! `fit`: training for a number of epochs.

use super::data::{Data, Samples, order};
use super::history::{Callback, Epoch, History, Record, Step};
use super::runner::Runner;
use super::sums::Sums;
use super::trainer::{Batching, checked};
use super::{State, Trainer};
use crate::Result;

/// Options of [`Trainer::fit`], with Keras's names and defaults.
///
/// ```
/// use locally_connected::train::FitOptions;
/// let options = FitOptions::new().epochs(20).batch_size(64).validation_split(0.1);
/// assert_eq!(options.batch_size, 64);
/// assert_eq!(FitOptions::new().batch_size, 32);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FitOptions<'a> {
    /// Samples of a step; 32 by default.
    pub batch_size: usize,
    /// The number, counted from 0, of the epoch before which training ends; 1 by default. Where `initial_epoch` is 0,
    /// it is how many epochs are trained.
    pub epochs: usize,
    /// The number of the first epoch. Without it training goes on where [`Trainer::epochs`] is, which is 0 at first.
    pub initial_epoch: Option<usize>,
    /// Whether each epoch takes the samples in an order of its own, drawn from the training's seed; true by default.
    pub shuffle: bool,
    /// Which part of the samples, taken from their end, is kept for validation; not looked at where `validation` is
    /// given.
    pub validation_split: Option<f64>,
    /// The data that each epoch is validated with.
    pub validation: Option<Data<'a>>,
    /// How much the samples of each class count, from class 0 on. It multiplies the samples' own weights, and isn't
    /// used in validation.
    pub class_weight: Option<&'a [f32]>,
    /// The most samples that are computed at once: a larger batch is computed in pieces, whose gradients are added.
    /// Without it as many as the runner has memory for.
    pub at_once: Option<usize>,
}

impl Default for FitOptions<'_> {
    fn default() -> Self {
        Self {
            batch_size: 32,
            epochs: 1,
            initial_epoch: None,
            shuffle: true,
            validation_split: None,
            validation: None,
            class_weight: None,
            at_once: None,
        }
    }
}

impl<'a> FitOptions<'a> {
    /// Options with Keras's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the samples of a step.
    #[must_use]
    pub fn batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// Sets the number of the epoch before which training ends.
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs, ..self }
    }

    /// Sets the number of the first epoch.
    #[must_use]
    pub fn initial_epoch(self, epoch: usize) -> Self {
        Self { initial_epoch: Some(epoch), ..self }
    }

    /// Sets whether each epoch takes the samples in an order of its own.
    #[must_use]
    pub fn shuffle(self, shuffle: bool) -> Self {
        Self { shuffle, ..self }
    }

    /// Sets which part of the samples is kept for validation.
    #[must_use]
    pub fn validation_split(self, part: f64) -> Self {
        Self { validation_split: Some(part), ..self }
    }

    /// Sets the data that each epoch is validated with.
    #[must_use]
    pub fn validation(self, data: Data<'a>) -> Self {
        Self { validation: Some(data), ..self }
    }

    /// Sets how much each class's samples count.
    #[must_use]
    pub fn class_weight(self, weights: &'a [f32]) -> Self {
        Self { class_weight: Some(weights), ..self }
    }

    /// Sets the most samples that are computed at once.
    #[must_use]
    pub fn at_once(self, samples: usize) -> Self {
        Self { at_once: Some(samples), ..self }
    }
}

impl<R: Runner> Trainer<R> {
    /// Trains for some epochs, as Keras's `fit` does, and gives each epoch's numbers. After each epoch the callbacks
    /// are called in their order; if one breaks off, training ends with that epoch.
    ///
    /// # Errors
    /// [`Error::NotGiven`](crate::Error::NotGiven), [`Error::NoBuffer`](crate::Error::NoBuffer), [`Error::Length`](crate::Error::Length) and
    /// [`Error::UnknownValue`](crate::Error::UnknownValue) for data and options, before anything is trained;
    /// [`Error::NotFinite`](crate::Error::NotFinite) at the first loss that isn't finite;
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a batch that doesn't fit at once with a layer that needs it whole; those of the runner.
    pub async fn fit(
        &mut self,
        data: &Data<'_>,
        options: &FitOptions<'_>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<History> {
        let batching =
            Batching { batch: checked(options.batch_size)?, at_once: options.at_once.map(checked).transpose()? };
        let samples = Samples::new(&self.training, data)?;
        let (mut samples, validation) = match (&options.validation, options.validation_split) {
            (Some(validation), _) => (samples, Some(Samples::new(&self.training, validation)?)),
            (None, Some(part)) if part != 0.0 => {
                let (samples, rest) = samples.split(part)?;
                (samples, Some(rest))
            }
            (None, _) => (samples, None),
        };
        if let Some(weights) = options.class_weight {
            samples.weigh_classes(&self.training, weights)?;
        }
        let mut history = History::default();
        let first = options.initial_epoch.unwrap_or(self.epochs);
        for number in first..options.epochs {
            let mut sums = Sums::default();
            let order = order(samples.count, options.shuffle.then_some(self.training.seed()), number);
            let scheduled = self.training.optimizer().learning_rate.at(self.steps);
            self.rate = callbacks.iter_mut().find_map(|callback| callback.learning_rate(number, scheduled));
            let mut learning_rate = scheduled;
            let steps = order.len().div_ceil(batching.batch);
            for (batch, done) in order.chunks(batching.batch).zip(1..) {
                learning_rate = self.learning_rate();
                self.step((samples.batch(batch), batch.len()), batching, &mut sums).await?;
                let (samples, loss) = sums.so_far();
                let step = Step { epoch: number, done, steps, samples, loss };
                callbacks.iter_mut().for_each(|callback| callback.on_step(&step));
            }
            let mut logs = sums.logs(&self.training);
            if let Some(validation) = &validation {
                logs = logs.validated(self.evaluated(validation, batching).await?);
            }
            self.epochs = number + 1;
            let epoch = Epoch { number, steps: self.steps, learning_rate, logs };
            let ends = self.tell(&epoch, callbacks).await?;
            history.epochs.push(epoch);
            if ends {
                break;
            }
        }
        self.rate = None;
        if first < options.epochs {
            self.finish().await?;
        }
        Ok(history)
    }

    /// Calls the callbacks after an epoch, and says whether one of them ends the training. Parameters are restored
    /// where one asks for it.
    async fn tell(&mut self, epoch: &Epoch, callbacks: &mut [&mut dyn Callback]) -> Result<bool> {
        let mut state: Option<State> = None;
        let mut ends = false;
        for callback in callbacks.iter_mut() {
            if callback.wants_state(epoch) && state.is_none() {
                state = Some(self.state().await?);
            }
            ends |= callback.on_epoch(&Record { epoch, state: state.as_ref() }).is_break();
        }
        if ends && let Some(state) = callbacks.iter().find_map(|callback| callback.restores()) {
            self.set_parameters(&state.parameters).await?;
        }
        Ok(ends)
    }
}

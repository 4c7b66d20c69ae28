//! What a `fit` reports: the numbers of each epoch, and callbacks.

use super::State;
use std::ops::ControlFlow;

/// Numbers by name, in Keras's order: `loss`, the outputs' losses where there are several, the metrics; then the same
/// of the validation with `val_` in front.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Logs(Vec<(String, f64)>);

impl Logs {
    /// The number of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| *value)
    }

    /// All names with their numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    pub(super) fn push(&mut self, name: impl Into<String>, value: f64) {
        self.0.push((name.into(), value));
    }

    /// These numbers, followed by those of a validation.
    pub(super) fn validated(mut self, validation: Self) -> Self {
        self.0.extend(validation.0.into_iter().map(|(name, value)| (format!("val_{name}"), value)));
        self
    }
}

impl FromIterator<(String, f64)> for Logs {
    fn from_iter<I: IntoIterator<Item = (String, f64)>>(numbers: I) -> Self {
        Self(numbers.into_iter().collect())
    }
}

/// An epoch that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// Its number, from 0.
    pub number: usize,
    /// Steps of all epochs so far, including those before a restored state.
    pub steps: u64,
    /// The learning rate of its last step.
    pub learning_rate: f32,
    /// Means over its samples.
    pub logs: Logs,
}

/// The epochs of a `fit`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The epochs in their order.
    pub epochs: Vec<Epoch>,
}

impl History {
    /// The numbers of that name, one of each epoch that has it: Keras's `history[name]`.
    #[must_use]
    pub fn get(&self, name: &str) -> Vec<f64> {
        self.epochs.iter().filter_map(|epoch| epoch.logs.get(name)).collect()
    }
}

/// What callbacks are told of an epoch.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The epoch's numbers.
    pub epoch: &'a Epoch,
    /// The whole state of the training, where a callback [wanted](Callback::wants_state) it.
    pub state: Option<&'a State>,
}

/// What callbacks are told of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The number of its epoch, from 0.
    pub epoch: usize,
    /// Steps of the epoch so far, with this one.
    pub done: usize,
    /// Steps of the epoch.
    pub steps: usize,
    /// Samples of the epoch so far.
    pub samples: usize,
    /// The mean loss of these samples.
    pub loss: f64,
}

/// Is called after each step and epoch, and may end a training.
pub trait Callback {
    /// A step is over. No more is read from the device for this than training reads anyway.
    fn on_step(&mut self, step: &Step) {
        let _ = step;
    }

    /// Whether it wants [`Record::state`] with this epoch. The state is read from the device for callbacks that do.
    fn wants_state(&mut self, epoch: &Epoch) -> bool {
        let _ = epoch;
        false
    }

    /// The learning rate of all steps of an epoch that begins, where the callback sets one; `scheduled` is the
    /// schedule's rate of its first step. If several callbacks set a rate, the first one's is taken.
    fn learning_rate(&mut self, epoch: usize, scheduled: f32) -> Option<f32> {
        let _ = (epoch, scheduled);
        None
    }

    /// An epoch is over. On [`ControlFlow::Break`] it was the last.
    fn on_epoch(&mut self, record: &Record<'_>) -> ControlFlow<()>;

    /// The state whose parameters the model gets back after a callback has ended the training. If several callbacks
    /// have one, the first one's is taken.
    fn restores(&self) -> Option<&State> {
        None
    }
}

impl<F: FnMut(&Record<'_>) -> ControlFlow<()>> Callback for F {
    fn on_epoch(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        self(record)
    }
}

/// Which way a number is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Better {
    /// Higher for names that end as an accuracy's or in `auc`, else lower.
    #[default]
    ByName,
    /// A lower number is better.
    Lower,
    /// A higher number is better.
    Higher,
}

/// Keras's `EarlyStopping`: ends a training when a number no longer gets better.
///
/// ```
/// use locally_connected::train::EarlyStopping;
/// let stopping = EarlyStopping::new("val_loss").patience(3).restore_best();
/// # let _ = stopping;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStopping {
    monitor: String,
    min_delta: f64,
    patience: usize,
    better: Better,
    baseline: Option<f64>,
    restore_best: bool,
    start_from_epoch: usize,
    wait: usize,
    best: Option<f64>,
    best_epoch: Option<usize>,
    best_state: Option<State>,
    stopped: bool,
}

impl EarlyStopping {
    /// Looks at the number of that name, such as `val_loss`; an epoch without it isn't looked at. Without further
    /// options training ends with the first epoch that isn't better than the best.
    #[must_use]
    pub fn new(monitor: impl Into<String>) -> Self {
        Self {
            monitor: monitor.into(),
            min_delta: 0.0,
            patience: 0,
            better: Better::ByName,
            baseline: None,
            restore_best: false,
            start_from_epoch: 0,
            wait: 0,
            best: None,
            best_epoch: None,
            best_state: None,
            stopped: false,
        }
    }

    /// Sets how much better a number must be to count as better.
    #[must_use]
    pub fn min_delta(self, min_delta: f64) -> Self {
        Self { min_delta: min_delta.abs(), ..self }
    }

    /// Sets how many epochs to wait for a better number.
    #[must_use]
    pub fn patience(self, patience: usize) -> Self {
        Self { patience, ..self }
    }

    /// Sets which way is better.
    #[must_use]
    pub fn better(self, better: Better) -> Self {
        Self { better, ..self }
    }

    /// Sets the number that must be beaten for waiting to begin anew.
    #[must_use]
    pub fn baseline(self, baseline: f64) -> Self {
        Self { baseline: Some(baseline), ..self }
    }

    /// Gives the model the parameters of the best epoch back when it ends the training.
    #[must_use]
    pub fn restore_best(self) -> Self {
        Self { restore_best: true, ..self }
    }

    /// Sets the first epoch that it looks at.
    #[must_use]
    pub fn start_from_epoch(self, epoch: usize) -> Self {
        Self { start_from_epoch: epoch, ..self }
    }

    /// The number of the best epoch, where there was one.
    #[must_use]
    pub fn best_epoch(&self) -> Option<usize> {
        self.best_epoch
    }

    /// Whether it ended the training.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.stopped
    }

    fn is_better(&self, value: f64, than: Option<f64>) -> bool {
        let Some(than) = than else { return !value.is_nan() };
        let ends = ["acc", "accuracy", "auc"].iter().any(|end| self.monitor.ends_with(end));
        if self.better == Better::Higher || self.better == Better::ByName && ends {
            value - self.min_delta > than
        } else {
            value + self.min_delta < than
        }
    }

    fn looked_at(&self, epoch: &Epoch) -> Option<f64> {
        epoch.logs.get(&self.monitor).filter(|_| epoch.number >= self.start_from_epoch)
    }
}

impl Callback for EarlyStopping {
    fn wants_state(&mut self, epoch: &Epoch) -> bool {
        let value = self.looked_at(epoch);
        // The first epoch's state is kept in any case, so that there is one even if nothing ever gets better.
        self.restore_best && value.is_some_and(|value| self.best_state.is_none() || self.is_better(value, self.best))
    }

    fn on_epoch(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        let Some(value) = self.looked_at(record.epoch) else { return ControlFlow::Continue(()) };
        if self.restore_best && self.best_state.is_none() {
            self.best_state = record.state.cloned();
        }
        self.wait += 1;
        if self.is_better(value, self.best) {
            (self.best, self.best_epoch) = (Some(value), Some(record.epoch.number));
            if self.restore_best {
                self.best_state = record.state.cloned();
            }
            if self.baseline.is_none() || self.is_better(value, self.baseline) {
                self.wait = 0;
            }
            return ControlFlow::Continue(());
        }
        // Keras never stops after the first epoch.
        if self.wait >= self.patience && record.epoch.number > 0 {
            self.stopped = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn restores(&self) -> Option<&State> {
        self.best_state.as_ref().filter(|_| self.stopped && self.restore_best)
    }
}

/// Sets the learning rate of each epoch by its number and the scheduled rate: Keras's `LearningRateScheduler`. (A
/// [`Schedule`](super::Schedule) sets it step by step.)
pub struct RateByEpoch<F>(pub F);

impl<F: FnMut(usize, f32) -> f32> Callback for RateByEpoch<F> {
    fn learning_rate(&mut self, epoch: usize, scheduled: f32) -> Option<f32> {
        Some((self.0)(epoch, scheduled))
    }

    fn on_epoch(&mut self, _: &Record<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Gives the state of every epoch, or of every `every`th one, to a host that keeps it.
pub struct Checkpoints<F> {
    every: usize,
    keep: F,
}

impl<F: FnMut(&State, &Epoch) -> ControlFlow<()>> Checkpoints<F> {
    /// Calls `keep` after every `every`th epoch. If `keep` breaks off, because it can't keep the state, the training
    /// ends.
    pub fn new(every: usize, keep: F) -> Self {
        Self { every: every.max(1), keep }
    }
}

impl<F: FnMut(&State, &Epoch) -> ControlFlow<()>> Callback for Checkpoints<F> {
    fn wants_state(&mut self, epoch: &Epoch) -> bool {
        (epoch.number + 1).is_multiple_of(self.every)
    }

    fn on_epoch(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        match record.state.filter(|_| (record.epoch.number + 1).is_multiple_of(self.every)) {
            Some(state) => (self.keep)(state, record.epoch),
            None => ControlFlow::Continue(()),
        }
    }
}

/// Writes a line of numbers for each epoch, as Keras's `CSVLogger`: the epoch, then its logs in the order of their names.
#[derive(Debug)]
pub struct CsvLog<W> {
    writer: W,
    separator: char,
    /// The names in the first line, once it is written.
    names: Vec<String>,
    failed: Option<std::io::Error>,
}

impl<W: std::io::Write> CsvLog<W> {
    /// Writes a line of names first.
    pub fn new(writer: W) -> Self {
        Self { writer, separator: ',', names: Vec::new(), failed: None }
    }

    /// Continues a log that already has a first line with these names.
    #[must_use]
    pub fn appending(self, names: Vec<String>) -> Self {
        Self { names, ..self }
    }

    /// The writer, once the training is over.
    ///
    /// # Errors
    /// The error of the line that couldn't be written; the training was ended then.
    pub fn finish(self) -> std::io::Result<W> {
        self.failed.map_or(Ok(self.writer), Err)
    }

    fn line(&mut self, epoch: &Epoch) -> std::io::Result<()> {
        if self.names.is_empty() {
            self.names = epoch.logs.iter().map(|(name, _)| name.to_owned()).collect();
            self.names.sort_unstable();
            let names = std::iter::once("epoch").chain(self.names.iter().map(String::as_str));
            let names: Vec<&str> = names.collect();
            writeln!(self.writer, "{}", names.join(&self.separator.to_string()))?;
        }
        write!(self.writer, "{}", epoch.number)?;
        for name in &self.names {
            // Keras writes NA for what an epoch lacks.
            let value = epoch.logs.get(name).map_or("NA".to_owned(), |value| value.to_string());
            write!(self.writer, "{}{value}", self.separator)?;
        }
        writeln!(self.writer)?;
        self.writer.flush()
    }
}

impl<W: std::io::Write> Callback for CsvLog<W> {
    fn on_epoch(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        match self.line(record.epoch) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

//! What is done after each epoch: a line of numbers, the log, early stopping, the checkpoint.

use super::checkpoint::{Checkpoint, Course, SoFar, write};
use super::curves;
use crate::args::{Common, Train};
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use locally_connected::train::{Callback, EarlyStopping, Epoch, Record, State, Step};
use locally_connected_keras::write_file;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

pub(super) struct Watch<'a> {
    args: &'a Train,
    quiet: bool,
    course: Course<'a>,
    progress: &'a Progress,
    begun: Instant,
    stopping: Option<EarlyStopping>,
    epochs: Vec<Epoch>,
    /// The parameters after the best epoch, kept if training may end early.
    best: Option<BTreeMap<String, Vec<f32>>>,
    failed: Option<Failure>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(common: &Common, args: &'a Train, course: Course<'a>, progress: &'a Progress) -> Self {
        let validated = !args.validation.is_empty() || args.validation_split.is_some_and(|part| part != 0.0);
        let monitored = if validated { "val_loss" } else { "loss" };
        let stopping = |patience: u64| EarlyStopping::new(monitored).patience(patience as usize).restore_best();
        Self {
            args,
            quiet: common.quiet,
            course,
            progress,
            begun: Instant::now(),
            stopping: args.patience.map(stopping),
            epochs: Vec::new(),
            best: None,
            failed: None,
        }
    }

    /// Goes on from a checkpoint.
    pub(super) fn go_on(&mut self, checkpoint: Checkpoint) {
        let best = checkpoint.best.map(|parameters| State { parameters, ..State::default() });
        for epoch in checkpoint.epochs {
            if let Some(stopping) = &mut self.stopping {
                let _ = stopping.wants_state(&epoch);
                // It doesn't matter that it would have ended there.
                let _ = stopping.on_epoch(&Record { epoch: &epoch, state: best.as_ref() });
            }
            self.epochs.push(epoch);
        }
        self.best = best.map(|best| best.parameters);
    }

    /// Whether the training would have ended before.
    pub(super) fn is_over(&self) -> bool {
        self.stopping.as_ref().is_some_and(EarlyStopping::has_stopped)
    }

    pub(super) fn best(&self) -> Option<&BTreeMap<String, Vec<f32>>> {
        self.best.as_ref()
    }

    /// An error on the way, if there was one; else the curves are drawn.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if let Some(path) = &self.args.plot
            && !self.epochs.is_empty()
        {
            let columns = columns(&self.epochs);
            let columns: Vec<_> = columns.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
            write_file(path, curves::svg(&columns).as_bytes())?;
        }
        self.failed.map_or(Ok(()), Err)
    }

    fn watched(&mut self, record: &Record<'_>) -> Result<ControlFlow<()>, Failure> {
        let epoch = record.epoch;
        self.epochs.push(epoch.clone());
        let mut flow = ControlFlow::Continue(());
        if let Some(stopping) = &mut self.stopping {
            flow = stopping.on_epoch(record);
            if stopping.best_epoch() == Some(epoch.number) || self.best.is_none() {
                self.best = record.state.map(|state| state.parameters.clone());
            }
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        self.begun = Instant::now();
        let rate = self.course.terms.samples() as f64 / seconds.max(1e-9);
        let logs: Vec<String> = epoch.logs.iter().map(|(name, value)| format!("{name} {}", short(value))).collect();
        let line = format!(
            "epoch {}/{}: {}; learning rate {}; {rate:.0} samples/s",
            epoch.number + 1,
            self.args.epochs,
            logs.join(", "),
            short(epoch.learning_rate.into()),
        );
        if !self.quiet {
            output::print(&format!("{line}\n"))?;
            if flow.is_break() {
                let best = self.stopping.as_ref().and_then(EarlyStopping::best_epoch).map_or(0, |best| best + 1);
                output::print(&format!("no better since epoch {best}, whose weights are kept\n"))?;
            }
        }
        self.progress.set(line);
        if let Some(path) = &self.args.log {
            let columns = columns(&self.epochs);
            let columns: Vec<_> = columns.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
            write_file(path, curves::csv(&columns).as_bytes())?;
        }
        if let (Some(path), Some(state)) = (&self.args.checkpoint, record.state) {
            write(path, self.course, &SoFar { state, epochs: &self.epochs, best: self.best.as_ref() })?;
        }
        Ok(flow)
    }
}

impl Callback for Watch<'_> {
    fn wants_state(&mut self, epoch: &Epoch) -> bool {
        let stopping = self.stopping.as_mut().is_some_and(|stopping| stopping.wants_state(epoch));
        stopping || self.args.checkpoint.is_some()
    }

    fn on_step(&mut self, step: &Step) {
        let rate = step.samples as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
        let message =
            format!("epoch {}/{}: loss {}; {rate:.0} samples/s", step.epoch + 1, self.args.epochs, short(step.loss));
        self.progress.steps(message, step.done, step.steps);
    }

    fn on_epoch(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        self.watched(record).unwrap_or_else(|failure| {
            self.failed = Some(failure);
            ControlFlow::Break(())
        })
    }

    fn restores(&self) -> Option<&State> {
        self.stopping.as_ref()?.restores()
    }
}

/// A column for each number of the epochs, in the first epoch's order.
fn columns(epochs: &[Epoch]) -> Vec<(String, Vec<f64>)> {
    let Some(first) = epochs.first() else { return Vec::new() };
    let of = |name: &str| epochs.iter().map(|epoch| epoch.logs.get(name).unwrap_or(f64::NAN)).collect();
    first.logs.iter().map(|(name, _)| (name.to_owned(), of(name))).collect()
}

/// Four significant digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e5).contains(&size) {
        let digits = if size >= 1.0 || value == 0.0 { 4 } else { 4 + (-size.log10()).floor() as usize };
        let text = format!("{value:.digits$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{value:.3e}")
    }
}

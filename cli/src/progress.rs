//! A line on the terminal during work that takes time.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use locally_connected_keras::Watch;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// Shorter work shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// Work of unknown length.
const SPINNER: &str = "{spinner} {msg} ({elapsed})";
/// A file that is being read.
const BAR: &str = "{msg} {bar:30} {bytes} of {total_bytes} ({elapsed})";

/// Steps of an epoch.
const STEPS: &str = "{msg} {bar:30} {pos} of {len} ({elapsed})";

/// A spinner with a message. It appears after half a second, and only on a terminal; dropping it removes it.
pub(crate) struct Progress {
    bar: ProgressBar,
    waiting: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    pub(crate) fn start(quiet: bool, message: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(SPINNER) {
            bar.set_style(style);
        }
        bar.set_message(message);
        if quiet {
            return Self { bar, waiting: None };
        }
        let (sender, done) = mpsc::channel::<()>();
        let shown = bar.clone();
        let thread = std::thread::spawn(move || {
            if done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // indicatif shows nothing if standard error isn't a terminal.
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(Duration::from_millis(120));
            }
        });
        Self { bar, waiting: Some((sender, thread)) }
    }

    /// Sets the message.
    pub(crate) fn set(&self, message: impl Into<String>) {
        if let Ok(style) = ProgressStyle::with_template(SPINNER) {
            self.bar.set_style(style);
        }
        self.bar.set_message(message.into());
    }

    /// Sets the message, with a bar that shows how many steps are done.
    pub(crate) fn steps(&self, message: impl Into<String>, done: usize, of: usize) {
        if done == 1
            && let Ok(style) = ProgressStyle::with_template(STEPS)
        {
            self.bar.set_style(style);
        }
        self.bar.set_message(message.into());
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
    }

    /// Shows a bar of how much of a file was read.
    pub(crate) fn bytes(&self) -> Watch {
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            self.bar.set_style(style);
        }
        let bar = self.bar.clone();
        Arc::new(move |read, of| {
            bar.set_length(of);
            bar.set_position(read);
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.waiting.take() {
            drop(sender);
            // It must not print the line again after it was cleared.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

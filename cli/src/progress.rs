//! A line on the terminal for work that takes its time.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use locally_connected_keras::Watch;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// Work shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// Work of unknown length.
const SPINNER: &str = "{spinner} {msg} ({elapsed})";
/// A file that is read.
const BAR: &str = "{msg} {bar:30} {bytes} of {total_bytes} ({elapsed})";

/// Steps of an epoch.
const STEPS: &str = "{msg} {bar:30} {pos} of {len} ({elapsed})";

/// A spinner with a message; it appears after half a second, and only on a terminal. Dropped, it is gone again.
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
                // indicatif shows nothing where standard error is no terminal.
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(Duration::from_millis(120));
            }
        });
        Self { bar, waiting: Some((sender, thread)) }
    }

    /// Says what is being done now.
    pub(crate) fn set(&self, message: impl Into<String>) {
        if let Ok(style) = ProgressStyle::with_template(SPINNER) {
            self.bar.set_style(style);
        }
        self.bar.set_message(message.into());
    }

    /// Says what is being done now, and how many steps of it are, as a bar.
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

    /// Shows how much of a file was read, as a bar.
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
            // It must not show the line after it has been cleared.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

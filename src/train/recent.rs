//! Keeps what runners made for the programs that they ran last.

use crate::program::Program;
use std::sync::Arc;

/// How many stay bound: enough for a whole batch, a short last one, and evaluations.
const BOUND: usize = 4;

/// What was made for a few programs, each with its batch; the last used is last.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    made: Vec<Made<T>>,
}

#[derive(Debug)]
struct Made<T> {
    program: Arc<Program>,
    batch: u32,
    what: T,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { made: Vec::new() }
    }
}

impl<T> Recent<T> {
    /// Takes out what was made for a program and a batch. Where there is none and all places are taken, the oldest is
    /// dropped, so that its memory is free before more is asked for.
    pub(crate) fn take(&mut self, program: &Arc<Program>, batch: u32) -> Option<T> {
        let known = |made: &Made<T>| Arc::ptr_eq(&made.program, program) && made.batch == batch;
        let at = self.made.iter().position(known);
        if at.is_none() {
            self.made.drain(..(self.made.len() + 1).saturating_sub(BOUND));
        }
        at.map(|at| self.made.remove(at).what)
    }

    /// Keeps it as the last used.
    pub(crate) fn put(&mut self, program: &Arc<Program>, batch: u32, what: T) {
        self.made.push(Made { program: program.clone(), batch, what });
    }

    pub(crate) fn clear(&mut self) {
        self.made.clear();
    }
}

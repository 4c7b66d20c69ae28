//! What runners made of the programs that they ran last.

use crate::program::Program;
use std::sync::Arc;

/// Programs that stay bound, one for each batch: a whole batch's, a short last one's, an evaluation's.
const BOUND: usize = 4;

/// What was made of a few programs, each for a batch; the last used one last.
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
    /// Takes out what was made of a program for so many samples. Where there is none, there is room for it now: what is dropped is
    /// free before more is asked for.
    pub(crate) fn take(&mut self, program: &Arc<Program>, batch: u32) -> Option<T> {
        let known = |made: &Made<T>| Arc::ptr_eq(&made.program, program) && made.batch == batch;
        let at = self.made.iter().position(known);
        if at.is_none() {
            self.made.drain(..(self.made.len() + 1).saturating_sub(BOUND));
        }
        at.map(|at| self.made.remove(at).what)
    }

    /// Keeps it until others were used.
    pub(crate) fn put(&mut self, program: &Arc<Program>, batch: u32, what: T) {
        self.made.push(Made { program: program.clone(), batch, what });
    }

    pub(crate) fn clear(&mut self) {
        self.made.clear();
    }
}

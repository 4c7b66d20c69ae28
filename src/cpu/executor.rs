//! The threads and instructions that programs run with.

use super::bound::Bound;
use super::instructions::Instructions;
use super::threads::Threads;
use crate::Result;
use crate::program::Program;

/// The threads and instructions that programs run with.
#[derive(Debug, Clone)]
pub struct Executor {
    threads: Threads,
    instructions: Instructions,
}

impl Default for Executor {
    /// The calling thread alone, with the best instructions that the processor has.
    fn default() -> Self {
        Self::new(Threads::caller())
    }
}

impl Executor {
    /// An executor with these threads and the best instructions that the processor has.
    #[must_use]
    pub fn new(threads: Threads) -> Self {
        Self { threads, instructions: Instructions::best() }
    }

    /// The same threads with these instructions, or with the portable ones if the processor doesn't have them.
    #[must_use]
    pub fn with_instructions(self, instructions: Instructions) -> Self {
        Self { instructions, ..self }
    }

    /// The threads it runs on.
    #[must_use]
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    /// The instructions it uses.
    #[must_use]
    pub fn instructions(&self) -> Instructions {
        self.instructions
    }

    /// Checks a program and allocates all that its runs on `batch` samples need.
    ///
    /// # Errors
    /// Those of [`Program::check`]; [`Error::OutOfMemory`](crate::Error::OutOfMemory) where there is no memory for the
    /// scratch, [`Error::Unsupported`](crate::Error::Unsupported) where anything but parameters is stored in 16 bits.
    pub fn bind(&self, program: &Program, batch: u32) -> Result<Bound> {
        Bound::new(self.threads.clone(), self.instructions, program, batch)
    }
}

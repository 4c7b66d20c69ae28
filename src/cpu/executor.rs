//! The threads and instructions that programs run with.

use super::bound::Bound;
use super::instructions::Instructions;
use super::stream;
use super::team::Means;
use super::threads::Threads;
use crate::Result;
use crate::program::Program;

/// The threads and instructions that programs run with.
#[derive(Debug, Clone)]
pub struct Executor {
    means: Means,
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
        Self { means: Means { threads, instructions: Instructions::best(), streams_from: stream::fastest() } }
    }

    /// The same threads with these instructions, or with the best ones if the processor doesn't have them.
    #[must_use]
    pub fn with_instructions(self, instructions: Instructions) -> Self {
        Self { means: Means { instructions, ..self.means } }
    }

    /// The same, with gradients of at least so many numbers written past the caches (by streaming, or non-temporal, stores), or with none.
    /// They are those of the weights of layers of up to 256 filters, by up to eight samples.
    ///
    /// Without this, gradients of 8 Mi numbers (32 MiB) and more are written so on Intel's processors, where that is faster, and none on
    /// others. The bits are the same. Only x86-64 has such stores.
    #[must_use]
    pub fn with_streaming_stores(self, from: Option<u64>) -> Self {
        Self { means: Means { streams_from: from, ..self.means } }
    }

    /// The threads it runs on.
    #[must_use]
    pub fn threads(&self) -> &Threads {
        &self.means.threads
    }

    /// The instructions it uses.
    #[must_use]
    pub fn instructions(&self) -> Instructions {
        self.means.instructions
    }

    /// Checks a program and allocates all that its runs on `batch` samples need.
    ///
    /// # Errors
    /// Those of [`Program::check`]; [`Error::OutOfMemory`](crate::Error::OutOfMemory) where there is no memory for the
    /// scratch, [`Error::Unsupported`](crate::Error::Unsupported) where anything but parameters is stored in 16 bits.
    pub fn bind(&self, program: &Program, batch: u32) -> Result<Bound> {
        Bound::new(self.means.clone(), program, batch)
    }
}

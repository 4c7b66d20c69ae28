//! Where work runs: on the calling thread, in the host's rayon pool, or in a pool of our own.

#[cfg(not(target_family = "wasm"))]
use crate::Error;
use crate::Result;
use std::num::NonZeroUsize;
#[cfg(not(target_family = "wasm"))]
use std::sync::Arc;

/// The threads that run a program. However many they are, the bits of all results are the same.
#[derive(Debug, Clone, Default)]
pub struct Threads(Kind);

#[derive(Debug, Clone, Default)]
enum Kind {
    #[default]
    Caller,
    #[cfg(not(target_family = "wasm"))]
    Current,
    #[cfg(not(target_family = "wasm"))]
    Own(Arc<rayon::ThreadPool>),
}

impl Threads {
    /// The calling thread alone.
    #[must_use]
    pub const fn caller() -> Self {
        Self(Kind::Caller)
    }

    /// The rayon pool in which [`super::Bound::run`] is called: the one that the caller is installed in, else rayon's
    /// global one. If the host hasn't made that, [`super::Executor::bind`] does, with as many threads as
    /// `RAYON_NUM_THREADS` or the processor says. In a browser the calling thread alone.
    #[must_use]
    pub const fn current_pool() -> Self {
        #[cfg(not(target_family = "wasm"))]
        return Self(Kind::Current);
        #[cfg(target_family = "wasm")]
        Self(Kind::Caller)
    }

    /// A pool of so many threads, which clones of this value share; it ends with the last of them. For one thread, and
    /// in a browser, it is the calling thread.
    ///
    /// # Errors
    /// [`Error::Threads`] where the system gives no more threads.
    #[cfg(not(target_family = "wasm"))]
    pub fn own(count: NonZeroUsize) -> Result<Self> {
        if count.get() == 1 {
            return Ok(Self::caller());
        }
        let name = |index| format!("locally-connected {index}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count.get()).thread_name(name).build();
        let pool = pool.map_err(|error| Error::Threads { wanted: count.get(), why: error.to_string() })?;
        Ok(Self(Kind::Own(Arc::new(pool))))
    }

    /// The calling thread alone.
    ///
    /// # Errors
    /// None in a browser.
    #[cfg(target_family = "wasm")]
    pub fn own(_: NonZeroUsize) -> Result<Self> {
        Ok(Self::caller())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.0 {
            Kind::Caller => 1,
            #[cfg(not(target_family = "wasm"))]
            Kind::Current => rayon::current_num_threads(),
            #[cfg(not(target_family = "wasm"))]
            Kind::Own(pool) => pool.current_num_threads(),
        }
    }

    /// Calls `work` in the pool where [`each`] finds these threads.
    pub(super) fn enter(&self, work: impl FnOnce() + Send) {
        match &self.0 {
            Kind::Caller => work(),
            #[cfg(not(target_family = "wasm"))]
            // Entered once for a whole program, so that not each operation waits for a thread of the global pool to
            // wake.
            Kind::Current if rayon::current_thread_index().is_some() => work(),
            #[cfg(not(target_family = "wasm"))]
            Kind::Current => rayon::join(work, || ()).0,
            #[cfg(not(target_family = "wasm"))]
            Kind::Own(pool) => pool.install(work),
        }
    }

    /// Calls `task` with each index below `count`, in any order; on several threads if `spread` is set and the calling
    /// thread is one of them.
    pub(super) fn each(&self, spread: bool, count: usize, task: impl Fn(usize) + Sync + Send) {
        #[cfg(not(target_family = "wasm"))]
        if spread && count > 1 && self.entered() {
            use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
            (0..count).into_par_iter().with_max_len(1).for_each(task);
            return;
        }
        let _ = spread;
        (0..count).for_each(task);
    }

    /// Whether the calling thread is one of these, and they are several.
    #[cfg(not(target_family = "wasm"))]
    fn entered(&self) -> bool {
        match &self.0 {
            Kind::Caller => false,
            Kind::Current => rayon::current_thread_index().is_some(),
            Kind::Own(pool) => pool.current_thread_index().is_some(),
        }
    }
}

/// The calling thread's number in its pool; 0 outside of a pool.
pub(super) fn place() -> usize {
    #[cfg(not(target_family = "wasm"))]
    return rayon::current_thread_index().unwrap_or(0);
    #[cfg(target_family = "wasm")]
    0
}

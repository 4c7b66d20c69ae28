//! Scratch memory that passes share, or that a host gives.

use super::scoped::Making;
use super::tensor::buffer;
use super::{Context, scoped};
use crate::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Scratch memory that several passes share: what lies between operations and within them. Passes bound with one pool
/// use the same buffers, so that all of them together take as much as the largest. Cheap to clone; clones are the same
/// pool.
///
/// This is always right within one queue: recordings run one after the other, and none reads what another left. Only
/// between the [parts](crate::Bound::parts) of one recording there must be no recording of another pass of the pool.
///
/// ```no_run
/// # use locally_connected::{Context, LocallyConnected, Result, ScratchPool};
/// # fn share(first: &mut LocallyConnected, second: &mut LocallyConnected) {
/// let pool = ScratchPool::growing();
/// first.set_scratch(pool.clone()); // what is bound from now on
/// second.set_scratch(pool);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ScratchPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    grows: bool,
    buffers: Mutex<Vec<wgpu::Buffer>>,
}

/// Which of a pool's buffers each piece of a pass takes, the largest first.
enum Found {
    Taken(Vec<wgpu::Buffer>),
    /// Sizes of the pieces for which there is no buffer.
    Missing(Vec<u64>),
}

impl ScratchPool {
    /// A pool that makes what is missing when a pass is bound, in place of buffers that are too small. Passes bound
    /// before keep the old buffers, so bind the largest pass first.
    #[must_use]
    pub fn growing() -> Self {
        Self { shared: Arc::new(Shared { grows: true, buffers: Mutex::default() }) }
    }

    /// A pool of the host's own buffers, each used as a whole (WebGPU refuses a dispatch that reads one range of a
    /// buffer and writes another), of the context's device and with the usage `STORAGE`. It makes no others: a pass
    /// that doesn't fit is refused. [`ProgramPlan::scratch_buffers`](crate::plan::ProgramPlan::scratch_buffers) says
    /// what a pass takes.
    ///
    /// # Errors
    /// [`Error::Usage`]; [`Error::Refused`] for a buffer of another device or one that was destroyed;
    /// [`Error::Aliased`] for one that is given twice; [`Error::DeviceLost`].
    pub async fn of_buffers(context: &Context, buffers: impl IntoIterator<Item = wgpu::Buffer>) -> Result<Self> {
        let buffers: Vec<_> = buffers.into_iter().collect();
        for (given, at) in buffers.iter().zip(0..) {
            let range = super::BufferRange::from(given);
            range.check(WHAT, 1, wgpu::BufferUsages::STORAGE)?;
            if buffers[..at].contains(given) {
                let (written, with) = (WHAT.to_owned(), WHAT.to_owned());
                return Err(Error::Aliased { written, with, overlap: given.size() });
            }
            range.check_taken(context.device(), WHAT).await?;
        }
        Ok(Self { shared: Arc::new(Shared { grows: false, buffers: Mutex::new(buffers) }) })
    }

    /// Bytes of its buffers.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lock().iter().map(wgpu::Buffer::size).sum()
    }

    /// Frees the buffers that it made, at once and for all passes that are bound with it; those of a host live on. What is
    /// recorded with them and not submitted is refused then. In a browser a buffer that is only dropped keeps its memory
    /// until JavaScript collects it.
    pub fn destroy(self) {
        if self.shared.grows {
            self.lock().drain(..).for_each(|buffer| buffer.destroy());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<wgpu::Buffer>> {
        // The list is never left half-changed, so a panic elsewhere while it was locked does no harm.
        self.shared.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of at least the asked bytes for each of the pieces, in their order.
    pub(super) async fn take(&self, context: &Context, pieces: &[u64]) -> Result<Vec<wgpu::Buffer>> {
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        order.sort_by_key(|&piece| std::cmp::Reverse(pieces[piece]));
        let sorted: Vec<u64> = order.iter().map(|&piece| pieces[piece]).collect();
        // Found before anything is awaited, so that nobody waits for the lock meanwhile.
        let found = find(&self.lock(), &sorted);
        let taken = match found {
            Found::Taken(taken) => taken,
            Found::Missing(_) if !self.shared.grows => {
                let given = self.lock().iter().map(wgpu::Buffer::size).collect();
                return Err(Error::Scratch { needed: pieces.to_vec(), given });
            }
            Found::Missing(missing) => self.grow(context, &missing, &sorted).await?,
        };
        let mut placed: Vec<_> = order.into_iter().zip(taken).collect();
        placed.sort_by_key(|(piece, _)| *piece);
        Ok(placed.into_iter().map(|(_, buffer)| buffer).collect())
    }

    /// Makes what is missing and takes all pieces.
    async fn grow(&self, context: &Context, missing: &[u64], sorted: &[u64]) -> Result<Vec<wgpu::Buffer>> {
        let device = context.device();
        let (made, caught) = scoped(device, Making::new("scratch", missing.iter().sum()), || {
            let made = missing.iter().map(|&bytes| buffer(device, "locally-connected shared scratch", bytes));
            made.collect::<Vec<_>>()
        });
        caught.await?;
        let mut buffers = self.lock();
        // The pool keeps as many of the largest buffers as any pass took so far; smaller ones live on in the passes
        // bound to them.
        let most = buffers.len().max(sorted.len());
        buffers.extend(made);
        buffers.sort_by_key(|buffer| std::cmp::Reverse(buffer.size()));
        buffers.truncate(most);
        match find(&buffers, sorted) {
            Found::Taken(taken) => Ok(taken),
            // This can't be: a buffer is replaced by larger ones only.
            Found::Missing(_) => Err(Error::Missing { what: "scratch", why: "the pool has grown for it" }),
        }
    }
}

const WHAT: &str = "scratch memory";

/// For each piece, the largest first, the smallest buffer that holds it and isn't taken by a piece before it.
fn find(buffers: &[wgpu::Buffer], sorted: &[u64]) -> Found {
    let mut free: Vec<&wgpu::Buffer> = buffers.iter().collect();
    free.sort_by_key(|buffer| buffer.size());
    let (mut taken, mut missing) = (Vec::with_capacity(sorted.len()), Vec::new());
    for &bytes in sorted {
        match free.iter().position(|buffer| buffer.size() >= bytes) {
            Some(at) => taken.push(free.remove(at).clone()),
            None => missing.push(bytes),
        }
    }
    if missing.is_empty() { Found::Taken(taken) } else { Found::Missing(missing) }
}

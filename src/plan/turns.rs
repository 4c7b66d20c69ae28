//! In which order dispatches sum a gradient of weights, where a chunk's sums go, and what follows them.

use super::gradient::{Becomes, GradWeights, Turn};
use super::local::Local;
use super::{Chunk, Plan, Resource, Samples, Slice};
use crate::Result;
#[cfg(feature = "models")]
use {super::planner::OwnScratch, super::update::ChunkGradient, crate::kernels::Variant, crate::ops::Change};

impl Local<'_> {
    /// What each dispatch sums, in their order. A gradient that is kept goes through all chunks with some samples
    /// before the next samples. For one that isn't kept, each chunk is summed to its end, so that only one chunk's
    /// gradient is there at a time.
    pub(super) fn turns(&self, o: &GradWeights<'_>, batch: u32) -> Result<Vec<Turn<'_>>> {
        let samples: Vec<Samples> = self.samples(batch)?.collect();
        let last = |samples: &Samples| samples.first + u64::from(samples.count) >= batch.into();
        let turn = |samples: Samples, (chunk, index)| Turn { samples, chunk, index, last: last(&samples) };
        let chunks = || self.chunks.iter().zip(0..);
        Ok(match o.becomes {
            Becomes::Kept(_) => samples.iter().flat_map(|&samples| chunks().map(move |of| turn(samples, of))).collect(),
            #[cfg(feature = "models")]
            Becomes::Update(_) => {
                chunks().flat_map(|of| samples.iter().map(move |&samples| turn(samples, of))).collect()
            }
        })
    }

    /// The update that a chunk's kernel does itself: possible where it has the whole sum and the device has enough
    /// bindings.
    #[cfg(feature = "models")]
    pub(super) fn updating<'o>(
        &self,
        gradient: &Variant,
        o: &GradWeights<'o>,
        turn: &Turn<'_>,
    ) -> Option<(Variant, &'o Change)> {
        let Becomes::Update(change) = o.becomes else { return None };
        let variant = gradient.updating(change.state.len()).filter(|_| turn.is_whole())?;
        self.planner.profile.check_variant(&variant).ok().map(|()| (variant, change))
    }

    /// Where a chunk's sums go; the chunk comes with its number.
    pub(super) fn gradient(
        &self,
        plan: &mut Plan,
        o: &GradWeights<'_>,
        (chunk, index): (&Chunk, u32),
    ) -> Result<Slice> {
        match o.becomes {
            Becomes::Kept(kept) => Ok(Slice::whole(Resource::Chunk(kept.grad_weights, index))),
            #[cfg(feature = "models")]
            Becomes::Update(_) => {
                let what = "the gradient of a chunk of weights";
                let own = OwnScratch { resource: Resource::Between(0), what };
                Ok(self.planner.between(plan, own, chunk.len())?.slice)
            }
        }
    }

    /// Appends what follows a chunk's sums; the chunk comes with its number.
    pub(super) fn finish(&self, plan: &mut Plan, o: &GradWeights<'_>, (chunk, index): (&Chunk, u32)) -> Result<()> {
        match o.becomes {
            #[cfg(feature = "models")]
            Becomes::Update(change) if !chunk.is_empty() => {
                let (gradient, elements) = (self.gradient(plan, o, (chunk, index))?, chunk.len());
                self.planner.update_chunk(plan, change, ChunkGradient { chunk: index, gradient, elements })
            }
            _ => Ok(()),
        }
    }
}

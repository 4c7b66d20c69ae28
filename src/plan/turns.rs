//! In which order dispatches sum a gradient of weights, where a chunk's sums go, and what follows them.

use super::gradient::{Becomes, GradWeights, Turn};
use super::local::Local;
use super::planner::OwnScratch;
use super::update::ChunkGradient;
use super::{Chunk, Plan, Resource, Samples, Slice};
use crate::Result;
use crate::kernels::Variant;
use crate::ops::Change;

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
            Becomes::Kept { .. } => {
                samples.iter().flat_map(|&samples| chunks().map(move |of| turn(samples, of))).collect()
            }
            Becomes::Update(_) => {
                chunks().flat_map(|of| samples.iter().map(move |&samples| turn(samples, of))).collect()
            }
        })
    }

    /// The update that a chunk's kernel does itself: possible where it has the whole sum and the device has enough
    /// bindings.
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
        let Becomes::Kept { grad_weights, .. } = o.becomes else {
            let what = "the gradient of a chunk of weights";
            return Ok(self
                .planner
                .between(plan, OwnScratch { resource: Resource::Between(0), what }, chunk.len())?
                .slice);
        };
        Ok(Slice::whole(Resource::Chunk(grad_weights, index)))
    }

    /// Appends what follows a chunk's sums; the chunk comes with its number.
    pub(super) fn finish(&self, plan: &mut Plan, o: &GradWeights<'_>, (chunk, index): (&Chunk, u32)) -> Result<()> {
        match o.becomes {
            Becomes::Update(change) if !chunk.is_empty() => {
                let (gradient, elements) = (self.gradient(plan, o, (chunk, index))?, chunk.len());
                self.planner.update_chunk(plan, change, ChunkGradient { chunk: index, gradient, elements })
            }
            _ => Ok(()),
        }
    }
}

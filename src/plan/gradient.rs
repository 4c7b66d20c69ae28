//! What becomes of a gradient of weights: it is kept, or weights are updated by it, chunk by chunk.

use super::local::Local;
use super::{Chunk, Plan, Resource, Samples, Slice};
use crate::Result;
use crate::kernels::Variant;
use crate::ops::{BufferId, Change, LocalGradWeights, LocalUpdate};

/// A gradient of weights by its operands.
#[derive(Debug, Clone, Copy)]
pub(super) struct GradWeights<'o> {
    pub(super) input: BufferId,
    pub(super) grad_output: BufferId,
    pub(super) becomes: Becomes<'o>,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Becomes<'o> {
    /// It is written, or added to what is there.
    Kept { grad_weights: BufferId, accumulate: bool },
    /// Weights follow it.
    Update(&'o Change),
}

/// What a dispatch sums: some samples, for the weights of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<'c> {
    pub(super) samples: Samples,
    pub(super) chunk: &'c Chunk,
    pub(super) index: u32,
    /// Whether no samples come after these.
    pub(super) last: bool,
}

impl Turn<'_> {
    /// Whether these are all samples.
    pub(super) fn is_whole(&self) -> bool {
        self.samples.first == 0 && self.last
    }
}

impl<'o> From<&'o LocalGradWeights> for GradWeights<'o> {
    fn from(o: &'o LocalGradWeights) -> Self {
        let becomes = Becomes::Kept { grad_weights: o.grad_weights, accumulate: o.accumulate };
        Self { input: o.input, grad_output: o.grad_output, becomes }
    }
}

impl<'o> From<&'o LocalUpdate> for GradWeights<'o> {
    fn from(o: &'o LocalUpdate) -> Self {
        Self { input: o.input, grad_output: o.grad_output, becomes: Becomes::Update(&o.change) }
    }
}

impl GradWeights<'_> {
    /// Whether it is added to what is there.
    pub(super) fn accumulates(&self) -> bool {
        matches!(self.becomes, Becomes::Kept { accumulate: true, .. })
    }
}

impl Local<'_> {
    /// What dispatches sum, in their order: a kept gradient's samples go through all chunks before the next ones, for another only one chunk's
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

    /// What updates a chunk where its gradient is summed: where the sums are whole and the device has the bindings.
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

    /// Where the sums of a chunk go.
    pub(super) fn gradient(&self, plan: &mut Plan, o: &GradWeights<'_>, chunk: &Chunk, index: u32) -> Result<Slice> {
        let Becomes::Kept { grad_weights, .. } = o.becomes else {
            let what = "the gradient of a chunk of weights";
            return Ok(self.planner.between(plan, Resource::Between(0), chunk.len(), what)?.slice);
        };
        Ok(Slice::whole(Resource::Chunk(grad_weights, index)))
    }

    /// What comes after the sums of a chunk.
    pub(super) fn finish(&self, plan: &mut Plan, o: &GradWeights<'_>, chunk: &Chunk, index: u32) -> Result<()> {
        match o.becomes {
            Becomes::Update(change) if !chunk.is_empty() => {
                let gradient = self.gradient(plan, o, chunk, index)?;
                self.planner.update_chunk(plan, change, index, (gradient, chunk.len()))
            }
            _ => Ok(()),
        }
    }
}

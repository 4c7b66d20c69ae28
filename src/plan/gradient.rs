//! A gradient of weights, and what is done with it: it is kept, or the weights are updated by it.

use super::{Chunk, Samples};
use crate::ops::{BufferId, LocalGradWeights};
#[cfg(feature = "models")]
use crate::ops::{Change, LocalUpdate};

/// A gradient of weights: its operands, and what is done with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct GradWeights<'o> {
    pub(super) input: BufferId,
    pub(super) grad_output: BufferId,
    pub(super) becomes: Becomes<'o>,
}

/// What is done with a gradient.
#[derive(Debug, Clone, Copy)]
pub(super) enum Becomes<'o> {
    /// It is written, or added to what is there.
    Kept(&'o LocalGradWeights),
    /// The weights are updated by it, and it isn't kept.
    #[cfg(feature = "models")]
    Update(&'o Change),
}

/// What a dispatch sums: some samples' part of a chunk's gradient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<'c> {
    pub(super) samples: Samples,
    pub(super) chunk: &'c Chunk,
    pub(super) index: u32,
    /// Whether these are the last samples of the sum.
    pub(super) last: bool,
}

impl Turn<'_> {
    /// Whether these are all samples of the sum.
    pub(super) fn is_whole(&self) -> bool {
        self.samples.first == 0 && self.last
    }
}

impl<'o> From<&'o LocalGradWeights> for GradWeights<'o> {
    fn from(o: &'o LocalGradWeights) -> Self {
        Self { input: o.input, grad_output: o.grad_output, becomes: Becomes::Kept(o) }
    }
}

#[cfg(feature = "models")]
impl<'o> From<&'o LocalUpdate> for GradWeights<'o> {
    fn from(o: &'o LocalUpdate) -> Self {
        Self { input: o.input, grad_output: o.grad_output, becomes: Becomes::Update(&o.change) }
    }
}

impl GradWeights<'_> {
    /// Whether the gradient is added to what is there.
    pub(super) fn accumulates(&self) -> bool {
        matches!(self.becomes, Becomes::Kept(LocalGradWeights { accumulate: true, .. }))
    }
}

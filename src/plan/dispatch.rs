//! What is planned: dispatches on ranges of buffers, as data.

use crate::config::Implementation;
use crate::kernels::{Params, Variant};
use crate::ops::BufferId;
use std::num::NonZeroU64;
use std::sync::Arc;

/// What a binding of a dispatch refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// A buffer of the program.
    Buffer(BufferId),
    /// A chunk of a program's weights, as [`cut`](super::cut) cuts them.
    Chunk(BufferId, u32),
    /// The tap tables of the operation's layer.
    Tables,
    /// The sparse index of the operation's layer.
    SparseIndex,
    /// Constants that belong to the operation, by number: [`Plan::constants`].
    Data(u32),
    /// Scratch of the operation: a block of the dense matrix, or of its gradient.
    DenseMatrix,
    /// Scratch of the operation: output gradients summed over the samples.
    SampleSums,
    /// Scratch of the operation: what one of its steps leaves to the next ones, by number.
    Between(u32),
    /// Scratch of the operation: parts of the sums of a gradient of weights that locations share.
    Parts,
}

/// A range of a buffer, in bytes; the offset is aligned as bindings must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Which buffer.
    pub resource: Resource,
    /// First byte of the range.
    pub offset: u64,
    /// Number of bytes; none means up to the buffer's end.
    pub size: Option<NonZeroU64>,
}

impl Slice {
    pub(crate) fn whole(resource: Resource) -> Self {
        Self { resource, offset: 0, size: None }
    }
}

/// One dispatch: a pipeline, its buffers, its uniform.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The kernel with its constants: a pipeline.
    pub variant: Variant,
    /// Storage bindings 1, 2, … of bind group 0.
    pub bindings: Vec<Slice>,
    /// The numbers in binding 0, the uniform.
    pub params: Params,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
}

/// How a device does an operation: dispatches in order, and the memory that they need besides its operands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Which implementation it is, where the operation has several.
    pub implementation: Option<Implementation>,
    /// In order; each may read what those before it wrote.
    pub dispatches: Vec<Dispatch>,
    /// Scratch buffers of the operation, and their bytes.
    pub scratch: Vec<(Resource, u64)>,
    /// Constants that no layer has, as which weights share a norm.
    pub constants: Vec<Arc<[u32]>>,
}

impl Plan {
    /// Whether a dispatch binds this.
    #[must_use]
    pub fn binds(&self, resource: Resource) -> bool {
        self.dispatches.iter().flat_map(|dispatch| &dispatch.bindings).any(|slice| slice.resource == resource)
    }

    /// Adds constants that belong to the operation, and gives the range that binds them whole.
    pub(crate) fn data(&mut self, words: Arc<[u32]>) -> Slice {
        let known = self.constants.iter().position(|held| Arc::ptr_eq(held, &words));
        let number = known.unwrap_or_else(|| {
            self.constants.push(words);
            self.constants.len() - 1
        });
        Slice::whole(Resource::Data(number as u32))
    }

    /// Bytes of all scratch buffers.
    #[must_use]
    pub(crate) fn scratch_bytes(&self) -> u64 {
        self.scratch.iter().map(|(_, bytes)| bytes).sum()
    }
}

//! What is planned: dispatches on ranges of buffers, as data.

use crate::config::Implementation;
use crate::kernel::{Params, Variant};

/// What a binding of a dispatch refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Input samples, the host's.
    Input,
    /// Output samples, the host's.
    Output,
    /// Values before the activation, the host's.
    PreActivation,
    /// Gradient of the output, the host's.
    GradOutput,
    /// Gradient of the input, the host's.
    GradInput,
    /// A chunk of the weights.
    Kernel(u32),
    /// A chunk of the weights' gradient.
    GradKernel(u32),
    /// The bias.
    Bias,
    /// The bias's gradient.
    GradBias,
    /// The tap tables.
    Tables,
    /// The sparse index.
    SparseIndex,
    /// Scratch: a block of the dense matrix, or of its gradient.
    Dense,
    /// Scratch: gradient of the values before the activation.
    GradPreActivation,
    /// Scratch: output gradients summed over the samples.
    SampleSums,
}

/// A range of a buffer, in bytes; the offset is aligned as bindings must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Which buffer.
    pub role: Role,
    /// First byte.
    pub offset: u64,
    /// Number of bytes; 0 is the whole buffer.
    pub size: u64,
}

impl Slice {
    pub(crate) fn whole(role: Role) -> Self {
        Self { role, offset: 0, size: 0 }
    }
}

/// One dispatch: a pipeline, its buffers, its uniform.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The pipeline.
    pub variant: Variant,
    /// Storage bindings 1, 2, … of group 0.
    pub bindings: Vec<Slice>,
    /// Binding 0.
    pub params: Params,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
}

/// The dispatches of a forward or backward pass, in order, and the memory they need besides the operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How the layer is executed; never [`Implementation::Auto`].
    pub implementation: Implementation,
    /// In order; each may read what those before it wrote.
    pub dispatches: Vec<Dispatch>,
    /// Scratch buffers and their bytes.
    pub scratch: Vec<(Role, u64)>,
}

impl Plan {
    /// Bytes of all scratch buffers.
    #[must_use]
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch.iter().map(|(_, bytes)| bytes).sum()
    }
}

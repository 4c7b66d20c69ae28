//! Plans on a host's device: weights on it, passes bound once to buffers and recorded into the host's compute pass.
//!
//! Nothing here submits, polls or makes a device.

mod context;
mod layer;
mod pipelines;
mod profile;
mod range;
mod readback;
mod scoped;

pub use context::Context;
pub use layer::{Backward, Bound, Forward, KernelBuffers, KernelReadback, LocallyConnected};
pub use layer::{TransposedBackward, TransposedLocallyConnected};
pub(crate) use pipelines::Pipeline;
pub use pipelines::Pipelines;
pub use profile::required_limits;
pub use range::BufferRange;
pub use readback::Readback;
pub(crate) use scoped::scoped;

//! Plans on a host's device: weights on it, passes bound once to buffers and recorded into the host's compute pass.
//!
//! Nothing here submits or makes a device, and nothing but `wait` polls.

mod bound;
mod called;
mod constants;
mod context;
mod layer;
mod model;
mod operands;
mod pipelines;
mod profile;
mod program;
mod range;
mod readback;
mod scoped;
mod scratch;
mod tensor;
mod timing;
mod upload;
#[cfg(not(target_family = "wasm"))]
mod wait;
mod weights;
mod write;

pub use bound::{Bound, Part};
pub use context::{Context, ContextOptions};
pub use layer::{Backward, Forward, LocallyConnected, WeightsReadback};
pub use layer::{TransposedBackward, TransposedLocallyConnected};
pub use model::Loaded;
pub use operands::{Binding, Bindings};
pub(crate) use pipelines::Pipeline;
pub use pipelines::Pipelines;
pub use profile::required_limits;
pub use range::BufferRange;
pub use readback::Readback;
pub(crate) use scoped::{Making, check_there, scoped};
pub use scratch::ScratchPool;
pub use tensor::{Tensor, TensorReadback};
pub use timing::{Timed, Timing};
pub use upload::{Elements, Upload};
#[cfg(not(target_family = "wasm"))]
pub use wait::wait;
pub use weights::Weights;

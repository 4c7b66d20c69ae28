//! The pure planner: from a geometry, a batch and the numbers of a device to a list of dispatches. No device is
//! touched, nothing is allocated, so every decision can be tested with forced limits.

mod cost;
mod dense;
mod dispatch;
mod elementwise;
mod iterations;
mod loop_kernels;
mod loops;
mod planner;
mod profile;
mod sparse;
mod strategy;
mod tiles;
mod tuned;
mod weights;

pub use crate::kernel::{TILE_SHAPES, TileShape};
pub use cost::Estimate;
pub use dispatch::{Dispatch, Plan, Role, Slice};
pub(crate) use planner::Samples;
pub use planner::{Gradients, PlanOptions, Planner};
pub use profile::DeviceProfile;
pub use strategy::{Form, Strategy};
pub use tuned::{Choice, Pass, TuneKey, TuneTable};
pub use weights::{Chunk, chunks};

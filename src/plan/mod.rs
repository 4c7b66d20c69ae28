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

pub use cost::Estimate;
pub use dispatch::{Dispatch, Plan, Role, Slice};
pub(crate) use planner::Samples;
pub use planner::{Gradients, PlanOptions, Planner};
pub use profile::DeviceProfile;
pub use strategy::{Form, Strategy};
pub use tiles::{TILE_SHAPES, TileShape};
pub use tuned::{Choice, Pass, TuneKey, TuneTable};
pub use weights::{Chunk, chunks};

use crate::config::WeightType;
use crate::kernel::Variant;

/// Every variant that some plan on some device can ask for: what the shader tests compile.
#[must_use]
pub fn variants() -> Vec<Variant> {
    let families = [elementwise::variants(), loop_kernels::variants(), dense::variants(), sparse::variants()];
    let all = families.concat();
    let mut halves: Vec<Variant> = all.iter().map(|variant| variant.with_dtype(WeightType::F16)).collect();
    halves.retain(|variant| variant.dtype == WeightType::F16);
    [all, halves].concat()
}

//! The pure planner: from operations, a batch and the numbers of a device to lists of dispatches. No device is
//! touched, nothing is allocated, so every decision can be tested with forced limits.

#![cfg_attr(
    not(feature = "models"),
    allow(dead_code, unused_variables, reason = "some of it is of operations of whole models")
)]

mod choose;
#[cfg(feature = "models")]
mod combine;
#[cfg(feature = "models")]
mod constrain;
mod cost;
mod dense;
mod dispatch;
mod elementwise;
mod gradient;
mod iterations;
mod local;
mod long;
mod loop_kernels;
mod loops;
#[cfg(feature = "models")]
mod loss;
#[cfg(feature = "models")]
mod normalise;
mod planner;
#[cfg(feature = "models")]
mod pool;
mod profile;
mod program;
#[cfg(feature = "models")]
mod random;
#[cfg(feature = "models")]
mod rearrange;
#[cfg(feature = "models")]
mod shared;
mod sparse;
mod strategy;
mod tiles;
#[cfg(feature = "models")]
mod total;
mod tuned;
mod turns;
#[cfg(feature = "models")]
mod update;
mod weights;
mod writer;
mod written;

pub use crate::kernels::{TILE_SHAPES, TileShape};
pub use cost::Estimate;
pub use dispatch::{Dispatch, Plan, Resource, Slice};
use planner::Samples;
pub use planner::{PlanOptions, Planner};
pub use profile::DeviceProfile;
#[cfg(feature = "gpu")]
pub(crate) use profile::MOST_PIECE;
#[cfg(feature = "gpu")]
pub(crate) use program::constant_words;
pub use program::{Memory, ProgramPlan};
pub use strategy::{Form, Strategy};
pub use tuned::{TuneKey, TuneTable, TunedChoice, TunedOperation};
pub use weights::{Chunk, cut};
pub use written::{
    WrittenBinding, WrittenBuffer, WrittenDispatch, WrittenPart, WrittenPlan, WrittenShader, WrittenType, WrittenUsage,
};

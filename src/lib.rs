#![doc = include_str!("../README.md")]

pub mod config;
mod context;
mod error;
pub mod geometry;
pub mod headless;
#[cfg(feature = "keras")]
pub mod keras;
pub mod kernel;
pub mod layer;
pub mod plan;
mod readback;
pub mod reference;
mod tune;

pub use config::{Activation, Bias, Config, DataFormat, Implementation, Padding, Saved, WeightType};
pub use context::Context;
pub use error::{Error, Result};
pub use geometry::{Geometry, KerasLayout, Pattern};
pub use layer::{Backward, Bound, Forward, KernelBuffers, KernelReadback, LocallyConnected};
pub use layer::{TransposedBackward, TransposedLocallyConnected};
pub use plan::{DeviceProfile, Form, PlanOptions, required_limits};
pub use readback::Readback;
pub use tune::{Choice, Measurement, Pass, TuneTable, tune};
pub use wgpu;

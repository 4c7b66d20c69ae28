#![doc = include_str!("../README.md")]

pub mod config;
mod error;
pub mod geometry;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "headless")]
pub mod headless;
pub mod kernel;
pub mod model;
#[cfg(feature = "headless")]
pub mod network;
pub mod ops;
pub mod plan;
pub mod program;
pub mod reference;
#[cfg(feature = "gpu")]
mod tune;

pub use config::{Activation, Bias, Config, DataFormat, Implementation, Padding, Saved, WeightType};
pub use error::{Error, Result};
pub use geometry::{Geometry, KerasLayout, Pattern};
#[cfg(feature = "gpu")]
pub use gpu::{
    Backward, Bound, BufferRange, Context, Forward, KernelBuffers, KernelReadback, LocallyConnected, Readback,
    TransposedBackward, TransposedLocallyConnected, required_limits,
};
pub use plan::{Choice, DeviceProfile, Form, Pass, PlanOptions, TuneKey, TuneTable};
#[cfg(feature = "gpu")]
pub use tune::{Measurement, tune};
#[cfg(feature = "gpu")]
pub use wgpu;

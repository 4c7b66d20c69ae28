// Its examples use both crates, so the other one tests them.
#![cfg_attr(not(doctest), doc = include_str!("../README.md"))]
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod config;
#[cfg(feature = "cpu")]
#[expect(
    unsafe_code,
    reason = "threads write parts of one output that are apart; instructions of some processors; bounds that are checked once a run"
)]
pub mod cpu;
mod error;
pub mod geometry;
#[cfg(feature = "gpu")]
pub mod gpu;
mod hash;
#[cfg(feature = "headless")]
pub mod headless;
pub mod kernels;
pub mod model;
pub mod ops;
pub mod plan;
pub mod program;
#[cfg(feature = "models")]
pub mod reference;
mod room;
#[cfg(feature = "models")]
pub mod train;
#[cfg(feature = "gpu")]
mod tune;

pub use config::{
    Activation, Axes, Bias, Config, Constraint, DataFormat, Distribution, FanMode, Implementation, Initializer,
    OrthogonalMode, Padding, PerAxis, Regularizer, Saved, WeightType,
};
pub use error::{Error, Result};
pub use geometry::{Geometry, KerasLayout, Pattern, SharedLayout, Sharing};
#[cfg(all(feature = "gpu", not(target_family = "wasm")))]
pub use gpu::wait;
#[cfg(feature = "gpu")]
pub use gpu::{
    Backward, Binding, Bindings, Bound, BufferRange, Context, ContextOptions, Elements, Forward, Loaded,
    LocallyConnected, Part, Readback, ScratchPool, Tensor, Timed, Timing, TransposedBackward,
    TransposedLocallyConnected, Upload, Weights, WeightsReadback, required_limits,
};
pub use model::Gradients;
pub use plan::{DeviceProfile, Form, PlanOptions, TuneKey, TuneTable, TunedChoice, TunedOperation};
#[cfg(feature = "gpu")]
pub use tune::{Measurement, Roof, TuneEnd, TuneOptions, Tuned, tune};
#[cfg(feature = "gpu")]
pub use wgpu;

/// Tests the page's example.
#[cfg(doctest)]
#[doc = include_str!("../docs/keras.md")]
struct KerasPage;

/// Tests the page's example.
#[cfg(all(doctest, feature = "headless", feature = "cpu"))]
#[doc = include_str!("../docs/training.md")]
struct TrainingPage;

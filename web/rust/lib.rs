//! What the npm package's TypeScript calls: layers and their layouts, plans for a device's limits, the CPU executor and the
//! Keras reader. `cargo xtask web` builds it four times, so that a page fetches only what it needs:
//!
//! | feature | module | holds |
//! |---|---|---|
//! | `core` | `core.wasm` | layers alone, their layouts, planner and WGSL |
//! | `train` | `train.wasm` | that, models made of layers, and their training, with the planner of these |
//! | `cpu` | `cpu.wasm` | the CPU executor, for pages without WebGPU |
//! | `keras` | `keras.wasm` | Keras's files, the training of their models, and the planner of these |
//!
//! What is computed is a [`Program`] (`program.rs`): a module that makes programs plans them, too, and knows no executor; an executor, which
//! knows no layers, is given a program's bytes. Arrays pass as typed arrays.
//! Whatever fails throws a string (`error.rs`) that the TypeScript turns into a `LocallyConnectedError`.
//!
//! Nothing in `core` reads or writes JSON but the plan's few numbers: a reader of any JSON would be a third of the module.

#![forbid(unsafe_code)]

#[cfg(feature = "core")]
mod config;
#[cfg(feature = "cpu")]
mod cpu;
mod error;
#[cfg(feature = "training")]
mod goals;
#[cfg(feature = "keras")]
mod keras;
#[cfg(feature = "core")]
mod layer;
#[cfg(feature = "train")]
mod layers;
#[cfg(feature = "training")]
mod named;
#[cfg(any(feature = "core", feature = "keras"))]
mod plan;
mod program;
#[cfg(feature = "train")]
mod rules;
#[cfg(feature = "train")]
mod sequential;
#[cfg(all(test, feature = "train"))]
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
mod tests;
#[cfg(feature = "training")]
mod training;

#[cfg(feature = "core")]
pub use config::LayerConfig;
#[cfg(feature = "cpu")]
pub use cpu::{CpuBound, CpuWeights, samples_within};
#[cfg(feature = "training")]
pub use goals::Compile;
#[cfg(feature = "keras")]
pub use keras::KerasModel;
#[cfg(feature = "core")]
pub use layer::LayerModel;
#[cfg(feature = "training")]
pub use named::Named;
#[cfg(any(feature = "core", feature = "keras"))]
pub use plan::{Device, Plan};
#[cfg(any(feature = "core", feature = "keras"))]
pub use program::Program;
#[cfg(feature = "train")]
pub use sequential::SequentialModel;
#[cfg(feature = "training")]
pub use training::{FitSettings, Trainer, Training, TrainingData, TrainingHost};

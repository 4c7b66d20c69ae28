//! What the npm package's TypeScript calls: layers and their layouts, plans for a device's limits, the CPU executor and the
//! Keras reader. `cargo xtask web` builds it three times, so that a page fetches only what it needs:
//!
//! | feature | module | holds |
//! |---|---|---|
//! | `core` | `core.wasm` | layers, models made of them, layouts, training, planner and WGSL |
//! | `cpu` | `cpu.wasm` | the CPU executor, for pages without WebGPU |
//! | `keras` | `keras.wasm` | Keras's files, training |
//!
//! What is computed passes from one module to another as the bytes of a [`Program`](locally_connected::program::Program)
//! (`program.rs`): a module that makes programs knows no executor, and an executor no layers. Arrays pass as typed arrays.
//! Whatever fails throws a string (`error.rs`) that the TypeScript turns into a `LocallyConnectedError`.
//!
//! Nothing in `core` reads or writes JSON but the plan's few numbers: a reader of any JSON would be a third of the module.

#[cfg(feature = "core")]
mod config;
#[cfg(feature = "cpu")]
mod cpu;
mod error;
#[cfg(feature = "train")]
mod goals;
#[cfg(feature = "keras")]
mod keras;
#[cfg(any(feature = "core", feature = "train"))]
mod named;
#[cfg(feature = "core")]
mod plan;
mod program;
#[cfg(feature = "core")]
mod rules;
#[cfg(feature = "core")]
mod sequential;
#[cfg(all(test, feature = "core"))]
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
mod tests;
#[cfg(feature = "train")]
mod train;

#[cfg(feature = "core")]
pub use config::LayerConfig;
#[cfg(feature = "cpu")]
pub use cpu::{CpuBound, CpuWeights, samples_within};
#[cfg(feature = "train")]
pub use goals::Compile;
#[cfg(feature = "keras")]
pub use keras::KerasModel;
#[cfg(any(feature = "core", feature = "train"))]
pub use named::Named;
#[cfg(feature = "core")]
pub use plan::{Device, Plan};
#[cfg(feature = "core")]
pub use sequential::SequentialModel;
#[cfg(feature = "train")]
pub use train::{FitSettings, Trainer, Training, TrainingData, TrainingHost};

//! What the npm package's TypeScript calls: layers and their layouts, plans for a device's limits, the CPU executor and the
//! Keras reader. `cargo xtask web` builds it five times, so that a page fetches only what it needs:
//!
//! | feature | module | holds |
//! |---|---|---|
//! | `core` | `core.wasm` | layers alone, their layouts, planner and WGSL |
//! | `train` | `train.wasm` | that, models made of layers, and their training, with the planner of these |
//! | `cpu` | `cpu.wasm` | the CPU executor, for pages without WebGPU |
//! | `keras` | `keras.wasm` | the reader of Keras's files; their models are run by `train.wasm`, which is given their graphs |
//! | `save` | `save.wasm` | the bytes of files, whose parts `keras.wasm` gives |
//!
//! What is computed is a [`Program`] (`program.rs`): a module that makes programs plans them, too, and knows no executor; an executor, which
//! knows no layers, is given a program's bytes. Arrays pass as typed arrays.
//! Whatever fails throws a string (`error.rs`) that the TypeScript turns into a `LocallyConnectedError`.
//!
//! Nothing in `core` reads or writes JSON but the plan's few numbers: a reader of any JSON would be a third of the module.

#![forbid(unsafe_code)]

/// A third of the standard library's in size, which would be 2 kB of each module, gzipped.
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

#[cfg(feature = "core")]
mod config;
#[cfg(feature = "cpu")]
mod cpu;
mod error;
#[cfg(feature = "train")]
mod goals;
#[cfg(feature = "train")]
mod graph;
#[cfg(feature = "keras")]
mod keras;
#[cfg(feature = "core")]
mod layer;
#[cfg(feature = "train")]
mod layers;
#[cfg(feature = "train")]
mod named;
#[cfg(feature = "core")]
mod plan;
#[cfg(any(feature = "core", feature = "cpu"))]
mod program;
#[cfg(feature = "train")]
mod rules;
#[cfg(feature = "save")]
mod save;
#[cfg(feature = "train")]
mod sequential;
#[cfg(all(test, feature = "train"))]
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
mod tests;
#[cfg(feature = "train")]
mod training;

#[cfg(feature = "core")]
pub use config::LayerConfig;
#[cfg(feature = "cpu")]
pub use cpu::{CpuBound, CpuWeights, has_vectors, samples_within};
#[cfg(feature = "train")]
pub use goals::Compile;
#[cfg(feature = "train")]
pub use graph::GraphModel;
#[cfg(feature = "keras")]
pub use keras::KerasModel;
#[cfg(feature = "core")]
pub use layer::LayerModel;
#[cfg(feature = "train")]
pub use named::Named;
#[cfg(feature = "core")]
pub use plan::{Device, Plan};
#[cfg(feature = "core")]
pub use program::Program;
#[cfg(feature = "save")]
pub use save::file_of;
#[cfg(feature = "train")]
pub use sequential::SequentialModel;
#[cfg(feature = "train")]
pub use training::{FitSettings, Trainer, Training, TrainingData, TrainingHost};

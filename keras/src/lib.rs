//! Keras's model files to descriptions and back, without Keras, TensorFlow or a device.
//!
//! [`read`] makes a [`locally_connected::model::Model`] of a file: layers, parameters and shapes. Any executor runs
//! such a model, here a GPU of one's own:
//!
//! ```no_run
//! use locally_connected::headless::Gpu;
//! use locally_connected_keras::{Result, npy};
//!
//! async fn predict() -> Result<()> {
//!     let model = locally_connected_keras::read("digits.h5")?;
//!     let images = npy::read_npy("images.npy")?;
//!     assert_eq!(images.shape[1..], *model.input_shape());
//!
//!     let gpu = Gpu::new().await?;
//!     let loaded = model.upload(gpu.context()).await?;
//!     let predictions = gpu.run(&loaded, &images.values).await?;
//!
//!     let shape = [&images.shape[..1], model.output_shape()].concat();
//!     npy::write_npy("predictions.npy", &shape, &predictions)
//! }
//! ```
//!
//! # What a file holds
//!
//! A [`ModelFile`] is all of a file: every layer, even if it doesn't run here, with Keras's own dictionaries.
//! [`ModelFile::model`] makes the model that runs, of all layers or of one locally connected layer alone.
//! [`ModelFile::gradients`] turns that model's gradients into arrays in the file's own layouts, under Keras's names.
//!
//! | format | read | written | weights |
//! |---|---|---|---|
//! | `.h5`, `.hdf5` | whole models; weights alone with [`ReadOptions::architecture`] | whole models, with the optimizer | `model_weights/<layer>/…` |
//! | `.weights.h5` | weights alone with [`ReadOptions::architecture`] | no | by class, in order |
//! | `.keras` | whole models | whole models, with the optimizer | by class, in order |
//! | `.safetensors` | our own | yes, with all of [`Config`](locally_connected::Config) | `<layer>/kernel`, `<layer>/bias`, … |
//! | `.npz` | arrays only ([`npy::read_npz`]) | yes | `<layer>/kernel`, `<layer>/bias`, … |
//!
//! Sequential and functional models of Keras 1, 2 and 3 are read, also with models inside models, and written as Keras
//! 2.15's.
//!
//! Locally connected layers come with their weights, in the layout in which the file stores them ([`Local::layout`])
//! until another one is asked for. For other layers, [`LayerKind`] says what they are, and [`Computed::weights`] are
//! their weights. Layers inside models and wrappers are listed, too ([`ModelFile::all_layers`]).
//!
//! ```no_run
//! use locally_connected::KerasLayout;
//! use locally_connected_keras::ModelFile;
//! # fn main() -> locally_connected_keras::Result<()> {
//! let file = ModelFile::read("digits.h5")?;
//! for (layer, local) in file.locals() {
//!     println!("{}: {:?} weights", layer.name, local.kernel_shape());
//! }
//! file.with_implementation(KerasLayout::Implementation3)?.write("digits.keras")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! Whatever bytes a file holds, reading it gives a [`ModelFile`] or an [`enum@Error`]: never a panic, and never more
//! memory than the file's size warrants. [`Error::Io`] is the system's. [`Error::File`] says by a [`Problem`] what is
//! wrong with the contents. A layer that can't be run, because of its class, an argument or its weights, is no error of
//! the file: it is a [`LayerKind::Unsupported`] that says why, and only [`ModelFile::model`] fails if it would have to
//! run ([`Error::UnsupportedLayers`] lists all such layers). What is wrong with a layer's numbers is [`Error::Core`]. A
//! file is written whole or not at all.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

/// The examples on the library's page; one of them uses both crates, so they are compiled here.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct LibraryPage;

mod architecture;
mod architectures;
mod archive;
mod build;
pub mod compiled;
pub mod config;
mod contents;
mod error;
mod files;
mod fit;
mod graph;
mod hdf5;
mod hdf5_types;
mod json;
mod keras1;
mod layer;
mod layers;
mod local;
mod metadata;
mod metered;
mod model_file;
mod named;
mod names;
pub mod npy;
mod numbers;
mod object_headers;
mod parts;
mod read;
mod reading;
mod shapes;
#[cfg(test)]
mod tests;
mod tree;
mod weight;
mod weights;
mod wiring;
mod write;

pub use contents::Watch;
pub use error::{Error, Problem, Result, UnsupportedLayer};
pub use files::write_file;
pub use json::{from_json, to_json};
pub use local::Local;
pub use model_file::{Beside, Computed, FileFormat, FileLayer, LayerKind, ModelFile};
pub use parts::FileParts;
pub use read::{Backend, ReadOptions, read};
pub use weight::Weight;

//! Keras 2 model files, read and written without Keras (feature `keras`).
//!
//! A [`Model`] is a chain of layers from a whole model that Keras saved (`.h5`, `.hdf5`, `.keras`) or from our own
//! `.safetensors`. Locally connected layers come with their weights; what else runs is [`Kind`]. A model with other
//! layers is read too, and one that holds models or wrappers, so that the locally connected layers, wherever they are, can
//! be taken out one by one; [`Model::check_runnable`] says what stands in the way of running it as a whole. Nothing here knows a device: what runs a model is
//! `network::Network`, with feature `headless`.
//!
//! | format | read | written | weights |
//! |---|---|---|---|
//! | `.h5`, `.hdf5` | whole models | whole models, without optimizer | `model_weights/<layer>/…` |
//! | `.keras` | whole models of Keras 2.12 to 2.15 | whole models, without optimizer | by class, in order |
//! | `.safetensors` | our own | yes, with all of [`Config`](crate::Config) | `<layer>/kernel`, `<layer>/bias` |
//! | `.npz` | arrays only ([`npy::read_npz`]) | yes | `<layer>/kernel`, `<layer>/bias` |
//!
//! A layer that can't be run, because of its class, an argument or its weights, is [`Kind::Unsupported`] and says why.
//!
//! Kernels stay in the layout that the file stores ([`Local::layout`]) until one asks otherwise. Whatever a file holds,
//! reading it gives a model or an error, and a file is written whole or not at all.
//!
//! ```no_run
//! use locally_connected::geometry::KerasLayout;
//! use locally_connected::keras::Model;
//! # fn main() -> locally_connected::keras::Result<()> {
//! let model = Model::read("digits.h5".as_ref())?;
//! model.check_runnable()?;
//! for (layer, local) in model.locals() {
//!     println!("{}: {:?} weights", layer.name, local.kernel_shape());
//! }
//! model.with_implementation(KerasLayout::Implementation3)?.write("digits.keras".as_ref())?;
//! # Ok(())
//! # }
//! ```

mod architecture;
mod archive;
mod build;
mod chain;
mod error;
mod files;
mod fit;
mod hdf5;
mod json;
mod layer;
mod local;
mod metadata;
mod model;
pub mod npy;
mod read;
mod shapes;
#[cfg(test)]
mod tests;
mod weights;
mod write;

pub use error::{Error, NotAChain, Problem, Result, UnsupportedLayer};
pub use files::write_file;
pub use local::Local;
pub use model::{FileFormat, Kind, Layer, Model};

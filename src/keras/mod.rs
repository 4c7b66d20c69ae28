//! Keras 2 model files, read and written without Keras (feature `keras`).
//!
//! A [`Model`] is a chain of layers from a whole model that Keras saved (`.h5`, `.hdf5`, `.keras`) or from our own
//! `.safetensors`. Locally connected layers come with their weights; what else runs is [`Kind`]. A model with other
//! layers is read too, so that its locally connected layers can be taken out one by one; [`Model::check_runnable`]
//! says what stands in the way of running it as a whole.
//!
//! | format | read | written | weights |
//! |---|---|---|---|
//! | `.h5`, `.hdf5` | whole models | whole models, without optimizer | `model_weights/<layer>/…` |
//! | `.keras` | whole models of Keras 2.12 to 2.15 | whole models, without optimizer | by class, in order |
//! | `.safetensors` | our own | yes, with all of [`Config`](crate::Config) | `<layer>/kernel`, `<layer>/bias` |
//! | `.npz` | arrays only ([`npy::read_npz`]) | yes | `<layer>/kernel`, `<layer>/bias` |
//!
//! Kernels stay in the layout that the file stores ([`Local::layout`]) until one asks otherwise. Whatever a file holds,
//! reading it gives a model or an error, and a file is written whole or not at all.
//!
//! ```no_run
//! use locally_connected::geometry::KerasLayout;
//! use locally_connected::keras::Model;
//! # fn main() -> locally_connected::Result<()> {
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
mod files;
mod hdf5;
mod json;
mod keras1;
mod layer;
mod local;
mod network;
pub mod npy;
mod read;
mod shapes;
#[cfg(test)]
mod tests;
mod weights;
mod write;

pub use files::write_file;
pub use local::{Local, config_from_keras};
pub use network::{LayerGradients, Network, NetworkGradients, NetworkOptions};

use crate::config::{Activation, DataFormat};
use crate::geometry::KerasLayout;
use crate::{Error, Result};
use serde_json::Value;
use std::path::Path;

/// A model from a file, or to be written to one.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Keras's name of the model.
    pub name: String,
    /// Shape of one input sample; empty where it isn't known.
    pub input_shape: Vec<usize>,
    /// The layers, in the order of execution if the model is a chain.
    pub layers: Vec<Layer>,
    /// Why the layers aren't a chain with one input and one output, where they aren't.
    not_a_chain: Option<String>,
    frame: architecture::Frame,
    keras_version: String,
}

/// One layer of a [`Model`].
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Keras's name of the layer, unique in the model.
    pub name: String,
    /// Keras's class, say `LocallyConnected2D`.
    pub class_name: String,
    /// Keras's `get_config` dictionary, with the names of Keras 1 changed to those of Keras 2.
    pub config: Value,
    /// Shape of one input sample; empty where it isn't known.
    pub input_shape: Vec<usize>,
    /// Shape of one output sample; empty where it isn't known.
    pub output_shape: Vec<usize>,
    /// What it does.
    pub kind: Kind,
    /// The layer's dictionary without `config`.
    rest: json::Object,
}

/// What a layer does at inference.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// A locally connected layer.
    LocallyConnected(Box<Local>),
    /// An activation by itself. Softmax is over the last axis of the shape.
    Activation(Activation),
    /// All axes become one.
    Flatten {
        /// In `channels_first` the first axis (besides the batch) is moved last before, as Keras does.
        data_format: DataFormat,
    },
    /// Another shape for the same elements in the same order.
    Reshape(Vec<usize>),
    /// Nothing: an input, dropout, noise or a regulariser.
    Identity,
    /// Something that can't be run here.
    Unsupported {
        /// Why not, where it isn't the class alone.
        reason: Option<String>,
    },
}

/// The formats of model files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileFormat {
    /// Keras's whole model in HDF5: `.h5`, `.hdf5`.
    Hdf5,
    /// Keras's native format: `.keras`.
    Keras,
    /// Tensors, with the model's JSON in the metadata: `.safetensors`.
    Safetensors,
    /// NumPy arrays alone: `.npz`. Only written.
    Npz,
}

impl FileFormat {
    /// The format that the file name's extension stands for.
    ///
    /// # Errors
    /// [`Error::File`] for any other extension.
    pub fn from_path(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        Ok(match extension.as_deref() {
            Some("h5" | "hdf5") => Self::Hdf5,
            Some("keras") => Self::Keras,
            Some("safetensors") => Self::Safetensors,
            Some("npz") => Self::Npz,
            _ => {
                let message = "unknown format: the name must end in .h5, .hdf5, .keras, .safetensors or .npz".into();
                return Err(Error::File { path: path.display().to_string(), message });
            }
        })
    }
}

impl Model {
    /// Reads a whole model. Its format is told by its first bytes, as Keras has saved HDF5 under `.keras`, and else
    /// by its extension.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::File`] for whatever is wrong with the contents.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = files::read_file(path)?;
        let format = read::sniff(&bytes).map_or_else(|| FileFormat::from_path(path), Ok)?;
        read::model(&path.display().to_string(), bytes, format)
    }

    /// Reads a whole model from memory; `name` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn from_bytes(name: &str, bytes: &[u8], format: FileFormat) -> Result<Self> {
        read::model(name, bytes.to_vec(), read::sniff(bytes).unwrap_or(format))
    }

    /// A new model: a chain of the given layers, each with its name.
    ///
    /// ```
    /// # fn main() -> locally_connected::Result<()> {
    /// use locally_connected::geometry::{Geometry, KerasLayout};
    /// use locally_connected::keras::{FileFormat, Kind, Local, Model};
    /// use locally_connected::{Activation, Config};
    /// let geometry = Geometry::new(&Config::new(4, [3]).activation(Activation::RELU), &[8, 5])?;
    /// let (kernel, bias) = (vec![0.5; 6 * 15 * 4], Some(vec![0.0; 6 * 4]));
    /// let local = Local { geometry, layout: KerasLayout::Implementation1, kernel, bias, trainable: true };
    /// let layers = vec![
    ///     ("local".into(), Kind::LocallyConnected(Box::new(local))),
    ///     ("softmax".into(), Kind::Activation(Activation::Softmax)),
    /// ];
    /// let model = Model::sequential("example", &[8, 5], layers)?;
    /// assert_eq!(model.output_shape(), [6, 4]);
    /// let bytes = model.to_bytes(FileFormat::Hdf5)?; // Keras opens it.
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] where a layer doesn't take what the one before gives, those of [`Local::check`], and
    /// [`Error::Unsupported`] for [`Kind::Unsupported`].
    pub fn sequential(name: &str, input_shape: &[usize], layers: Vec<(String, Kind)>) -> Result<Self> {
        write::sequential(name, input_shape, layers)
    }

    /// Checks that the model can be run as a whole: a chain of layers that are all known.
    ///
    /// # Errors
    /// [`Error::UnsupportedLayers`] with every layer that stands in the way, by name and class;
    /// [`Error::Unsupported`] for a model that isn't a chain; [`Error::InputAxis`] where the size of the input is left
    /// open.
    pub fn check_runnable(&self) -> Result<()> {
        let layers: Vec<_> = self
            .layers
            .iter()
            .filter_map(|layer| match &layer.kind {
                Kind::Unsupported { reason: Some(reason) } => {
                    Some(format!("{} ({}: {reason})", layer.name, layer.class_name))
                }
                Kind::Unsupported { reason: None } => Some(format!("{} ({})", layer.name, layer.class_name)),
                _ => None,
            })
            .collect();
        if !layers.is_empty() {
            return Err(Error::UnsupportedLayers { layers: layers.join(", ") });
        }
        match &self.not_a_chain {
            None => match self.input_shape.iter().position(|&size| size == 0) {
                None => Ok(()),
                Some(axis) => Err(Error::InputAxis { axis, shape: self.input_shape.clone() }),
            },
            Some(why) => Err(Error::Unsupported {
                what: format!("a model with {why}"),
                with: "here: only a chain of layers with one input and one output is".into(),
            }),
        }
    }

    /// The layer of that name.
    #[must_use]
    pub fn layer(&self, name: &str) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.name == name)
    }

    /// The locally connected layers, in order.
    pub fn locals(&self) -> impl Iterator<Item = (&Layer, &Local)> {
        self.layers.iter().filter_map(|layer| layer.local().map(|local| (layer, local)))
    }

    /// The locally connected layers with their names, to be changed.
    pub fn locals_mut(&mut self) -> impl Iterator<Item = (&str, &mut Local)> {
        self.layers.iter_mut().filter_map(|layer| match &mut layer.kind {
            Kind::LocallyConnected(local) => Some((layer.name.as_str(), &mut **local)),
            _ => None,
        })
    }

    /// Shape of one output sample of the last layer; empty where it isn't known.
    #[must_use]
    pub fn output_shape(&self) -> &[usize] {
        self.layers.last().map_or(&[], |layer| &layer.output_shape)
    }

    /// The version of Keras that wrote the file.
    #[must_use]
    pub fn keras_version(&self) -> &str {
        &self.keras_version
    }

    /// The same model with the kernels of all locally connected layers in another layout, and `implementation` in
    /// their configs to match.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with the layer's name where it has no weights of that layout, and [`Error::OverBudget`].
    pub fn with_implementation(mut self, layout: KerasLayout) -> Result<Self> {
        for layer in &mut self.layers {
            let Kind::LocallyConnected(local) = &mut layer.kind else { continue };
            local.set_layout(layout).map_err(|error| {
                let what = format!("implementation {} of layer \"{}\"", layout.number(), layer.name);
                match error {
                    Error::OverBudget { needed, budget, .. } => Error::OverBudget { what, needed, budget },
                    error => Error::Unsupported { what, with: format!("({error})") },
                }
            })?;
            if let Value::Object(config) = &mut layer.config {
                config.insert("implementation".into(), layout.number().into());
            }
        }
        Ok(self)
    }

    /// The bytes of a file of that format. Compiled state (loss, metrics, optimizer) is dropped.
    ///
    /// # Errors
    /// Those of [`Model::check_runnable`], and [`Error::Unsupported`] where a layer has what Keras's formats can't
    /// express.
    pub fn to_bytes(&self, format: FileFormat) -> Result<Vec<u8>> {
        write::model(self, format)
    }

    /// Writes the model in the format of the path's extension, whole or not at all.
    ///
    /// # Errors
    /// Those of [`Model::to_bytes`] and [`FileFormat::from_path`], and [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes(FileFormat::from_path(path)?)?;
        write_file(path, &bytes)
    }
}

impl Layer {
    /// The layer's weights and geometry, if it is locally connected.
    #[must_use]
    pub fn local(&self) -> Option<&Local> {
        match &self.kind {
            Kind::LocallyConnected(local) => Some(local),
            _ => None,
        }
    }
}

//! What a model's file holds: its layers, their shapes and weights.

use crate::compiled::Compiled;
use crate::error::{Error, Problem, Result, UnsupportedLayer};
use crate::json::Object;
use crate::local::Local;
use crate::npy::NpyArray;
use crate::weight::Weight;
use crate::wiring::{Tensor, Wiring};
use locally_connected::model::{Kind, NoiseLayer};
use locally_connected::{Activation, DataFormat, KerasLayout};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// All that a model's file holds, or is to hold. [`ModelFile::model`] is what can be run of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// Keras's name of the model.
    pub name: String,
    /// Shape of one sample of the input, or of the first input; empty if it isn't known.
    pub input_shape: Vec<usize>,
    /// The layers, each once, in the order of their first calls.
    pub layers: Vec<FileLayer>,
    /// The calls of the layers.
    pub(crate) wiring: Wiring,
    pub(crate) frame: Frame,
    pub(crate) keras_version: String,
    /// How the model was compiled, if it was.
    pub compiled: Option<Compiled>,
    /// What a host keeps with the model.
    pub beside: Beside,
}

/// What a host keeps with a model, such as a training's own state. Our `.safetensors` holds it, other formats leave it
/// out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Beside {
    /// The host's JSON; null if there is none.
    pub json: Value,
    /// Arrays, by the host's names for them.
    pub arrays: BTreeMap<String, NpyArray>,
}

/// The parts of the model's JSON that aren't its layers, kept for writing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Frame {
    /// The outermost dictionary without `config`.
    pub outer: Object,
    /// `config` without `layers`.
    pub config: Object,
}

/// One layer of a [`ModelFile`].
#[derive(Debug, Clone, PartialEq)]
pub struct FileLayer {
    /// Keras's name of the layer, unique in the model. A layer inside another has that one's name and a slash in front.
    pub name: String,
    /// Keras's class, for example `LocallyConnected2D`.
    pub class_name: String,
    /// Keras's `get_config` dictionary as [`from_json`](crate::from_json) reads it, with Keras 1's names changed to
    /// Keras 2's, without the layers inside the layer: they are `inner`. When the model is written, `kind` takes precedence over it.
    pub config: Value,
    /// Shape of one sample of the first input of its first call; empty if it isn't known.
    pub input_shape: Vec<usize>,
    /// Shape of one sample of that call's output; empty if it isn't known.
    pub output_shape: Vec<usize>,
    /// What it does at inference.
    pub kind: LayerKind,
    /// The layers inside it, if it is a model or a wrapper.
    pub inner: Vec<FileLayer>,
    /// The calls of the layers inside it, if it is a model.
    pub(crate) wiring: Wiring,
    /// The layer's dictionary without `config`.
    pub(crate) rest: Object,
}

/// What a layer does at inference.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LayerKind {
    /// A locally connected layer.
    LocallyConnected(Box<Local>),
    /// An activation by itself. Softmax is over the last axis of the shape.
    Activation(Activation),
    /// All elements along one axis.
    Flatten {
        /// In `channels_first` the channels are moved last first, as Keras does.
        data_format: DataFormat,
    },
    /// The same elements in the same order in another shape.
    Reshape(Vec<usize>),
    /// Nothing: an input or a regulariser.
    Identity,
    /// Dropout or noise: nothing at inference.
    Noise(NoiseLayer),
    /// Any other layer that runs.
    Computed(Box<Computed>),
    /// A model inside the model: [`FileLayer::inner`].
    Model,
    /// A layer that can't be run here.
    Unsupported {
        /// Why not, if it isn't just the class.
        reason: Option<String>,
    },
}

/// A layer that runs and isn't one of the others in [`LayerKind`], with its weights as the file stores them.
#[derive(Debug, Clone, PartialEq)]
pub struct Computed {
    /// What it is in the library.
    pub kind: Kind,
    /// Its weights, in Keras's order.
    pub weights: Vec<Weight>,
    /// Whether the layer, and all that it is inside of, has Keras's `trainable` set.
    pub trainable: bool,
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
    /// The format of a file name's extension.
    ///
    /// # Errors
    /// [`Error::File`] for any other extension.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        Ok(match extension.as_deref() {
            Some("h5" | "hdf5") => Self::Hdf5,
            Some("keras") => Self::Keras,
            Some("safetensors") => Self::Safetensors,
            Some("npz") => Self::Npz,
            _ => return Err(Problem::UnknownExtension.of_file(path.display().to_string())),
        })
    }
}

impl ModelFile {
    /// Checks that the model can be run as a whole.
    ///
    /// # Errors
    /// [`Error::UnsupportedLayers`] with every layer that stands in the way;
    /// [`locally_connected::Error::InputAxis`] if the size of an input is left open; [`locally_connected::Error::TooLarge`] where
    /// models inside the model that are called more than once make thousands of calls.
    pub fn check_runnable(&self) -> Result<()> {
        let unsupported: Vec<_> = self
            .all_layers()
            .filter_map(|layer| match &layer.kind {
                LayerKind::Unsupported { reason } => Some(layer.unsupported(reason.clone())),
                _ => None,
            })
            .collect();
        if !unsupported.is_empty() {
            return Err(Error::UnsupportedLayers(unsupported));
        }
        let inputs = self.layers.iter().filter(|layer| layer.class_name == "InputLayer");
        let shapes = std::iter::once(&self.input_shape).chain(inputs.map(|layer| &layer.output_shape));
        for shape in shapes {
            if let Some(axis) = shape.iter().position(|&size| size == 0) {
                return Err(locally_connected::Error::InputAxis { axis, shape: shape.clone() }.into());
            }
        }
        self.check_calls()
    }

    /// All layers, each followed by those inside it.
    pub fn all_layers(&self) -> impl Iterator<Item = &FileLayer> {
        let mut waiting: Vec<&FileLayer> = self.layers.iter().rev().collect();
        std::iter::from_fn(move || {
            let layer = waiting.pop()?;
            waiting.extend(layer.inner.iter().rev());
            Some(layer)
        })
    }

    /// The layer of that name. A layer inside another is also found by its own name alone, if no other layer has that.
    #[must_use]
    pub fn layer(&self, name: &str) -> Option<&FileLayer> {
        self.all_layers().find(|layer| layer.name == name).or_else(|| {
            let mut inner = self.all_layers().filter(|layer| layer.config.get("name").is_some_and(|own| own == name));
            inner.next().filter(|_| inner.next().is_none())
        })
    }

    /// The locally connected layers, in order, including those inside other layers.
    pub fn locals(&self) -> impl Iterator<Item = (&FileLayer, &Local)> {
        self.all_layers().filter_map(|layer| layer.local().map(|local| (layer, local)))
    }

    /// The locally connected layers with their names, to be changed.
    pub fn locals_mut(&mut self) -> impl Iterator<Item = (&str, &mut Local)> {
        let mut waiting: Vec<&mut FileLayer> = self.layers.iter_mut().rev().collect();
        std::iter::from_fn(move || {
            loop {
                let FileLayer { name, kind, inner, .. } = waiting.pop()?;
                waiting.extend(inner.iter_mut().rev());
                if let LayerKind::LocallyConnected(local) = kind {
                    return Some((name.as_str(), &mut **local));
                }
            }
        })
    }

    /// Shape of one sample of the output, or of the first output; empty if it isn't known.
    #[must_use]
    pub fn output_shape(&self) -> &[usize] {
        let Some(&Tensor::Output { call, .. }) = self.wiring.outputs.first() else { return &self.input_shape };
        let layer = self.wiring.calls.get(call).and_then(|call| self.layers.get(call.layer));
        layer.map_or(&[], |layer| &layer.output_shape)
    }

    /// The version of Keras that wrote the file.
    #[must_use]
    pub fn keras_version(&self) -> &str {
        &self.keras_version
    }

    /// The same model, with the kernels of all locally connected layers in another layout and `implementation` in their
    /// configs changed to match.
    ///
    /// # Errors
    /// [`locally_connected::Error::Unsupported`] with the layer's name if it has no weights of that layout, and
    /// [`locally_connected::Error::OverBudget`].
    pub fn with_implementation(mut self, layout: KerasLayout) -> Result<Self> {
        let mut waiting: Vec<&mut FileLayer> = self.layers.iter_mut().collect();
        while let Some(layer) = waiting.pop() {
            waiting.extend(&mut layer.inner);
            let LayerKind::LocallyConnected(local) = &mut layer.kind else { continue };
            local.set_layout(layout).map_err(|error| {
                let what = format!("implementation {} of layer \"{}\"", layout.number(), layer.name);
                match error {
                    locally_connected::Error::OverBudget { needed, budget, .. } => {
                        locally_connected::Error::OverBudget { what, needed, budget }
                    }
                    error => locally_connected::Error::Unsupported { what, with: format!("({error})") },
                }
            })?;
            if let Value::Object(config) = &mut layer.config {
                config.insert("implementation".into(), layout.number().into());
            }
        }
        Ok(self)
    }
}

impl FileLayer {
    /// This layer in a list of those that can't be run.
    pub(crate) fn unsupported(&self, reason: Option<String>) -> UnsupportedLayer {
        UnsupportedLayer { name: self.name.clone(), class: self.class_name.clone(), reason }
    }

    /// Keras's dtype policy of the layer, such as `float32` or `mixed_float16`; none if the file doesn't say.
    #[must_use]
    pub fn dtype_policy(&self) -> Option<&str> {
        let dtype = self.config.get("dtype")?;
        dtype.as_str().or_else(|| dtype.get("config")?.get("name")?.as_str())
    }

    /// The number of parameters as Keras counts them, as the file stores them: those that are trained, and those that
    /// aren't.
    #[must_use]
    pub fn parameters(&self) -> [u64; 2] {
        let count = |trained: bool, stored: u64| if trained { [stored, 0] } else { [0, stored] };
        // Counted by shapes, since the values may have been taken out (`ModelFile::take_model`).
        match &self.kind {
            LayerKind::LocallyConnected(local) => {
                count(local.trainable, local.layout.len(&local.geometry).saturating_add(local.geometry.biases()))
            }
            LayerKind::Computed(computed) => computed.weights.iter().fold([0; 2], |[trained, fixed], weight| {
                let [more, other] = count(
                    computed.trainable && weight.is_learned(),
                    weight.shape.iter().map(|&size| size as u64).product(),
                );
                [trained + more, fixed + other]
            }),
            _ => [0; 2],
        }
    }

    /// The layer's weights and geometry, if it is locally connected.
    #[must_use]
    pub fn local(&self) -> Option<&Local> {
        match &self.kind {
            LayerKind::LocallyConnected(local) => Some(local),
            _ => None,
        }
    }
}

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

/// All that a model's file holds, or is to hold. What of it runs is [`ModelFile::model`].
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// Keras's name of the model.
    pub name: String,
    /// Shape of one sample of the input, of the first where there are several; empty where it isn't known.
    pub input_shape: Vec<usize>,
    /// The layers, each once, in the order in which they are called first.
    pub layers: Vec<FileLayer>,
    /// What feeds what.
    pub(crate) wiring: Wiring,
    pub(crate) frame: Frame,
    pub(crate) keras_version: String,
    /// How it was compiled, where it was.
    pub compiled: Option<Compiled>,
    /// What a host keeps with it.
    pub beside: Beside,
}

/// What a host keeps with a model, a training's own state say: our `.safetensors` holds it, the other formats leave it out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Beside {
    /// JSON of the host's; null where there is none.
    pub json: Value,
    /// Arrays by names of the host's.
    pub arrays: BTreeMap<String, NpyArray>,
}

/// What of the model's own JSON isn't its layers, kept for writing.
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
    /// Keras's name of the layer, unique in the model. In front of that of a layer in another layer stands the other's
    /// name and a slash.
    pub name: String,
    /// Keras's class, say `LocallyConnected2D`.
    pub class_name: String,
    /// Keras's `get_config` dictionary, with the names of Keras 1 changed to those of Keras 2, as
    /// [`from_json`](crate::from_json) reads it. When the model is written, what `kind` says otherwise by then comes first.
    pub config: Value,
    /// Shape of one sample of its input, of the first one of its first call; empty where it isn't known.
    pub input_shape: Vec<usize>,
    /// Shape of one sample of its output there; empty where it isn't known.
    pub output_shape: Vec<usize>,
    /// What it does.
    pub kind: LayerKind,
    /// The layers in it, where it is a model in the model or wraps a layer.
    pub inner: Vec<FileLayer>,
    /// What feeds what of those in it; nothing of a wrapper's.
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
    /// All axes become one.
    Flatten {
        /// In `channels_first` the first axis (besides the batch) is moved last before, as Keras does.
        data_format: DataFormat,
    },
    /// Another shape for the same elements in the same order.
    Reshape(Vec<usize>),
    /// Nothing: an input or a regulariser.
    Identity,
    /// Dropout or noise: nothing at inference.
    Noise(NoiseLayer),
    /// Any other layer that runs.
    Computed(Box<Computed>),
    /// A model in the model, [`FileLayer::inner`].
    Model,
    /// Something that can't be run here.
    Unsupported {
        /// Why not, where it isn't the class alone.
        reason: Option<String>,
    },
}

/// A layer that runs and is none of those that [`LayerKind`] names, with its weights as the file stores them.
#[derive(Debug, Clone, PartialEq)]
pub struct Computed {
    /// What it is to the library.
    pub kind: Kind,
    /// Its weights, in Keras's order.
    pub weights: Vec<Weight>,
    /// Keras's `trainable`, of the layer and of all that it is in.
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
    /// The format that the file name's extension stands for.
    ///
    /// # Errors
    /// [`Error::File`] for any other extension.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
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
    /// [`locally_connected::Error::InputAxis`] where the size of an input is left open.
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
        Ok(())
    }

    /// The layers, each followed by those in it.
    pub fn all_layers(&self) -> impl Iterator<Item = &FileLayer> {
        let mut waiting: Vec<&FileLayer> = self.layers.iter().rev().collect();
        std::iter::from_fn(move || {
            let layer = waiting.pop()?;
            waiting.extend(layer.inner.iter().rev());
            Some(layer)
        })
    }

    /// The layer of that name, in another layer or not; one in another layer also by its own name alone, where no
    /// other has that.
    #[must_use]
    pub fn layer(&self, name: &str) -> Option<&FileLayer> {
        self.all_layers().find(|layer| layer.name == name).or_else(|| {
            let mut inner = self.all_layers().filter(|layer| layer.config.get("name").is_some_and(|own| own == name));
            inner.next().filter(|_| inner.next().is_none())
        })
    }

    /// The locally connected layers, in order, those in other layers among them.
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

    /// Shape of one sample of the output, of the first where there are several; empty where it isn't known.
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

    /// The same model with the kernels of all locally connected layers in another layout, and `implementation` in
    /// their configs to match.
    ///
    /// # Errors
    /// [`locally_connected::Error::Unsupported`] with the layer's name where it has no weights of that layout, and
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
    /// This layer as one that can't be run.
    pub(crate) fn unsupported(&self, reason: Option<String>) -> UnsupportedLayer {
        UnsupportedLayer { name: self.name.clone(), class: self.class_name.clone(), reason }
    }

    /// Keras's dtype policy of the layer, say `float32` or `mixed_float16`; none where the file doesn't say.
    #[must_use]
    pub fn dtype_policy(&self) -> Option<&str> {
        let dtype = self.config.get("dtype")?;
        dtype.as_str().or_else(|| dtype.get("config")?.get("name")?.as_str())
    }

    /// Parameters as Keras counts them, what the file stores: those that are trained, and those that aren't.
    #[must_use]
    pub fn parameters(&self) -> [u64; 2] {
        let count = |trained: bool, stored: u64| if trained { [stored, 0] } else { [0, stored] };
        // By shapes: values may have been taken out (`ModelFile::take_model`).
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

//! What a layer gives for an input.

use super::layer::Layer;
use crate::args::Common;
use crate::arrays::{batched, read_samples, tuple};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{device, model};
use locally_connected::model::Model;
use locally_connected::{DataFormat, Error};
use locally_connected_keras::{self as keras, ModelFile, npy};
use pollster::block_on;
use std::path::Path;

/// The most samples that are drawn.
const MOST: usize = 4;

/// Some samples, and the layer's output for each.
#[derive(Debug)]
pub(super) struct Activations {
    /// Shape of one input sample.
    pub(super) input_shape: Vec<usize>,
    pub(super) inputs: Vec<Vec<f32>>,
    pub(super) outputs: Vec<Vec<f32>>,
    /// How many samples the file has.
    pub(super) samples: usize,
    /// Whether the input is the layer's own rather than the model's.
    pub(super) own: bool,
}

/// A layer, and the model that it is in.
#[derive(Clone, Copy)]
pub(super) struct InModel<'a> {
    pub(super) file: &'a ModelFile,
    pub(super) layer: &'a Layer<'a>,
}

/// Runs the model up to the layer if `path` has inputs of the model, or the layer alone if it has the layer's own.
pub(super) fn run(common: &Common, progress: &Progress, of: InModel<'_>, path: &Path) -> Result<Activations, Failure> {
    let InModel { file, layer } = of;
    let alone = layer.geometry.input_shape();
    let takes = |shape: &[usize]| tuple(&batched(0, shape)).replacen('0', "batch", 1);
    let read = |shape: &[usize]| read_samples(path, "the input", shape);
    // A fault of the file itself is reported first.
    npy::read_npy(path)?;
    let through = up_to(file, layer, &takes(alone));
    let of_model = through.as_ref().ok().and_then(|model| read(model.input_shape()).ok());
    let (array, model) = match (through, of_model) {
        (Ok(model), Some(array)) => (array, model),
        (through, _) => {
            let array = read(alone).map_err(|failure| match through {
                Ok(model) if model.input_shape() == alone => failure,
                Ok(model) => failure.with_help(format!(
                    "the model takes {}, the layer by itself {}",
                    takes(model.input_shape()),
                    takes(alone)
                )),
                Err(why) => why,
            })?;
            (array, model::model(file, Some(layer.name))?)
        }
    };
    let samples = array.shape.first().copied().unwrap_or(0);
    if samples == 0 {
        return Err(Failure::request(format!("{}: there is no sample in it", path.display())));
    }
    let count = samples.min(MOST);
    let values = array.values.get(..array.values.len() / samples * count).unwrap_or_default();
    progress.set("opening the device");
    let device = device::open(common)?;
    progress.set("sending the weights");
    let loaded = block_on(device.upload(&model))?;
    progress.set(format!("running {count} samples"));
    let outputs = block_on(loaded.run(values))?;
    let split = |values: &[f32]| values.chunks((values.len() / count).max(1)).map(<[f32]>::to_vec).collect();
    let (inputs, outputs) = (split(values), split(&outputs));
    let own = model.graph.layers().len() == 1 && model.input_shape() == alone;
    Ok(Activations { input_shape: model.input_shape().to_vec(), inputs, outputs, samples, own })
}

/// The part of the model that ends with this layer.
fn up_to(file: &ModelFile, layer: &Layer<'_>, alone: &str) -> Result<Model, Failure> {
    let help = format!("--input can be the layer's own, too: {alone}");
    let model = match file.model_up_to(layer.name) {
        Ok(model) => model,
        Err(keras::Error::Core(Error::UnknownValue { .. })) => {
            return Err(Failure::request(format!("layer \"{}\" is in another layer, and runs alone only", layer.name))
                .with_help(help));
        }
        Err(error) => return Err(Failure::from(error).with_help(help)),
    };
    match model.graph.inputs()[..] {
        [_] => Ok(model),
        ref inputs => {
            let names: Vec<_> = inputs.iter().map(|end| end.name).collect();
            let message =
                format!("the model has {} inputs ({}), of which one isn't enough", names.len(), names.join(", "));
            Err(Failure::request(message).with_help(help))
        }
    }
}

/// One sample as a picture: rows, columns and channels, in either data format. None for other shapes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image<'a> {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) channels: usize,
    first: bool,
    values: &'a [f32],
}

impl<'a> Image<'a> {
    /// `rank` is the layer's; with one axis there is one row.
    pub(super) fn new(shape: &[usize], values: &'a [f32], rank: usize, format: DataFormat) -> Option<Self> {
        let first = format == DataFormat::ChannelsFirst;
        let (rows, columns, channels) = match (rank, shape, first) {
            (1, &[columns, channels], false) | (1, &[channels, columns], true) => (1, columns, channels),
            (2, &[rows, columns, channels], false) | (2, &[channels, rows, columns], true) => (rows, columns, channels),
            _ => return None,
        };
        Some(Self { rows, columns, channels, first, values })
    }

    pub(super) fn value(&self, row: usize, column: usize, channel: usize) -> f64 {
        let position = row * self.columns + column;
        let index = match self.first {
            true => channel * self.rows * self.columns + position,
            false => position * self.channels + channel,
        };
        self.values.get(index).map_or(f64::NAN, |&value| value.into())
    }

    /// The value if there is one channel, else the length over the channels.
    pub(super) fn size(&self, row: usize, column: usize) -> f64 {
        match self.channels {
            1 => self.value(row, column, 0),
            _ => (0..self.channels).map(|c| self.value(row, column, c).powi(2)).sum::<f64>().sqrt(),
        }
    }
}

//! One step of a chain: a layer that does something to the values.

use crate::config::{Activation, Bias, Config, DataFormat, Implementation};
use crate::geometry::Geometry;
use crate::gpu::LocallyConnected;
use crate::headless::Gpu;
use crate::kernel::Tables;
use crate::model::names;
use crate::plan::{Planner, chunks};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// A layer that does something to the values; those that only give them another shape are no stage.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) work: Work,
    pub(super) inputs: u64,
    pub(super) outputs: u64,
}

#[derive(Debug)]
pub(super) enum Work {
    /// A layer of the model.
    Local { name: String, trainable: bool, layer: LocallyConnected },
    /// An activation between layers, as a locally connected layer with one tap of weight 1 and no bias: the kernels
    /// that are there for the layer's own activation do the work.
    Activation { name: String, layer: LocallyConnected },
    /// `[channels][positions]` to `[positions][channels]`.
    Transpose { channels: usize, positions: usize },
}

impl Stage {
    /// A layer with its weights and bias, which are among `parameters` under its name.
    pub(super) async fn local(
        gpu: &Gpu,
        name: &str,
        geometry: Geometry,
        trainable: bool,
        parameters: &BTreeMap<String, Vec<f32>>,
    ) -> Result<Self> {
        let (inputs, outputs) = (geometry.inputs(), geometry.outputs());
        let (tables, profile) = (Tables::new(&geometry), gpu.context().profile());
        let chunks = chunks(&geometry, profile)?;
        // What can't be is refused before anything is allocated for it.
        Planner::new(&geometry, &tables, &chunks, profile).possible(geometry.config().implementation)?;
        let parameter = |name: String| parameters.get(&name).ok_or(Error::NotGiven { name });
        let layer = LocallyConnected::with_geometry(gpu.context(), geometry).await?;
        layer.write_canonical(parameter(names::weights(name))?)?;
        if layer.geometry().biases() > 0 {
            layer.write_bias(parameter(names::bias(name))?)?;
        }
        Ok(Self { work: Work::Local { name: name.to_owned(), trainable, layer }, inputs, outputs })
    }

    /// An error with the name of the layer that it is of.
    pub(super) fn blame(&self, error: Error) -> Error {
        match &self.work {
            Work::Local { name, .. } | Work::Activation { name, .. } => error.in_layer(name),
            Work::Transpose { .. } => error,
        }
    }

    /// Of samples of so many elements, in rows of so many.
    pub(super) async fn activation(
        gpu: &Gpu,
        activation: Activation,
        [elements, row]: [u64; 2],
        name: &str,
    ) -> Result<Self> {
        // Softmax goes along the last axis, which is one of the positions in channels_first.
        let shape = [1, (elements / row) as usize, row as usize];
        let config = Config::new(1, [1, 1])
            .data_format(DataFormat::ChannelsFirst)
            .bias(Bias::None)
            .activation(activation)
            // Its dense matrix would have the square of its elements.
            .implementation(Implementation::Loop);
        let layer = LocallyConnected::new(gpu.context(), &config, &shape).await?;
        layer.write_canonical(&vec![1.0; elements as usize])?;
        Ok(Self { work: Work::Activation { name: name.to_owned(), layer }, inputs: elements, outputs: elements })
    }
}

/// `[rows][columns]` to `[columns][rows]` in each sample.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut transposed = Vec::with_capacity(values.len());
    for sample in values.chunks_exact(rows * columns) {
        for column in 0..columns {
            transposed.extend(sample.iter().skip(column).step_by(columns));
        }
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_each_sample() {
        let values: Vec<f32> = (0..12u8).map(f32::from).collect();
        let transposed = transpose(&values, 2, 3);
        assert_eq!(transposed, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0]);
        assert_eq!(transpose(&transposed, 3, 2), values);
    }
}

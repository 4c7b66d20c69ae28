//! Single elements of a locally connected layer's results, to check samples of large results: computing all of them
//! would take far longer.

use super::local::for_each_entry;
use crate::config::{Bias, DataFormat};
use crate::geometry::{Connectivity, Geometry};

/// The operands of a layer's passes, given element by element, from memory or by a formula.
pub struct Elements<'a> {
    /// `[batch][input shape]`.
    pub input: &'a dyn Fn(u64) -> f64,
    /// Canonical.
    pub weights: &'a dyn Fn(u64) -> f64,
    /// In Keras's order.
    pub bias: &'a dyn Fn(u64) -> f64,
    /// `[batch][output shape]`, before the activation.
    pub grad_output: &'a dyn Fn(u64) -> f64,
    /// Samples.
    pub batch: u32,
}

impl std::fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elements").field("batch", &self.batch).finish_non_exhaustive()
    }
}

/// Position and channel of an element of a sample that has so many of each.
fn place(format: DataFormat, within: u64, positions: u32, channels: u32) -> (u32, u32) {
    let (positions, channels) = (u64::from(positions), u64::from(channels));
    let (position, channel) = match format {
        DataFormat::ChannelsLast => (within / channels, within % channels),
        DataFormat::ChannelsFirst => (within % positions, within / positions),
    };
    (position as u32, channel as u32)
}

/// The element of this index of `[batch][output shape]`, before the activation.
#[must_use]
pub fn local_forward_element(layer: &Geometry, operands: &Elements<'_>, index: u64) -> f64 {
    let (sample, within) = (index / layer.outputs(), index % layer.outputs());
    let (location, filter) = place(layer.config().data_format, within, layer.locations(), layer.filters());
    let filters = layer.group_filters();
    let mut sum = 0.0;
    for_each_entry(layer, location * layer.groups() + filter / filters, |entry, input| {
        if let Some(input) = input {
            let weight = (operands.weights)(entry * u64::from(filters) + u64::from(filter % filters));
            sum += (operands.input)(sample * layer.inputs() + input) * weight;
        }
    });
    match layer.config().bias {
        Bias::None => sum,
        Bias::PerFilter => sum + (operands.bias)(filter.into()),
        // Keras reshapes the bias to the output's memory order, in either data format.
        Bias::PerLocation => sum + (operands.bias)(within),
    }
}

/// Element `index` of `[batch][input shape]`, from the gradient before the activation. For a user's pattern it walks
/// over all connections.
#[must_use]
pub fn local_grad_input_element(layer: &Geometry, operands: &Elements<'_>, index: u64) -> f64 {
    let (sample, within) = (index / layer.inputs(), index % layer.inputs());
    let filters = layer.group_filters();
    let mut sum = 0.0;
    let mut add = |location: u32, group: u32, entry: u64| {
        for f in 0..filters {
            let output = layer.output_index(location, group * filters + f);
            let weight = (operands.weights)(entry * u64::from(filters) + u64::from(f));
            sum += weight * (operands.grad_output)(sample * layer.outputs() + output);
        }
    };
    match layer.connectivity() {
        Connectivity::Pattern(_) => {
            for cell in 0..layer.cells() {
                for_each_entry(layer, cell, |entry, input| {
                    if input == Some(within) {
                        add(cell, 0, entry);
                    }
                });
            }
        }
        Connectivity::Windows(axes) => {
            let [a, b, c] = &**axes;
            let (position, channel) = place(layer.config().data_format, within, layer.positions(), layer.channels());
            let (group, of_group) = (channel / layer.group_channels(), channel % layer.group_channels());
            let [i0, i1, i2] = [position / (b.input * c.input), position / c.input % b.input, position % c.input];
            for [o0, t0] in a.readers(i0) {
                for [o1, t1] in b.readers(i1) {
                    for [o2, t2] in c.readers(i2) {
                        let location = (o0 * b.output + o1) * c.output + o2;
                        let tap = (t0 * b.taps + t1) * c.taps + t2;
                        let cell = layer.weight_cell(location * layer.groups() + group);
                        let entry = u64::from(cell) * u64::from(layer.window());
                        add(location, group, entry + u64::from(tap * layer.group_channels() + of_group));
                    }
                }
            }
        }
    }
    sum
}

/// Element `index` of the canonical weights' gradient, from the gradient before the activation; 0 at clipped taps. For
/// weights that locations share it walks over all locations.
#[must_use]
pub fn local_grad_weights_element(layer: &Geometry, operands: &Elements<'_>, index: u64) -> f64 {
    let filters = u64::from(layer.group_filters());
    let (entry, f) = (index / filters, (index % filters) as u32);
    let cells: Vec<u32> = match layer.pattern() {
        // The row that the entry is in.
        Some(pattern) => vec![pattern.starts().partition_point(|&start| u64::from(start) <= entry) as u32 - 1],
        None => {
            let of = (entry / u64::from(layer.window())) as u32;
            (0..layer.cells()).filter(|&cell| layer.weight_cell(cell) == of).collect()
        }
    };
    let mut sum = 0.0;
    for cell in cells {
        let (location, group) = (cell / layer.groups(), cell % layer.groups());
        let output = layer.output_index(location, group * layer.group_filters() + f);
        for_each_entry(layer, cell, |other, input| {
            if let (true, Some(input)) = (other == entry, input) {
                for n in 0..u64::from(operands.batch) {
                    let grad_output = (operands.grad_output)(n * layer.outputs() + output);
                    sum += (operands.input)(n * layer.inputs() + input) * grad_output;
                }
            }
        });
    }
    sum
}

/// Element `index` of the bias's gradient, from the gradient before the activation; 0 without a bias.
#[must_use]
pub fn grad_bias_element(layer: &Geometry, operands: &Elements<'_>, index: u64) -> f64 {
    let outputs = |n: u64| match layer.config().bias {
        Bias::None => 0.0,
        Bias::PerLocation => (operands.grad_output)(n * layer.outputs() + index),
        Bias::PerFilter => {
            let of_filter = (0..layer.locations()).map(|location| layer.output_index(location, index as u32));
            of_filter.map(|output| (operands.grad_output)(n * layer.outputs() + output)).sum()
        }
    };
    (0..u64::from(operands.batch)).map(outputs).sum()
}

#[cfg(test)]
mod tests {
    use super::super::{grad_bias, local_forward, local_grad_input, local_grad_weights};
    use super::*;
    use crate::config::{Activation, Config, Padding};
    use crate::geometry::Pattern;
    use crate::{Error, Result};

    fn layers() -> Result<Vec<Geometry>> {
        let wide = Config::new(4, [3, 2]).strides([1, 2]).padding(Padding::Same);
        let (pattern, _) = Pattern::from_coo(3, 5, &[(0, 1), (0, 4), (2, 1), (2, 2), (1, 0)])?;
        Ok(vec![
            Geometry::new(&wide, &[5, 6, 2])?,
            Geometry::new(&Config { groups: 2, ..wide.clone() }, &[5, 6, 2])?,
            Geometry::new(&wide.clone().data_format(DataFormat::ChannelsFirst).bias(Bias::PerFilter), &[2, 5, 6])?,
            Geometry::new(&Config::new(2, [3]).padding(Padding::Circular).bias(Bias::None), &[7, 3])?,
            Geometry::convolution(&wide.bias(Bias::PerFilter), &[5, 6, 2])?,
            Geometry::from_pattern(pattern, 3, Bias::PerLocation, Activation::Linear)?,
        ])
    }

    #[test]
    fn elements_are_those_of_the_whole() -> Result<()> {
        const BATCH: u32 = 3;
        for layer in layers()? {
            let values = |count: u64, step: u64| -> Vec<f64> {
                (0..count).map(|i| ((i * step) % 17) as f64 / 8.0 - 1.0).collect()
            };
            let (x, dy) = (values(3 * layer.inputs(), 7), values(3 * layer.outputs(), 11));
            let (w, b) = (values(layer.weights(), 5), values(layer.biases(), 3));
            let of = |values: &[f64], index: u64| values[index as usize];
            let elements = Elements {
                input: &|i| of(&x, i),
                weights: &|i| of(&w, i),
                bias: &|i| of(&b, i),
                grad_output: &|i| of(&dy, i),
                batch: BATCH,
            };
            let wholes = [
                local_forward(&layer, &x, &w, &b),
                local_grad_input(&layer, &w, &dy),
                local_grad_weights(&layer, &x, &dy),
                grad_bias(&layer, &dy),
            ];
            type Element = fn(&Geometry, &Elements<'_>, u64) -> f64;
            let single: [Element; 4] =
                [local_forward_element, local_grad_input_element, local_grad_weights_element, grad_bias_element];
            for (whole, element) in wholes.iter().zip(single) {
                for (expected, index) in whole.iter().zip(0..) {
                    let found = element(&layer, &elements, index);
                    if (found - expected).abs() > 1e-12 {
                        let what = format!("element {index} of {}: {found} for {expected}", layer.signature());
                        return Err(Error::Program { what, why: "it isn't that of the whole" });
                    }
                }
            }
        }
        Ok(())
    }
}

//! Small layers of every kind: ranks, paddings, groups, formats, biases, activations, 16-bit weights, connectivities of
//! the user's, and weights cut into chunks by forced limits.

use crate::net::Result;
use locally_connected::{Activation, Bias, Config, DataFormat, DeviceProfile, Geometry, Padding, Pattern, WeightType};

/// A layer, and what it is planned for.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) geometry: Geometry,
    pub(crate) batch: u32,
    /// Most bytes of a binding, where the weights are to be cut.
    pub(crate) most_binding: Option<u64>,
}

impl Layer {
    /// `profile` with this layer's limits.
    pub(crate) fn within(&self, profile: &DeviceProfile) -> DeviceProfile {
        match self.most_binding {
            Some(max_binding) => DeviceProfile { max_binding, storage_alignment: 256, ..profile.clone() },
            None => profile.clone(),
        }
    }
}

/// A layer of a user's connectivity: row `r` of 7 reads every third input of 11 from `r`, row 5 none.
fn pattern(bias: Bias, activation: Activation, filters: usize) -> Result<Geometry> {
    let mask: Vec<bool> = (0..7 * 11).map(|i| (i % 11 + i / 11) % 3 == 0 && i / 11 != 5).collect();
    Ok(Geometry::from_pattern(Pattern::from_mask(7, 11, &mask)?, filters, bias, activation)?)
}

pub(crate) fn layers() -> Result<Vec<Layer>> {
    use Activation::{Elu, Exponential, Gelu, HardSigmoid, Linear, Mish, Selu, Sigmoid, Softmax, Softplus};
    use Activation::{Softsign, Swish, Tanh};
    use Bias::{PerFilter, PerLocation};
    use DataFormat::ChannelsFirst;
    use Padding::{Circular, Explicit, Same, SameUpper};
    use WeightType::F16;
    const RELU: Activation = Activation::RELU;
    let leaky = Activation::Relu { negative_slope: 0.1, max_value: Some(0.75), threshold: 0.25 };
    let layer = |filters: usize, window: Vec<usize>| Config::new(filters, window);
    let built: [(&str, Config, &[usize], u32); 33] = [
        ("1d", layer(5, vec![3]), &[11, 4], 3),
        ("1d-first", layer(8, vec![4]).data_format(ChannelsFirst).activation(Tanh), &[4, 13], 9),
        ("1d-strided", layer(7, vec![5]).strides([3]).activation(Sigmoid), &[29, 3], 4),
        ("1d-dilated", layer(4, vec![3]).dilation_rate([2]).padding(SameUpper), &[12, 8], 12),
        ("1d-explicit", layer(4, vec![4]).padding(Explicit(vec![[2, 1]])).activation(Softsign), &[9, 2], 5),
        ("1d-circular", layer(3, vec![5]).padding(Circular).activation(Softmax), &[8, 4], 6),
        ("1d-wide", layer(64, vec![3]).activation(RELU), &[10, 32], 8),
        ("1d-single", layer(1, vec![3]), &[40, 1], 1),
        ("1d-grouped", layer(8, vec![3]).groups(4).activation(Swish), &[10, 8], 17),
        ("1d-no-bias", layer(6, vec![2]).bias(Bias::None).activation(Softplus), &[9, 5], 2),
        ("2d", layer(16, vec![3, 3]).activation(RELU), &[8, 8, 8], 8),
        ("2d-image", layer(12, vec![3, 3]), &[9, 9, 3], 10),
        ("2d-first", layer(8, vec![3, 2]).data_format(ChannelsFirst).activation(Elu { alpha: 1.0 }), &[4, 7, 6], 9),
        ("2d-first-softmax", layer(5, vec![2, 2]).data_format(ChannelsFirst).activation(Softmax), &[3, 5, 6], 4),
        ("2d-same", layer(8, vec![3, 3]).padding(Same).activation(leaky), &[6, 6, 4], 16),
        ("2d-same-even", layer(8, vec![4, 2]).padding(Same).strides([2, 3]), &[7, 8, 4], 3),
        ("2d-same-upper", layer(4, vec![2, 4]).padding(SameUpper).activation(Mish), &[5, 7, 5], 5),
        ("2d-circular", layer(8, vec![3, 5]).padding(Circular).activation(Selu), &[6, 5, 4], 9),
        ("2d-explicit", layer(8, vec![3, 3]).padding(Explicit(vec![[0, 2], [3, 1]])), &[5, 4, 8], 2),
        ("2d-dilated", layer(4, vec![2, 3]).dilation_rate([3, 2]).activation(Exponential), &[9, 9, 4], 7),
        ("2d-grouped", layer(16, vec![3, 3]).groups(2).padding(Same), &[5, 5, 8], 12),
        ("2d-shared-bias", layer(8, vec![3, 3]).bias(PerFilter).activation(HardSigmoid), &[7, 7, 4], 20),
        ("2d-no-bias", layer(8, vec![3, 3]).bias(Bias::None), &[6, 6, 8], 32),
        ("2d-wide", layer(64, vec![3, 3]).activation(Gelu { approximate: true }), &[5, 5, 32], 33),
        ("2d-pointwise", layer(32, vec![1, 1]).activation(Gelu { approximate: false }), &[6, 6, 16], 64),
        ("2d-one-location", layer(24, vec![6, 5]), &[6, 5, 7], 40),
        ("2d-f16", layer(16, vec![3, 3]).dtype(F16).activation(RELU), &[7, 7, 8], 8),
        ("2d-f16-odd", layer(5, vec![2, 3]).dtype(F16).padding(Same), &[6, 5, 3], 11),
        ("2d-f16-first", layer(6, vec![3, 3]).dtype(F16).data_format(ChannelsFirst).groups(2), &[4, 6, 6], 3),
        ("3d", layer(4, vec![2, 2, 2]).activation(Tanh), &[4, 5, 4, 3], 4),
        ("3d-first-same", layer(8, vec![3, 2, 3]).data_format(ChannelsFirst).padding(Same), &[4, 4, 3, 5], 9),
        ("3d-strided", layer(6, vec![2, 3, 2]).strides([2, 1, 2]).bias(PerFilter), &[5, 5, 6, 4], 5),
        ("2d-no-samples", layer(4, vec![2, 2]), &[4, 4, 2], 0),
    ];
    let cut: [(&str, Config, &[usize], u32, u64); 5] = [
        ("cut-by-cells", layer(8, vec![2, 3]).padding(Same), &[5, 6, 4], 3, 4000),
        ("cut-by-cells-first", layer(6, vec![3, 2]).groups(2).data_format(ChannelsFirst), &[4, 6, 5], 3, 1300),
        ("cut-by-filters", layer(20, vec![3, 3]).padding(Same).activation(Softmax), &[4, 3, 8], 2, 1300),
        ("cut-by-filters-f16", layer(14, vec![5]).activation(Mish).dtype(F16), &[8, 9], 2, 1100),
        ("cut-by-samples", layer(3, vec![3]).activation(Swish), &[13, 5], 33, 2400),
    ];
    let patterns =
        [("pattern", pattern(PerLocation, RELU, 3)?, 6), ("pattern-shared-bias", pattern(PerFilter, Linear, 8)?, 9)];
    let mut layers = Vec::new();
    for (name, config, shape, batch) in built {
        layers.push(Layer { name, geometry: Geometry::new(&config, shape)?, batch, most_binding: None });
    }
    for (name, config, shape, batch, bytes) in cut {
        layers.push(Layer { name, geometry: Geometry::new(&config, shape)?, batch, most_binding: Some(bytes) });
    }
    layers.extend(patterns.map(|(name, geometry, batch)| Layer { name, geometry, batch, most_binding: None }));
    Ok(layers)
}

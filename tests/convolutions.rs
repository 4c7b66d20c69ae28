//! Convolutions and dense layers: layers whose locations share their weights, by every executor against the reference, which
//! Keras's own results judge (`tests/data/keras_convolutions.json`).

mod keras;

use crate::common::{Operands, Trial, assert_near, check, plans, profile, runs};
use crate::properties::{batch, cases, layers};
use locally_connected::{Activation, Bias, Config, DataFormat, DeviceProfile, Geometry, Implementation, Padding};
use proptest::prelude::*;
use proptest::sample::select;

/// Both passes of a layer on the device, by every form of the kernels, and on the CPU.
fn check_everywhere(layer: &Geometry, batch: u64, seed: u64, profile: &DeviceProfile) {
    check(Trial { geometry: layer, batch, seed }, profile);
    #[cfg(feature = "cpu")]
    crate::cpu::layers::check(layer, batch, seed);
}

fn convolution(config: &Config, input_shape: &[usize]) -> Geometry {
    Geometry::convolution(config, input_shape).expect("a layer")
}

const BATCHES: [u64; 14] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33, 40];

proptest! {
    #![proptest_config(cases(40))]

    /// Every rank, window, stride, dilation, padding, format, number of groups, bias, activation and type of weights.
    #[test]
    fn random_convolutions_equal_the_reference(
        (config, input_shape) in layers(),
        wanted in select(&BATCHES[..]),
        seed in 0..1000u64,
    ) {
        let layer = convolution(&config, &input_shape);
        check_everywhere(&layer, batch(&layer, wanted), seed, &profile());
    }

    /// One filter, or several, of each channel.
    #[test]
    fn random_depthwise_layers_equal_the_reference(
        (config, input_shape) in layers(),
        (channels, multiplier) in (select(&[1usize, 2, 3, 4, 5, 8, 16, 17, 33][..]), select(&[1usize, 2, 3, 4][..])),
        wanted in select(&BATCHES[..]),
        seed in 0..1000u64,
    ) {
        let mut shape = input_shape;
        let at = if config.data_format == DataFormat::ChannelsFirst { 0 } else { shape.len() - 1 };
        shape[at] = channels;
        let mut config = config.groups(channels);
        config.filters = channels * multiplier;
        let layer = convolution(&config, &shape);
        check_everywhere(&layer, batch(&layer, wanted), seed, &profile());
    }

    /// On the last axis of inputs of any rank.
    #[test]
    fn random_dense_layers_equal_the_reference(
        others in proptest::collection::vec(1..5usize, 0..4),
        (inputs, units) in (select(&[1usize, 2, 3, 4, 7, 16, 33, 100, 257][..]), select(&[1usize, 2, 3, 4, 16, 31, 64, 100, 260][..])),
        (bias, activation) in (any::<bool>(), select(crate::common::activations())),
        wanted in select(&BATCHES[..]),
        seed in 0..1000u64,
    ) {
        let shape = [&others[..], &[inputs]].concat();
        let layer = Geometry::dense(units, &shape, bias, activation).expect("a layer");
        check_everywhere(&layer, batch(&layer, wanted), seed, &profile());
    }
}

/// Weights that are cut by groups, or within one group by filters; batches that are cut.
#[test]
fn convolutions_keep_limits() {
    let filters = Config::new(24, [3, 3]).activation(Activation::RELU).bias(Bias::PerFilter);
    let first = Config::new(10, [3, 3]).groups(2).data_format(DataFormat::ChannelsFirst);
    for (config, shape, batch, bytes, chunks) in [
        (Config::new(24, [3]).groups(3), &[10, 12][..], 3, 1100, 2),
        (Config::new(36, [3, 2]).groups(6).padding(Padding::SameUpper), &[3, 2, 12], 3, 1200, 2),
        (filters, &[5, 5, 2], 2, 1300, 2),
        (first, &[4, 6, 6], 23, 1500, 1),
        (Config::new(5, [1]).bias(Bias::PerFilter), &[17, 3], 31, 1500, 1),
        (Config::new(4, [2, 2]).padding(Padding::Circular).bias(Bias::PerFilter), &[5, 5, 4], 23, 1500, 1),
    ] {
        let layer = convolution(&config, shape);
        let limits = DeviceProfile { max_binding: bytes, storage_alignment: 256, ..profile() };
        assert_eq!(crate::common::chunks(&layer, &limits).expect("a filter fits").len(), chunks, "{config:?}");
        for plan in plans(&layer, batch as u32, &limits).expect("it fits when cut") {
            plan.assert_keeps_limits(&limits);
        }
        check(Trial { geometry: &layer, batch, seed: 5 }, &limits);
    }
    let dense = Geometry::dense(40, &[90], true, Activation::Tanh).expect("a layer");
    for bytes in [620, 1200, 5000] {
        check(
            Trial { geometry: &dense, batch: 5, seed: 3 },
            &DeviceProfile { max_binding: bytes, storage_alignment: 256, ..profile() },
        );
    }
}

/// A gradient's sum over many locations is cut into rounds and parts, as a driver's loops and the memory for parts ask; small
/// integers make every order of summation exact.
#[test]
fn sums_over_locations_are_exact_however_they_are_cut() {
    let layers = [
        (convolution(&Config::new(3, [2]).bias(Bias::PerFilter), &[9_001, 2]), 3),
        (convolution(&Config::new(4, [3, 3]).padding(Padding::SameUpper).bias(Bias::PerFilter), &[60, 70, 4]), 2),
        (Geometry::dense(3, &[9_001, 5], true, Activation::Linear).expect("a layer"), 2),
        (convolution(&Config::new(1, [1]).strides([2]).bias(Bias::PerFilter), &[140_003, 1]), 1),
    ];
    for (layer, batch) in layers {
        let mut operands = Operands::random(&layer, batch, 1);
        let Operands { input, weights, bias, grad_output } = &mut operands;
        for value in [input, weights, bias, grad_output].into_iter().flatten() {
            *value = (*value * 4.0).round();
        }
        let expected = operands.reference(&layer);
        for max_iterations in [3600, profile().max_iterations] {
            for (_, profile) in runs(&[Implementation::Loop], &layer, &DeviceProfile { max_iterations, ..profile() }) {
                let (output, gradients) = operands.device(&layer, &profile).expect("it runs");
                assert_near("output", &output, &expected.output, 0.0);
                assert_near("grad_input", &gradients.input, &expected.grad_input, 0.0);
                assert_near("grad_weights", &gradients.weights, &expected.grad_weights, 0.0);
                assert_near("grad_bias", &gradients.bias, &expected.grad_bias, 0.0);
            }
        }
    }
}

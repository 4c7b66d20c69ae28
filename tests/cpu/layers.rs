//! Layers of every shape against the f64 reference.

use super::{EXECUTORS, Written, expected, given, graph, passes, run};
use crate::common::{FORWARD, GRADIENT, Operands, activations, assert_near, disagreement, largest};
use crate::properties::{assert_same_kind, batch, cases, layers, not_finite, places};
use half::f16;
use locally_connected::model::{Wanted, names};
use locally_connected::{Activation, Bias, Config, DataFormat, Geometry, Implementation, Padding, Pattern, WeightType};
use proptest::prelude::*;
use proptest::sample::select;

/// Where the activation or its derivative jumps: rounding decides on which side a value near it lies.
fn is_undecided(z: f64, activation: Activation) -> bool {
    let corners = match activation {
        Activation::Relu { max_value, threshold, .. } => {
            vec![f64::from(threshold), max_value.map_or(f64::NAN, f64::from)]
        }
        Activation::ThresholdedRelu { theta } => vec![f64::from(theta)],
        Activation::Elu { .. } | Activation::Selu => vec![0.0],
        Activation::HardSigmoid => vec![-2.5, 2.5],
        _ => Vec::new(),
    };
    corners.iter().any(|corner| (z - corner).abs() < 1e-4 * (1.0 + z.abs()))
}

/// Both passes by every executor against the reference.
pub(crate) fn check(geometry: &Geometry, batch: u64, seed: u64) {
    let mut operands = Operands::random(geometry, batch, seed);
    if geometry.config().dtype == WeightType::F16 {
        operands.weights.iter_mut().for_each(|weight| *weight = f16::from_f32(*weight).to_f32());
    }
    let activation = geometry.config().activation;
    let pre_activation = operands.reference(geometry).pre_activation;
    for (dy, _) in operands.grad_output.iter_mut().zip(&pre_activation).filter(|(_, z)| is_undecided(**z, activation)) {
        *dy = 0.0;
    }
    let expected = expected(operands.reference(geometry));
    for (name, executor) in EXECUTORS.iter() {
        let found = passes(executor, geometry, batch as u32, &operands);
        for ((found, (what, expected)), tolerance) in
            found.iter().zip(&expected).zip([FORWARD, GRADIENT, GRADIENT, GRADIENT])
        {
            let mut found = found.clone();
            if *what == "output" {
                // At a corner the output is still near, where the activation is continuous; where it jumps it is a number.
                for ((y, expected), _) in
                    found.iter_mut().zip(expected).zip(&pre_activation).filter(|(_, z)| is_undecided(**z, activation))
                {
                    assert!(y.is_finite());
                    *y = *expected as f32;
                }
            }
            if let Some(worst) = disagreement(&found, expected, tolerance * largest(expected).max(1.0)) {
                panic!(
                    "{what} by {name} for batch {batch}, input {:?}, {:?}: {worst}",
                    geometry.input_shape(),
                    geometry.config()
                );
            }
        }
    }
}

fn geometry(config: &Config, input_shape: &[usize]) -> Geometry {
    Geometry::new(config, input_shape).expect("a layer")
}

/// A task's room is for all taps of all channels and for one channel's taps, which may be more than the channels are.
#[test]
fn depthwise_layers_have_room_for_more_taps_than_channels() {
    for (channels, kernel, input_shape) in [(64, vec![300], vec![303, 64]), (96, vec![13, 13], vec![14, 13, 96])] {
        for dtype in [WeightType::F32, WeightType::F16] {
            let config = Config::new(channels, kernel.clone()).groups(channels).bias(Bias::PerFilter).dtype(dtype);
            check(&Geometry::convolution(&config, &input_shape).expect("a layer"), 2, 3);
        }
    }
}

/// Tasks take more rows where weights are many; no samples have none.
#[test]
fn no_samples_of_a_convolution_of_many_weights_are_computed() {
    let config = Config::new(128, [3, 3]).bias(Bias::PerFilter);
    check(&Geometry::convolution(&config, &[5, 5, 128]).expect("a layer"), 0, 3);
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn random_layers_equal_the_reference(
        (config, input_shape) in layers(),
        wanted in select(&[0u64, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33, 40][..]),
        seed in 0..1000u64,
    ) {
        let layer = geometry(&config, &input_shape);
        check(&layer, batch(&layer, wanted), seed);
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// NaN and infinities reach what is connected to them, and nothing else.
    #[test]
    fn what_is_not_finite_stays_where_it_belongs(
        (config, input_shape) in layers(),
        wanted in 1..9u64,
        seed in 0..1000u64,
        places in places(),
    ) {
        let layer = geometry(&config.activation(Activation::Linear).dtype(WeightType::F32), &input_shape);
        let batch = batch(&layer, wanted);
        let operands = not_finite(Operands::random(&layer, batch, seed), &places);
        let expected = expected(operands.reference(&layer));
        for (name, executor) in EXECUTORS.iter() {
            for (found, (what, expected)) in passes(executor, &layer, batch as u32, &operands).iter().zip(&expected) {
                assert_same_kind(&format!("{what} by {name}"), found, expected, GRADIENT);
            }
        }
    }
}

/// Axes along which no window has a position of the input, for every kernel: what comes through the others is of no use.
#[test]
fn windows_beside_the_input_read_nothing() {
    for (outer, inner) in [([1, 1], [0, 0]), ([0, 0], [4, 4]), ([1, 1], [4, 4])] {
        for (channels, filters, batch) in [(1, 1, 1), (1, 1, 9), (3, 5, 2), (4, 16, 9), (1, 16, 3)] {
            let config = Config::new(filters, [1, 3]).strides([9, 99]).padding(Padding::Explicit(vec![outer, inner]));
            let layer = geometry(&config, &[1, 9, channels]);
            check(&layer, batch, 3);
            let config = config.bias(Bias::PerFilter);
            check(&Geometry::convolution(&config, &[1, 9, channels]).expect("a layer"), batch, 3);
        }
    }
}

/// Sizes around those of tiles, vectors and blocks, where an index off by one shows.
#[test]
fn edge_shapes_equal_the_reference() {
    for (spatial, kernel, channels, filters, batch) in [
        (&[1][..], &[1][..], 1, 1, 1),
        (&[1, 1, 1], &[1, 1, 1], 7, 5, 2),
        (&[65], &[64], 1, 3, 2),
        (&[66], &[3], 1, 1, 65),
        (&[129], &[5], 7, 67, 3),
        (&[7, 9], &[7, 9], 3, 67, 4),
        (&[3], &[2], 2, 255, 1),
        (&[3], &[2], 2, 256, 2),
        (&[3], &[2], 3, 257, 3),
        (&[4], &[3], 5, 129, 5),
        (&[4, 3], &[2, 2], 6, 48, 14),
        (&[5, 4], &[3, 2], 16, 17, 13),
        (&[3, 5, 7], &[2, 3, 5], 3, 5, 9),
        // Many channels of one sample whose filters are one vector, and what is left of them.
        (&[70], &[5], 23, 16, 1),
        (&[9, 9], &[3, 2], 37, 11, 1),
        // Blocks of terms: more rows, and more runs, than one has.
        (&[40], &[39], 40, 33, 2),
        (&[130, 3], &[129, 2], 2, 16, 2),
        // Panels of filters whose weights are copied, in several blocks.
        (&[20], &[3], 41, 135, 17),
    ] {
        for format in [DataFormat::ChannelsLast, DataFormat::ChannelsFirst] {
            let config = Config::new(filters, kernel).data_format(format).activation(Activation::RELU);
            let shape = match format {
                DataFormat::ChannelsLast => [spatial, &[channels]].concat(),
                DataFormat::ChannelsFirst => [&[channels], spatial].concat(),
            };
            check(&geometry(&config, &shape), batch, 7);
        }
    }
    for batch in [3, 17] {
        check(&geometry(&Config::new(135, [3]).dtype(WeightType::F16), &[20, 41]), batch, 7);
    }
}

#[test]
fn every_batch_size_equals_the_reference() {
    for batch in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65] {
        let config = Config::new(5, [3]).strides([2]).activation(Activation::Mish);
        check(&geometry(&config, &[13, 3]), batch, batch);
        let config = Config::new(3, [2, 2]).padding(Padding::Same).data_format(DataFormat::ChannelsFirst);
        check(&geometry(&config, &[2, 4, 5]), batch, batch);
        check(&geometry(&Config::new(1, [3]), &[40, 1]), batch, batch);
    }
}

#[test]
fn every_activation_equals_the_reference() {
    for activation in activations() {
        for (format, shape) in [(DataFormat::ChannelsLast, [23, 4]), (DataFormat::ChannelsFirst, [4, 23])] {
            let config = Config::new(6, [5]).data_format(format).activation(activation);
            check(&geometry(&config, &shape), 11, 3);
        }
    }
}

/// Layers of one filter of every step, window and padding: they have kernels of their own.
#[test]
fn layers_of_one_filter_equal_the_reference() {
    for channels in [1, 2, 3] {
        for kernel in [1, 2, 3, 5, 8, 20, 33] {
            for stride in [1, 2, 3, kernel] {
                for padding in [Padding::Valid, Padding::Same] {
                    let config = Config::new(1, [kernel]).strides([stride]).padding(padding);
                    let layer = geometry(&config, &[16 * stride + kernel + 5, channels]);
                    for batch in [1, 5, 17] {
                        check(&layer, batch, 11);
                    }
                }
            }
        }
    }
    // An outer axis of one position, with windows that reach past it or round it.
    for (config, input) in [
        (Config::new(1, [3, 3]).padding(Padding::Same), &[1, 64, 1][..]),
        (Config::new(1, [3, 3]).padding(Padding::Circular), &[1, 64, 1]),
        (Config::new(1, [2, 3]).padding(Padding::Explicit(vec![[1, 0], [0, 0]])), &[1, 64, 1]),
        (Config::new(1, [3, 3]).padding(Padding::Same).data_format(DataFormat::ChannelsFirst), &[1, 1, 64]),
        (Config::new(1, [2, 3, 3]).padding(Padding::Same), &[1, 1, 40, 1]),
        (Config::new(1, [1, 3]), &[1, 64, 1]),
        // The only window along it lies before the only position.
        (Config::new(1, [1, 3]).padding(Padding::Explicit(vec![[1, 1], [1, 1]])).strides([11, 2]), &[1, 64, 1]),
    ] {
        for batch in [3, 5] {
            check(&geometry(&config, input), batch, 5);
        }
    }
    // Windows that lie side by side and wrap; sums in blocks of 64, of few taps and of many; strips all of whose windows are clipped; and
    // so many inputs that the next sample's are fetched.
    for (config, input, batch) in [
        (Config::new(1, [3]).strides([3]).padding(Padding::Circular), &[8, 1][..], 1),
        (Config::new(1, [3]).strides([3]).padding(Padding::Circular), &[11, 2], 5),
        (Config::new(1, [3]), &[68, 1], 4),
        (Config::new(1, [3]).padding(Padding::Same), &[140, 1], 4),
        (Config::new(1, [5]), &[68, 1], 4),
        (Config::new(1, [5]).padding(Padding::Same), &[411, 1], 4),
        (Config::new(1, [9, 9]).padding(Padding::Same), &[28, 28, 1], 4),
        (Config::new(1, [65]).padding(Padding::causal(65, 1)), &[200, 1], 4),
        (Config::new(1, [3]), &[32_768, 1], 4),
    ] {
        check(&geometry(&config, input), batch, 5);
    }
    check(&geometry(&Config::new(1, [3, 2]).bias(Bias::PerFilter), &[9, 40, 2]), 3, 1);
    for batch in [3, 5] {
        check(&geometry(&Config::new(1, [3, 2]).activation(Activation::Tanh), &[9, 40, 1]), batch, 1);
    }
}

/// Gradients by so large an output that samples are taken in smaller blocks.
#[test]
fn large_outputs_equal_the_reference() {
    check(&geometry(&Config::new(64, [1]), &[4096, 1]), 33, 3);
}

/// Sums of more than 65,535 terms, of small integers, so that every order of summation is exact.
#[test]
fn long_sums_are_exact() {
    for (config, input_shape, batch) in [
        (Config::new(1, [70_001]), &[70_001, 1][..], 1),
        (Config::new(4, [2, 300]), &[2, 300, 512], 1),
        (Config::new(70_001, [1]), &[1, 1], 1),
        (Config::new(1, [1]), &[1, 1], 70_001),
        (Config::new(4, [1]), &[1, 4], 70_001),
        (Config::new(1, [1, 2]).bias(Bias::PerFilter), &[265, 266, 1], 1),
        (Config::new(3, [1]).bias(Bias::PerFilter), &[300, 1], 301),
        (Config::new(1, [3]).activation(Activation::Linear), &[70_001, 1], 2),
        // Windows side by side, whose lines of the cache are fetched.
        (Config::new(1, [1]), &[70_001, 3], 2),
    ] {
        let layer = geometry(&config, input_shape);
        let mut operands = Operands::random(&layer, batch, 1);
        let Operands { input, weights, bias, grad_output } = &mut operands;
        for value in [input, weights, bias, grad_output].into_iter().flatten() {
            *value = (*value * 4.0).round();
        }
        let expected = expected(operands.reference(&layer));
        for (name, executor) in EXECUTORS.iter() {
            for (found, (what, expected)) in passes(executor, &layer, batch as u32, &operands).iter().zip(&expected) {
                assert_near(
                    format_args!("{what} by {name} of input {input_shape:?}, {config:?}"),
                    found,
                    expected,
                    0.0,
                );
            }
        }
    }
}

/// The weights of taps that padding clips may be anything: no pass reads them, and their gradient is 0.
#[test]
fn clipped_weights_are_never_read() {
    for (filters, channels, batch, dtype) in [
        (8, 4, 3, WeightType::F32),
        (3, 2, 20, WeightType::F16),
        (16, 5, 33, WeightType::F32),
        (1, 1, 4, WeightType::F32),
    ] {
        let config = Config::new(filters, [3, 2]).padding(Padding::Same).activation(Activation::Tanh).dtype(dtype);
        let layer = geometry(&config, &[4, 5, channels]);
        let mut operands = Operands::random(&layer, batch, 3);
        operands.weights.iter_mut().for_each(|weight| *weight = f16::from_f32(*weight).to_f32());
        let expected = expected(operands.reference(&layer));
        let row = (layer.group_channels() * layer.group_filters()) as usize;
        let clipped: Vec<bool> = (0..layer.locations())
            .flat_map(|p| (0..layer.taps()).map(move |t| (p, t)))
            .flat_map(|(p, t)| std::iter::repeat_n(layer.tap(p, t).is_none(), row))
            .collect();
        assert!(clipped.contains(&true) && clipped.contains(&false) && clipped.len() == operands.weights.len());
        for (weight, _) in operands.weights.iter_mut().zip(&clipped).filter(|(_, clipped)| **clipped) {
            *weight = f32::NAN;
        }
        for (name, executor) in EXECUTORS.iter() {
            let found = passes(executor, &layer, batch as u32, &operands);
            for (found, (what, expected)) in found.iter().zip(&expected) {
                assert_near(format_args!("{what} by {name}"), found, expected, GRADIENT);
            }
            let gradients = found[2].iter().zip(&clipped).filter(|(_, clipped)| **clipped);
            assert!(gradients.into_iter().all(|(&gradient, _)| gradient == 0.0), "{name}");
        }
    }
}

/// Connectivities of the user's: rows without entries, inputs that nothing reads or that one row reads twice.
#[test]
fn connectivities_equal_the_reference() {
    let pairs = [(0, 3), (0, 4), (0, 5), (0, 9), (2, 1), (2, 1), (3, 0), (4, 9), (4, 8), (4, 7), (4, 6)];
    let (few, _) = Pattern::from_coo(6, 11, &pairs).expect("a pattern");
    let random: Vec<(u32, u32)> = crate::common::random(3, 900)
        .chunks(2)
        .map(|v| ((v[0] * 20.0 + 20.0) as u32, (v[1] * 40.0 + 40.0) as u32))
        .collect();
    let (many, _) = Pattern::from_coo(41, 81, &random).expect("a pattern");
    let (none, _) = Pattern::from_coo(2, 3, &[]).expect("a pattern");
    for pattern in [few, many, none] {
        for (filters, batch) in [(1, 1), (1, 33), (4, 3), (17, 5), (64, 2)] {
            for (bias, activation) in [
                (Bias::PerLocation, Activation::Tanh),
                (Bias::PerFilter, Activation::Softmax),
                (Bias::None, Activation::Linear),
            ] {
                let layer = Geometry::from_pattern(pattern.clone(), filters, bias, activation).expect("a layer");
                check(&layer, batch, 5);
            }
        }
    }
}

/// What a layer asks for as its implementation changes no bit.
#[test]
fn implementations_are_the_same_sums() {
    let layer = geometry(&Config::new(5, [3, 3]).padding(Padding::Same), &[6, 7, 3]);
    let operands = Operands::random(&layer, 3, 1);
    for (_, executor) in EXECUTORS.iter() {
        let first = passes(executor, &layer, 3, &operands);
        for implementation in Implementation::ALL {
            assert!(passes(executor, &layer.with_implementation(implementation), 3, &operands) == first);
        }
    }
}

/// A transposed layer's forward pass is the input's gradient of the layer that it transposes.
#[test]
fn the_adjoint_is_the_transpose() {
    let config = Config::new(5, [3, 2]).strides([2, 1]).padding(Padding::Same).bias(Bias::None);
    let layer = geometry(&config, &[7, 6, 4]);
    let operands = Operands::random(&layer, 6, 2);
    for (name, executor) in EXECUTORS.iter() {
        let written: Written =
            run(executor, &graph(&layer).backward(Wanted::All), 6, &given(&operands)).expect("it runs");
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let forward = dot(&written[names::OUTPUT], &operands.grad_output);
        let adjoint = dot(&written[names::GRAD_INPUT], &operands.input);
        let weights = dot(&written[&names::gradient("local", "kernel")], &operands.weights);
        assert!(
            (forward - adjoint).abs() < 1e-3 && (forward - weights).abs() < 1e-3,
            "{name}: {forward} {adjoint} {weights}"
        );
    }
}

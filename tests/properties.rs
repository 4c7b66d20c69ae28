//! What must hold for layers of every shape: the device equals the reference, and both equal what a locally connected
//! layer is by other definitions (convolution, dense layer, transpose, numeric gradients, other libraries' cases).

mod peers;

use crate::common::{
    FORWARD, GRADIENT, Operands, Trial, activations, assert_near, check, implementations, profile, random,
};
use approx::abs_diff_eq;
use locally_connected::headless::HostGradients;
use locally_connected::{
    Activation, Bias, Config, DataFormat, DeviceProfile, Error, Geometry, Implementation, Padding, WeightType,
    reference,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

const FORMATS: [DataFormat; 2] = [DataFormat::ChannelsLast, DataFormat::ChannelsFirst];

/// The same cases on every machine and every run: a failure is there again the next time.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(20), failure_persistence: None, ..ProptestConfig::default() }
}

fn geometry(config: &Config, input_shape: &[usize]) -> Geometry {
    Geometry::new(config, input_shape).expect("a layer")
}

/// `[spatial…][channels]` in the order of `format`.
fn shape(format: DataFormat, spatial: &[usize], channels: usize) -> Vec<usize> {
    match format {
        DataFormat::ChannelsLast => [spatial, &[channels]].concat(),
        DataFormat::ChannelsFirst => [&[channels], spatial].concat(),
    }
}

/// Size, kernel, stride, dilation, and the padding before and after.
type Axis = (usize, usize, usize, usize, usize, usize);

/// Any layer of a size that the reference computes at once.
pub(crate) fn layers() -> impl Strategy<Value = (Config, Vec<usize>)> {
    let axis = |rank: usize| {
        let sizes: &[usize] = match rank {
            1 => &[1, 2, 3, 7, 13, 31, 63, 64, 65, 101, 257],
            2 => &[1, 2, 3, 5, 8, 11, 13, 17],
            _ => &[1, 2, 3, 4, 5, 7],
        };
        (select(sizes), 1..=5usize / rank.min(2), 1..=3usize, 1..=3usize, 0..=3usize, 0..=3usize)
    };
    let features = (
        select(&[1usize, 2, 3, 4, 5, 8][..]),
        select(&[1usize, 2, 3, 4, 5, 8, 12, 17][..]),
        select(&[1usize, 1, 2, 3][..]),
    );
    let choices = (
        0..5u8,
        select(&FORMATS[..]),
        select(&[Bias::None, Bias::PerLocation, Bias::PerFilter][..]),
        select(activations()),
        select(&[WeightType::F32, WeightType::F32, WeightType::F16][..]),
    );
    let axes = (1..=3usize).prop_flat_map(move |rank| proptest::collection::vec(axis(rank), rank));
    (axes, features, choices).prop_map(
        |(axes, (channels, filters, groups), (padding, format, bias, activation, dtype))| {
            let of = |pick: fn(&Axis) -> usize| axes.iter().map(pick).collect::<Vec<_>>();
            let padding = match padding {
                0 => Padding::Valid,
                1 => Padding::Same,
                2 => Padding::SameUpper,
                3 => Padding::Circular,
                _ => Padding::Explicit(axes.iter().map(|a| [a.4, a.5]).collect()),
            };
            // Where windows must lie inside the (padded) input, it is at least as large as they are.
            let spatial: Vec<usize> = axes
                .iter()
                .map(|&(n, k, _, d, before, after)| match padding {
                    Padding::Valid => n.max((k - 1) * d + 1),
                    Padding::Explicit(_) => n.max(((k - 1) * d + 1).saturating_sub(before + after)),
                    _ => n,
                })
                .collect();
            let config = Config::new(filters * groups, of(|a| a.1))
                .strides(of(|a| a.2))
                .dilation_rate(of(|a| a.3))
                .padding(padding)
                .groups(groups)
                .data_format(format)
                .bias(bias)
                .activation(activation)
                .dtype(dtype);
            (config, shape(format, &spatial, channels * groups))
        },
    )
}

/// As many samples as `wanted`, fewer for large layers.
pub(crate) fn batch(geometry: &Geometry, wanted: u64) -> u64 {
    wanted.min(1 + 500_000 / geometry.connected_weights().max(1))
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
        check(Trial { geometry: &layer, batch: batch(&layer, wanted), seed }, &profile());
    }
}

/// Compares where both are finite, after asking for the same NaN or infinity everywhere else.
pub(crate) fn assert_same_kind(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let (mut finite, mut wanted) = (Vec::new(), Vec::new());
    for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        if expected.is_finite() {
            assert!(found.is_finite(), "{what}[{at}] is {found} for {expected}");
            finite.push(found);
            wanted.push(expected);
        } else {
            let same = found.is_nan() && expected.is_nan() || f64::from(found) == expected;
            assert!(same, "{what}[{at}] is {found} for {expected}");
        }
    }
    assert_near(what, &finite, &wanted, tolerance);
}

/// Places among three operands, and which of three values is to stand there.
pub(crate) fn places() -> impl Strategy<Value = Vec<(usize, prop::sample::Index, usize)>> {
    proptest::collection::vec((0..3usize, any::<prop::sample::Index>(), 0..3usize), 1..4)
}

/// The operands with NaN and infinities in some places of the input, the weights and the gradient of the output.
pub(crate) fn not_finite(mut operands: Operands, places: &[(usize, prop::sample::Index, usize)]) -> Operands {
    for &(operand, index, value) in places {
        let values = [&mut operands.input, &mut operands.weights, &mut operands.grad_output];
        let Some(values) = values.into_iter().nth(operand).filter(|values| !values.is_empty()) else { continue };
        let at = index.index(values.len());
        values[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][value];
    }
    operands
}

proptest! {
    #![proptest_config(cases(60))]

    /// NaN and infinities in the input, the weights and the gradient of the output reach what is connected to them, and
    /// nothing else: by every implementation and every form of its kernels.
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
        let expected = operands.reference(&layer);
        let possible = implementations(&layer, &profile());
        for (implementation, profile) in crate::common::runs(&possible, &layer, &profile()) {
            let (output, gradients) =
                operands.device(&layer.with_implementation(implementation), &profile).expect("the passes run");
            let by = format!("{implementation:?}, {:?}", profile.strategy);
            assert_same_kind(&format!("output by {by}"), &output, &expected.output, FORWARD);
            assert_same_kind(&format!("grad_input by {by}"), &gradients.input, &expected.grad_input, GRADIENT);
            assert_same_kind(&format!("grad_weights by {by}"), &gradients.weights, &expected.grad_weights, GRADIENT);
            assert_same_kind(&format!("grad_bias by {by}"), &gradients.bias, &expected.grad_bias, GRADIENT);
        }
    }
}

proptest! {
    #![proptest_config(cases(40))]

    /// ⟨LC(x), y⟩ = ⟨x, LCᵀ(y)⟩, and as the layer is linear in its weights too, = ⟨w, grad_weights⟩.
    #[test]
    fn gradients_are_the_transpose((config, input_shape) in layers(), wanted in 1..9u64, seed in 0..1000u64) {
        let layer = geometry(&config.activation(Activation::Linear).bias(Bias::None).dtype(WeightType::F32), &input_shape);
        let operands = Operands::random(&layer, batch(&layer, wanted), seed);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let norm = |a: &[f32]| dot(a, a).sqrt();
        for (output, gradients) in passes(&layer, &operands) {
            let expected = dot(&output, &operands.grad_output);
            let scale = norm(&output) * norm(&operands.grad_output) + 1.0;
            for (what, found) in [
                ("input", dot(&operands.input, &gradients.input)),
                ("weights", dot(&operands.weights, &gradients.weights)),
            ] {
                let near = abs_diff_eq!(found, expected, epsilon = FORWARD * scale);
                prop_assert!(near, "by {what}: {found} for {expected}");
            }
        }
    }
}

/// Output and gradients by every implementation that can.
fn passes(geometry: &Geometry, operands: &Operands) -> Vec<(Vec<f32>, HostGradients)> {
    let run = |by: Implementation| operands.device(&geometry.with_implementation(by), &profile()).expect("it runs");
    implementations(geometry, &profile()).into_iter().map(run).collect()
}

/// Sizes around those of workgroups and tiles, where an index off by one shows.
#[test]
fn edge_shapes_equal_the_reference() {
    for (spatial, kernel, channels, filters, batch) in [
        (&[1][..], &[1][..], 1, 1, 1),
        (&[1, 1], &[1, 1], 1, 1, 3),
        (&[1, 1, 1], &[1, 1, 1], 7, 5, 2),
        (&[63], &[3], 3, 5, 5),
        (&[64], &[1], 1, 64, 2),
        (&[65], &[64], 1, 3, 2),
        (&[66], &[3], 1, 1, 65),
        (&[129], &[5], 7, 67, 3),
        (&[300], &[2], 1, 3, 9),
        (&[7, 9], &[7, 9], 3, 67, 4),
        (&[63, 2], &[2, 1], 7, 1, 3),
        (&[1, 65], &[1, 64], 3, 5, 8),
        (&[9, 8], &[3, 3], 1, 64, 7),
        (&[5, 300], &[5, 2], 1, 3, 2),
        (&[3, 5, 7], &[2, 3, 5], 3, 5, 9),
        (&[2, 1, 65], &[1, 1, 3], 1, 67, 2),
    ] {
        for format in FORMATS {
            let config = Config::new(filters, kernel).data_format(format).activation(Activation::RELU);
            check(
                Trial { geometry: &geometry(&config, &shape(format, spatial, channels)), batch, seed: 7 },
                &profile(),
            );
        }
    }
}

/// Axes along which no window has a position of the input, for every kernel: what comes through the others is of no use.
#[test]
fn windows_beside_the_input_read_nothing() {
    for (outer, inner) in [([1, 1], [0, 0]), ([0, 0], [4, 4]), ([1, 1], [4, 4])] {
        for (channels, filters, batch) in [(1, 1, 1), (3, 5, 2), (4, 16, 9)] {
            let padding = Padding::Explicit(vec![outer, inner]);
            let config = Config::new(filters, [1, 3]).strides([9, 99]).padding(padding);
            check(Trial { geometry: &geometry(&config, &[1, 9, channels]), batch, seed: 3 }, &profile());
        }
    }
}

#[test]
fn every_batch_size_equals_the_reference() {
    for batch in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65] {
        let config = Config::new(5, [3]).strides([2]).activation(Activation::Mish);
        check(Trial { geometry: &geometry(&config, &[13, 3]), batch, seed: batch }, &profile());
        let config = Config::new(3, [2, 2]).padding(Padding::Same).data_format(DataFormat::ChannelsFirst);
        check(Trial { geometry: &geometry(&config, &[2, 4, 5]), batch, seed: batch }, &profile());
    }
}

/// Every activation and its derivative over values from far below to far above its corners.
#[test]
fn every_activation_equals_the_reference() {
    for activation in activations() {
        for format in FORMATS {
            let config = Config::new(6, [5]).data_format(format).activation(activation);
            let layer = geometry(&config, &shape(format, &[23], 4));
            check(Trial { geometry: &layer, batch: 11, seed: 3 }, &profile());
        }
    }
}

/// More locations than a dispatch has workgroups along one axis (65,535), rows of softmax among them.
#[test]
fn more_than_65535_locations_equal_the_reference() {
    let config = Config::new(1, [3]).activation(Activation::Tanh);
    check(Trial { geometry: &geometry(&config, &[70_001, 1]), batch: 2, seed: 1 }, &profile());
    let config = Config::new(2, [3]).padding(Padding::Same).activation(Activation::Softmax);
    check(Trial { geometry: &geometry(&config, &[70_001, 1]), batch: 1, seed: 1 }, &profile());
}

/// Sums of more than 65,535 terms in every pass. llvmpipe ends an invocation's loops, all of them together, after so
/// many iterations without a word (LP_MAX_TGSI_LOOP_ITERATIONS): what would be wrong there is refused, and sums over
/// the batch or over shared locations are cut so that they are right. All operands are small integers, so that every
/// order of summation is exact.
#[test]
fn sums_longer_than_65535_terms_are_exact_or_refused() {
    for (config, input_shape, batch, may_be_refused) in [
        (Config::new(1, [70_001]), &[70_001, 1][..], 1, false),
        (Config::new(1, [300]), &[300, 301], 2, false),
        (Config::new(4, [2, 300]), &[2, 300, 512], 1, false),
        (Config::new(70_001, [1]), &[1, 1], 1, true),
        (Config::new(1, [1]), &[1, 1], 70_001, false),
        (Config::new(4, [1]), &[1, 4], 70_001, false),
        (Config::new(1, [1, 2]).bias(Bias::PerFilter), &[265, 266, 1], 1, false),
        (Config::new(3, [1]).bias(Bias::PerFilter), &[300, 1], 301, false),
    ] {
        let layer = geometry(&config, input_shape);
        let mut operands = Operands::random(&layer, batch, 1);
        let Operands { input, weights, bias, grad_output } = &mut operands;
        for value in [input, weights, bias, grad_output].into_iter().flatten() {
            *value = (*value * 4.0).round();
        }
        let expected = operands.reference(&layer);
        let may_be_refused = may_be_refused && profile().max_iterations < u64::MAX;
        for implementation in implementations(&layer, &profile()) {
            let (output, gradients) = match operands.device(&layer.with_implementation(implementation), &profile()) {
                Err(Error::Limit { unit: "turns of a loop", .. }) if may_be_refused => continue,
                result => result.expect("it runs"),
            };
            for (what, found, expected) in [
                ("output", output, &expected.output),
                ("grad_input", gradients.input, &expected.grad_input),
                ("grad_weights", gradients.weights, &expected.grad_weights),
                ("grad_bias", gradients.bias, &expected.grad_bias),
            ] {
                let what =
                    format_args!("{what} by {implementation:?} of batch {batch}, input {input_shape:?}, {config:?}");
                assert_near(what, &found, expected, 0.0);
            }
        }
    }
}

/// The weights of taps that padding clips may be anything: no pass reads them, and their gradient is 0.
#[test]
fn clipped_weights_are_never_read() {
    for (filters, channels, batch) in [(8, 4, 3), (3, 2, 20), (16, 5, 33)] {
        let config = Config::new(filters, [3, 2]).padding(Padding::Same).activation(Activation::Tanh);
        let layer = geometry(&config, &[4, 5, channels]);
        let mut operands = Operands::random(&layer, batch, 3);
        let expected = operands.reference(&layer);
        let row = (layer.group_channels() * layer.group_filters()) as usize;
        let clipped: Vec<bool> = (0..layer.locations())
            .flat_map(|p| (0..layer.taps()).map(move |t| (p, t)))
            .flat_map(|(p, t)| std::iter::repeat_n(layer.tap(p, t).is_none(), row))
            .collect();
        assert!(clipped.contains(&true) && clipped.contains(&false) && clipped.len() == operands.weights.len());
        for (weight, _) in operands.weights.iter_mut().zip(&clipped).filter(|(_, clipped)| **clipped) {
            *weight = f32::NAN;
        }
        for (implementation, profile) in crate::common::runs(&Implementation::ALL, &layer, &profile()) {
            let by = layer.with_implementation(implementation);
            let (output, gradients) = operands.device(&by, &profile).expect("it runs");
            let strategy = profile.strategy;
            for (what, found, expected) in [
                ("output", &output, &expected.output),
                ("grad_input", &gradients.input, &expected.grad_input),
                ("grad_weights", &gradients.weights, &expected.grad_weights),
            ] {
                assert_near(format_args!("{what} by {implementation:?}, {strategy:?}"), found, expected, GRADIENT);
            }
            let gradients = gradients.weights.iter().zip(&clipped).filter(|(_, clipped)| **clipped);
            assert!(gradients.into_iter().all(|(&gradient, _)| gradient == 0.0), "{implementation:?}, {strategy:?}");
        }
    }
}

/// More workgroups than a dispatch has along one axis, so that they are folded over two.
#[test]
fn more_than_65535_workgroups_equal_the_reference() {
    let layer = geometry(&Config::new(1, [1]), &[65_536 * 64 + 1, 1]);
    let defaults = DeviceProfile::webgpu_defaults();
    let plans = crate::common::plans(&layer.with_implementation(Implementation::Loop), 1, &defaults).expect("planned");
    for planned in &plans {
        let folded = planned.plan.dispatches().any(|dispatch| dispatch.workgroups[1] > 1);
        assert!(folded, "nothing is folded: {planned:?}");
    }
    check(Trial { geometry: &layer, batch: 1, seed: 1 }, &profile());
}

/// Convolution with shared weights `[taps][channels][filters]`, by its definition; `pads` is before each axis. Two
/// spatial axes, channels last, no bias.
struct Convolution {
    input: [usize; 2],
    output: [usize; 2],
    kernel: [usize; 2],
    strides: [usize; 2],
    dilation: [usize; 2],
    pads: [usize; 2],
    channels: usize,
    filters: usize,
}

impl Convolution {
    /// Calls `visit` with (input element, weight, output element) of one sample.
    fn for_each(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let at = |axis: usize, o: usize, k: usize| {
            let at = (o * self.strides[axis] + k * self.dilation[axis]).checked_sub(self.pads[axis])?;
            (at < self.input[axis]).then_some(at)
        };
        for (oy, ox) in (0..self.output[0]).flat_map(|y| (0..self.output[1]).map(move |x| (y, x))) {
            for (ky, kx) in (0..self.kernel[0]).flat_map(|y| (0..self.kernel[1]).map(move |x| (y, x))) {
                let (Some(y), Some(x)) = (at(0, oy, ky), at(1, ox, kx)) else { continue };
                for (c, f) in (0..self.channels).flat_map(|c| (0..self.filters).map(move |f| (c, f))) {
                    visit(
                        (y * self.input[1] + x) * self.channels + c,
                        ((ky * self.kernel[1] + kx) * self.channels + c) * self.filters + f,
                        (oy * self.output[1] + ox) * self.filters + f,
                    );
                }
            }
        }
    }
}

/// JAX's test of local convolution: weights tiled over all locations make the layer a convolution, and its kernel
/// gradient summed over the locations the convolution's.
#[test]
fn tiled_weights_equal_convolution() {
    let (channels, filters, batch, kernel) = (3, 4, 3u64, [3, 2]);
    for input in [[7, 6], [8, 9]] {
        for (strides, dilation) in [([1, 1], [1, 1]), ([1, 2], [1, 1]), ([2, 3], [2, 1]), ([1, 1], [2, 2])] {
            for padding in [Padding::Valid, Padding::SameUpper, Padding::Explicit(vec![[2, 0], [1, 3]])] {
                let span = [0, 1].map(|a| (kernel[a] - 1) * dilation[a] + 1);
                // What each mode means, by TensorFlow's documentation.
                let (output, pads) = match &padding {
                    Padding::Valid => ([0, 1].map(|a| (input[a] - span[a]) / strides[a] + 1), [0, 0]),
                    Padding::Explicit(pads) => (
                        [0, 1].map(|a| (input[a] + pads[a][0] + pads[a][1] - span[a]) / strides[a] + 1),
                        [0, 1].map(|a| pads[a][0]),
                    ),
                    _ => {
                        let output = [0, 1].map(|a: usize| input[a].div_ceil(strides[a]));
                        let total = [0, 1].map(|a| ((output[a] - 1) * strides[a] + span[a]).saturating_sub(input[a]));
                        (output, total.map(|total| total / 2))
                    }
                };
                let conv = Convolution { input, output, kernel, strides, dilation, pads, channels, filters };
                let config = Config::new(filters, kernel)
                    .strides(strides)
                    .dilation_rate(dilation)
                    .padding(padding)
                    .bias(Bias::None);
                let layer = geometry(&config, &shape(DataFormat::ChannelsLast, &input, channels));
                assert_eq!(layer.output_spatial(), output);

                let shared = random(5, u64::from(layer.window() * layer.filters()));
                let mut operands = Operands::random(&layer, batch, 6);
                operands.weights = shared.repeat(layer.locations() as usize);
                let mut y = vec![0.0; operands.grad_output.len()];
                let (mut dx, mut dw) = (vec![0.0; operands.input.len()], vec![0.0; shared.len()]);
                for n in 0..batch as usize {
                    let (from, to) = (n * layer.inputs() as usize, n * layer.outputs() as usize);
                    conv.for_each(|i, w, o| {
                        let [x, weight, dy] =
                            [operands.input[from + i], shared[w], operands.grad_output[to + o]].map(f64::from);
                        y[to + o] += x * weight;
                        dx[from + i] += weight * dy;
                        dw[w] += x * dy;
                    });
                }
                for (output, gradients) in passes(&layer, &operands) {
                    assert_near(format_args!("output of {config:?}"), &output, &y, FORWARD);
                    assert_near(format_args!("grad_input of {config:?}"), &gradients.input, &dx, GRADIENT);
                    let sums: Vec<f32> = (0..shared.len())
                        .map(|k| gradients.weights.iter().skip(k).step_by(shared.len()).sum())
                        .collect();
                    assert_near(format_args!("grad_weights of {config:?}"), &sums, &dw, GRADIENT);
                }
            }
        }
    }
}

/// `[rows][inner] · [inner][columns]`, plus a bias of as many columns.
fn matmul(x: &[f32], w: &[f32], bias: &[f32]) -> Vec<f64> {
    let (inner, columns) = (w.len() / bias.len(), bias.len());
    x.chunks_exact(inner)
        .flat_map(|row| {
            (0..columns).map(move |f| {
                let products = row.iter().zip(w.iter().skip(f).step_by(columns));
                products.map(|(&x, &w)| f64::from(x) * f64::from(w)).sum::<f64>() + f64::from(bias[f])
            })
        })
        .collect()
}

#[test]
fn kernel_as_large_as_the_input_is_a_dense_layer() {
    for spatial in [&[13][..], &[5, 7], &[3, 2, 4]] {
        let layer = geometry(&Config::new(11, spatial), &shape(DataFormat::ChannelsLast, spatial, 3));
        let operands = Operands::random(&layer, 6, 2);
        let expected = matmul(&operands.input, &operands.weights, &operands.bias);
        for (output, _) in passes(&layer, &operands) {
            assert_near(format_args!("{spatial:?}"), &output, &expected, FORWARD);
        }
    }
}

#[test]
fn kernel_of_one_is_a_dense_layer_per_position() {
    for spatial in [&[13][..], &[5, 7], &[3, 2, 4]] {
        let ones = vec![1; spatial.len()];
        let (channels, filters, batch) = (3, 4, 5);
        let layer = geometry(&Config::new(filters, ones), &shape(DataFormat::ChannelsLast, spatial, channels));
        let operands = Operands::random(&layer, batch, 3);
        let mut expected = Vec::new();
        for (sample, p) in (0..batch as usize).flat_map(|n| (0..layer.positions() as usize).map(move |p| (n, p))) {
            let x = &operands.input[sample * layer.inputs() as usize + p * channels..][..channels];
            let w = &operands.weights[p * channels * filters..][..channels * filters];
            expected.extend(matmul(x, w, &operands.bias[p * filters..][..filters]));
        }
        for (output, _) in passes(&layer, &operands) {
            assert_near(format_args!("{spatial:?}"), &output, &expected, FORWARD);
        }
    }
}

/// Central differences of the reference's loss in f64 equal its gradients, which the device equals elsewhere.
#[test]
fn gradients_equal_numeric_ones() {
    for activation in activations() {
        let config = Config::new(2, [2, 3]).strides([2, 1]).padding(Padding::Same).activation(activation);
        let layer = geometry(&config, &[3, 4, 2]);
        let operands = Operands::random(&layer, 2, 9);
        let loss = |operands: &Operands| -> f64 {
            let y = operands.reference(&layer).output;
            y.iter().zip(&operands.grad_output).map(|(y, &dy)| y * f64::from(dy)).sum()
        };
        let exact = operands.reference(&layer);
        for (what, select, expected) in [
            ("input", (|o| &mut o.input) as fn(&mut Operands) -> &mut Vec<f32>, &exact.grad_input),
            ("weights", |o| &mut o.weights, &exact.grad_weights),
            ("bias", |o| &mut o.bias, &exact.grad_bias),
        ] {
            for (i, expected) in expected.iter().enumerate() {
                let [mut more, mut less] = [operands.clone(), operands.clone()];
                let (up, down) = (&mut select(&mut more)[i], &mut select(&mut less)[i]);
                *up += 1.0 / 8192.0;
                *down -= 1.0 / 8192.0;
                let step = f64::from(*up) - f64::from(*down);
                let numeric = (loss(&more) - loss(&less)) / step;
                let near = abs_diff_eq!(numeric, *expected, epsilon = 1e-6 * (1.0 + expected.abs()));
                assert!(near, "{activation:?}, {what} {i}: {numeric} for {expected}");
            }
        }
    }
}

/// Channels last and channels first are one function of permuted arrays.
#[test]
fn data_formats_differ_by_a_permutation_only() {
    for (spatial, kernel) in [(&[9][..], &[4][..]), (&[5, 6], &[2, 3]), (&[3, 4, 2], &[2, 2, 2])] {
        let config = Config::new(6, kernel).groups(2).padding(Padding::Same).activation(Activation::Tanh);
        let [last, first] =
            FORMATS.map(|format| geometry(&config.clone().data_format(format), &shape(format, spatial, 4)));
        let operands = Operands::random(&last, 3, 4);
        // Per sample: [points][features] to [features][points].
        let transpose = |values: &[f32], points: u32, features: u32| -> Vec<f32> {
            let (points, features) = (points as usize, features as usize);
            let samples = values.chunks_exact(points * features);
            samples.flat_map(|s| (0..points * features).map(|i| s[i % points * features + i / points])).collect()
        };
        let x = |values: &[f32]| transpose(values, last.positions(), last.channels());
        let y = |values: &[f32]| transpose(values, last.locations(), last.filters());
        let permuted = Operands {
            input: x(&operands.input),
            weights: operands.weights.clone(),
            bias: y(&operands.bias),
            grad_output: y(&operands.grad_output),
        };
        for (last, first) in passes(&last, &operands).iter().zip(passes(&first, &permuted)) {
            let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
            assert_near("output", &first.0, &wide(y(&last.0)), FORWARD);
            assert_near("grad_input", &first.1.input, &wide(x(&last.1.input)), GRADIENT);
            assert_near("grad_weights", &first.1.weights, &wide(last.1.weights.clone()), GRADIENT);
            assert_near("grad_bias", &first.1.bias, &wide(y(&last.1.bias)), GRADIENT);
        }
    }
}

/// The reference alone against the definition, once: a group sees its own channels only, a clipped tap is nothing.
#[test]
fn reference_of_groups_and_clipped_taps() {
    let config = Config::new(2, [2]).groups(2).padding(Padding::Explicit(vec![[1, 0]]));
    let layer = geometry(&config, &[2, 2]);
    // x[position][channel]; weights [location][group][tap]; bias [location][filter].
    let (x, w) = ([1.0, 10.0, 2.0, 20.0], [7.0, 1.0, 7.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let y = reference::local_forward(&layer, &x, &w, &[0.5, 0.25, 0.0, 1.0]);
    assert_eq!(y, [1.5, 20.25, 11.0, 171.0]);
}

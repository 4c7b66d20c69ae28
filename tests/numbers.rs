//! Numbers at the ends of their ranges, on every executor: weights that 16 bits can't hold, and values whose sums 32 bits can't.

use crate::common::{FORWARD, GPU, GRADIENT, Operands, RESULTS, assert_near, profile, runs};
#[cfg(feature = "cpu")]
use crate::cpu::{EXECUTORS, passes};
use locally_connected::{Bias, Config, Geometry, Implementation, LocallyConnected, Padding, WeightType};

/// Weights, and what 16 bits make of them: 11 bits that count, to nearest, ties to even; from 65,520 on infinite; whole multiples of
/// 2⁻²⁴ below 2⁻¹⁴.
const ROUNDED: [(f32, f32); 16] = [
    (1.0, 1.0),
    (1.0 + 1.0 / 2048.0, 1.0),
    (1.0 + 3.0 / 2048.0, 1.0 + 1.0 / 512.0),
    (1.0 + 1.0 / 2048.0 + 1.0 / 65_536.0, 1.0 + 1.0 / 1024.0),
    (-2049.0, -2048.0),
    (2051.0, 2052.0),
    (65_504.0, 65_504.0),
    (65_519.99, 65_504.0),
    (65_520.0, f32::INFINITY),
    (-65_520.0, f32::NEG_INFINITY),
    (f32::MAX, f32::INFINITY),
    (f32::NEG_INFINITY, f32::NEG_INFINITY),
    // 2⁻¹⁴, 2⁻²⁴, just more than half of it, and half.
    (0.000_061_035_156, 0.000_061_035_156),
    (0.000_000_059_604_645, 0.000_000_059_604_645),
    (-0.000_000_029_802_326, -0.000_000_059_604_645),
    (0.000_000_029_802_322, 0.0),
];

/// A layer whose outputs are its weights, where its inputs are 1.
fn weights_as_they_are() -> (Geometry, Operands, Vec<u32>) {
    let config = Config::new(1, [1]).bias(Bias::None).dtype(WeightType::F16);
    let geometry = Geometry::new(&config, &[ROUNDED.len(), 1]).expect("a layer");
    let weights: Vec<f32> = ROUNDED.iter().map(|(given, _)| *given).collect();
    let ones = vec![1.0; ROUNDED.len()];
    let operands = Operands { input: ones.clone(), weights, bias: Vec::new(), grad_output: ones };
    (geometry, operands, ROUNDED.iter().map(|(_, held)| held.to_bits()).collect())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn weights_in_16_bits_round_and_overflow_on_a_device() {
    let (geometry, operands, expected) = weights_as_they_are();
    let layer = pollster::block_on(async {
        let layer = LocallyConnected::with_geometry(GPU.context(), geometry.clone()).await.expect("a layer");
        layer.write_canonical(&operands.weights).await.expect("its length");
        layer
    });
    let held = pollster::block_on(GPU.read_weights(&layer, layer.weights())).expect("it is there");
    assert_eq!(bits(&held), expected, "what is held");
    for (implementation, profile) in runs(&Implementation::ALL, &geometry, &profile()) {
        let by = geometry.with_implementation(implementation);
        let (output, _) = operands.device(&by, &profile).expect("it runs");
        assert_eq!(bits(&output), expected, "{implementation:?}, {:?}", profile.strategy);
    }
}

#[cfg(feature = "cpu")]
#[test]
fn weights_in_16_bits_round_and_overflow_on_the_host() {
    let (geometry, operands, expected) = weights_as_they_are();
    for (name, executor) in EXECUTORS.iter() {
        let [output, ..] = passes(executor, &geometry, 1, &operands);
        assert_eq!(bits(&output), expected, "{name}");
    }
}

/// A layer's results by all that computes it.
fn everywhere(geometry: &Geometry, batch: u64, operands: &Operands) -> Vec<(String, [Vec<f32>; 4])> {
    let mut all = Vec::new();
    for (implementation, profile) in runs(&Implementation::ALL, geometry, &profile()) {
        let by = geometry.with_implementation(implementation);
        let (output, gradients) = operands.device(&by, &profile).expect("it runs");
        let results = [output, gradients.input, gradients.weights, gradients.bias];
        all.push((format!("{implementation:?}, {:?}", profile.strategy), results));
    }
    #[cfg(feature = "cpu")]
    for (name, executor) in EXECUTORS.iter() {
        all.push((name.clone(), passes(executor, geometry, batch as u32, operands)));
    }
    all
}

fn scaled(values: &mut [f32], factor: f32) {
    values.iter_mut().for_each(|value| *value *= factor);
}

/// Sums of products near 10³⁶ are as near as any; nothing between is larger than they are.
#[test]
fn sums_of_huge_values_are_near() {
    for (filters, shape, batch) in [(8, [13, 4], 9), (3, [20, 2], 2)] {
        let config = Config::new(filters, [3]).padding(Padding::Same);
        let geometry = Geometry::new(&config, &shape).expect("a layer");
        let mut operands = Operands::random(&geometry, batch, 5);
        let Operands { input, weights, bias, grad_output } = &mut operands;
        scaled(input, 1e18);
        scaled(weights, 1e18);
        scaled(bias, 1e36);
        scaled(grad_output, 1e17);
        let expected = operands.reference(&geometry);
        let expected = [expected.output, expected.grad_input, expected.grad_weights, expected.grad_bias];
        for (name, found) in everywhere(&geometry, batch, &operands) {
            for (((what, found), expected), tolerance) in
                RESULTS.iter().zip(&found).zip(&expected).zip([FORWARD, GRADIENT, GRADIENT, GRADIENT])
            {
                assert_near(format_args!("{what} by {name}"), found, expected, tolerance);
            }
        }
    }
}

/// A sum that 32 bits can't hold is infinite, with its sign: it neither wraps nor stays at the largest number.
#[test]
fn sums_that_are_too_large_are_infinite() {
    let config = Config::new(8, [3]).padding(Padding::Same).bias(Bias::None);
    let geometry = Geometry::new(&config, &[13, 4]).expect("a layer");
    for sign in [1.0, -1.0] {
        let mut operands = Operands::random(&geometry, 9, 5);
        let Operands { input, weights, grad_output, .. } = &mut operands;
        input.iter_mut().for_each(|value| *value = 1e20 * (1.0 + value.abs()));
        weights.iter_mut().for_each(|value| *value = sign * 1e20 * (1.0 + value.abs()));
        grad_output.iter_mut().for_each(|value| *value = 1e20 * (1.0 + value.abs()));
        // Dense multiplies the zeroes of its matrix, too, but with nothing infinite; its products are the same.
        for (name, [output, grad_input, ..]) in everywhere(&geometry, 9, &operands) {
            for (what, found) in [("output", output), ("grad_input", grad_input)] {
                let wrong = found.iter().position(|&value| value != sign * f32::INFINITY);
                assert_eq!(wrong.map(|at| found[at]), None, "{what} by {name}");
            }
        }
    }
}

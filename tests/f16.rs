//! Weights stored as 16-bit floats: exactly what the reference gives for the rounded weights, by every implementation.

use crate::common::{FORWARD, GPU, Operands, Trial, assert_near, check, disagreement, largest, runs};
use half::f16;
use locally_connected::{Config, DataFormat, Geometry, Implementation, LocallyConnected, Padding, WeightType};

fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&v| f16::from_f32(v).to_f32()).collect()
}

#[test]
fn passes_equal_the_reference_on_rounded_weights() {
    let configs = [
        (Config::new(8, [3, 3]).padding(Padding::Same), vec![6, 5, 4]),
        // Odd numbers of weights, filters and channels: halves of a word belong to different rows.
        (Config::new(3, [3, 2]).strides([2, 1]), vec![7, 5, 3]),
        (Config::new(5, [3]).data_format(DataFormat::ChannelsFirst), vec![2, 9]),
        (Config::new(1, [3]), vec![8, 1]),
    ];
    for (config, shape) in configs {
        let geometry = Geometry::new(&config.dtype(WeightType::F16), &shape).expect("fits");
        let mut operands = Operands::random(&geometry, 5, 7);
        operands.weights = rounded(&operands.weights);
        let expected = operands.reference(&geometry);
        for (implementation, profile) in runs(&Implementation::ALL, &geometry, GPU.context().profile()) {
            let by = geometry.with_implementation(implementation);
            let (output, gradients) = operands.device(&by, &profile).expect("runs");
            assert_near("output", &output, &expected.output, FORWARD);
            assert_near("grad_input", &gradients.input, &expected.grad_input, FORWARD);
            assert_near("grad_weights", &gradients.weights, &expected.grad_weights, FORWARD);
        }
    }
}

#[test]
fn weights_take_half_the_bytes_and_are_rounded_on_upload() {
    let geometry = |dtype| Geometry::new(&Config::new(3, [3, 3]).dtype(dtype), &[6, 6, 1]).expect("fits");
    let layer = |dtype| pollster::block_on(LocallyConnected::with_geometry(GPU.context(), geometry(dtype)));
    let (full, half) = (layer(WeightType::F32).expect("built"), layer(WeightType::F16).expect("built"));
    assert_eq!(full.weights().ranges()[0].size, 2 * half.weights().ranges()[0].size);
    let operands = Operands::random(half.geometry(), 1, 9);
    pollster::block_on(half.write_canonical(&operands.weights)).expect("its length");
    let read = pollster::block_on(GPU.read_weights(&half, half.weights())).expect("read");
    assert_eq!(read, rounded(&operands.weights));
}

/// Against unrounded weights the error is that of 11-bit weights: small, but not that of f32.
#[test]
fn the_error_is_that_of_eleven_bits() {
    let config = Config::new(16, [5, 5]).dtype(WeightType::F16);
    let geometry = Geometry::new(&config, &[12, 12, 16]).expect("fits");
    let operands = Operands::random(&geometry, 2, 3);
    let (output, _) = operands.device(&geometry, GPU.context().profile()).expect("runs");
    let expected = operands.reference(&geometry).output;
    assert_near("output", &output, &expected, 1e-3);
    assert!(disagreement(&output, &expected, 1e-6 * largest(&expected)).is_some(), "the weights were not rounded");
    check(
        Trial {
            geometry: &Geometry::new(&config.dtype(WeightType::F32), &[12, 12, 16]).expect("fits"),
            batch: 2,
            seed: 3,
        },
        GPU.context().profile(),
    );
}

//! What the tests share: a device, random values, comparisons, and whole passes on the device.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test binary uses its own part"
)]

use locally_connected::headless::{Gpu, GpuOptions, HostGradients};
use locally_connected::reference::{self, Passes};
use locally_connected::{Context, DeviceProfile, Geometry, LocallyConnected, Result};
use std::sync::LazyLock;

/// The adapter under test; without one every test fails.
pub static GPU: LazyLock<Gpu> =
    LazyLock::new(|| pollster::block_on(Gpu::with_options(&GpuOptions::default())).expect("tests need an adapter"));

/// Uniform values in -1..1 from a seed (splitmix64).
pub fn random(seed: u64, count: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Everything a layer computes from, at random.
#[derive(Debug, Clone)]
pub struct Operands {
    pub input: Vec<f32>,
    pub kernel: Vec<f32>,
    pub bias: Vec<f32>,
    pub grad_output: Vec<f32>,
}

impl Operands {
    pub fn random(geometry: &Geometry, batch: u64, seed: u64) -> Self {
        Self {
            input: random(seed, batch * geometry.inputs()),
            kernel: random(seed + 1, geometry.weights()),
            bias: random(seed + 2, geometry.biases()),
            grad_output: random(seed + 3, batch * geometry.outputs()),
        }
    }

    pub fn reference(&self, geometry: &Geometry) -> Passes {
        reference::passes(geometry, &self.input, &self.kernel, &self.bias, &self.grad_output)
    }

    /// Output and gradients on the device, planned with `profile`.
    pub fn device(&self, geometry: &Geometry, profile: &DeviceProfile) -> Result<(Vec<f32>, HostGradients)> {
        let context = Context::with_profile(GPU.context().device(), GPU.context().queue(), profile.clone());
        pollster::block_on(async {
            let layer = LocallyConnected::with_geometry(&context, geometry.clone()).await?;
            layer.write_canonical(&self.kernel)?;
            if !self.bias.is_empty() {
                layer.write_bias(&self.bias)?;
            }
            let output = GPU.forward(&layer, &self.input).await?;
            let gradients = GPU.backward(&layer, &self.input, &self.grad_output).await?;
            Ok((output, gradients))
        })
    }
}

/// The largest difference over the largest magnitude of what is expected (or over 1, where all of it is smaller, as in
/// sums that cancel).
pub fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "lengths differ");
    let largest = expected.iter().fold(1.0f64, |a, b| a.max(b.abs()));
    let worst = found.iter().zip(expected).map(|(&f, e)| {
        let difference = (f64::from(f) - e).abs();
        // A NaN must not pass for small.
        if difference.is_nan() { f64::INFINITY } else { difference }
    });
    worst.fold(0.0, f64::max) / largest
}

/// Compares a forward and backward pass on the device with the reference.
pub fn check(geometry: &Geometry, batch: u64, seed: u64, profile: &DeviceProfile, tolerance: f64) {
    let operands = Operands::random(geometry, batch, seed);
    let expected = operands.reference(geometry);
    let (output, gradients) = operands.device(geometry, profile).expect("the passes run");
    for (what, found, expected) in [
        ("output", &output, &expected.output),
        ("grad_input", &gradients.input, &expected.grad_input),
        ("grad_kernel", &gradients.kernel, &expected.grad_kernel),
        ("grad_bias", &gradients.bias, &expected.grad_bias),
    ] {
        let error = error(found, expected);
        assert!(
            error <= tolerance,
            "{what} is off by {error:e} for batch {batch}, input {:?}, {:?}",
            geometry.input_shape(),
            geometry.config()
        );
    }
}

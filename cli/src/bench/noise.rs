//! Random operands: devices are sometimes faster with zeroes or equal values.

use crate::random::Random;
use locally_connected::headless::Gpu;
use locally_connected::wgpu;

/// Values in a block: a prime, so that repetitions don't coincide with rows or windows.
const BLOCK: u64 = 1_048_573;

/// A block of random values between -½ and ½, on the host and on the device. Larger arrays repeat it.
pub(crate) struct Noise {
    pub(crate) host: HostNoise,
    device: wgpu::Buffer,
}

/// The same values in every run.
fn block() -> Vec<f32> {
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    (0..BLOCK).map(|_| (random.bits() >> 40) as f32 / (1 << 24) as f32 - 0.5).collect()
}

/// `count` values: the block, repeated.
fn repeated(block: &[f32], count: u64) -> Vec<f32> {
    let mut values = Vec::with_capacity(count as usize);
    while values.len() < count as usize {
        let rest = count as usize - values.len();
        values.extend_from_slice(&block[..rest.min(block.len())]);
    }
    values
}

/// The block, on the host only.
#[derive(Debug, Clone)]
pub(crate) struct HostNoise(Vec<f32>);

impl HostNoise {
    pub(crate) fn new() -> Self {
        Self(block())
    }

    /// `count` values.
    pub(crate) fn values(&self, count: u64) -> Vec<f32> {
        repeated(&self.0, count)
    }

    /// The value at this index of an array of any length.
    pub(crate) fn at(&self, index: u64) -> f32 {
        self.0[(index % BLOCK) as usize]
    }
}

impl Noise {
    pub(crate) fn new(gpu: &Gpu) -> Self {
        let host = HostNoise::new();
        let device = gpu.upload(&host.0);
        Self { host, device }
    }

    /// Fills the first `count` values of a buffer.
    pub(crate) fn fill(&self, gpu: &Gpu, buffer: &wgpu::Buffer, count: u64) {
        gpu.submit(|encoder| {
            for at in (0..count).step_by(BLOCK as usize) {
                encoder.copy_buffer_to_buffer(&self.device, 0, buffer, 4 * at, 4 * BLOCK.min(count - at));
            }
        });
    }
}

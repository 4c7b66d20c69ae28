//! Random operands: zeros and equal values are sometimes faster.

use locally_connected::headless::Gpu;
use locally_connected::wgpu;

/// Values of one block, a prime so that its repetitions never fall in with rows or windows.
const BLOCK: u64 = 1_048_573;

/// A block of random values in ±½, on the host and on the device; more are repetitions of it.
pub(crate) struct Noise {
    host: Vec<f32>,
    device: wgpu::Buffer,
}

/// SplitMix64: the same values in every run.
fn block() -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..BLOCK).map(next).collect()
}

/// So many values of a block's repetitions.
fn repeated(block: &[f32], count: u64) -> Vec<f32> {
    let mut values = Vec::with_capacity(count as usize);
    while values.len() < count as usize {
        let rest = count as usize - values.len();
        values.extend_from_slice(&block[..rest.min(block.len())]);
    }
    values
}

/// So many values, where no device is to have them.
pub(crate) fn values(count: u64) -> Vec<f32> {
    repeated(&block(), count)
}

impl Noise {
    pub(crate) fn new(gpu: &Gpu) -> Self {
        let host = block();
        let device = gpu.upload(&host);
        Self { host, device }
    }

    /// So many values.
    pub(crate) fn values(&self, count: u64) -> Vec<f32> {
        repeated(&self.host, count)
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

//! Sizes that several kernels are compiled for.

use super::constants::{Constant, Constants};
use crate::config::{Activation, codes};

/// Samples of a thread.
pub(crate) const IMAGES: [u32; 5] = [1, 2, 4, 8, 16];
/// Units of filters of a thread.
pub(crate) const FILTERS: [u32; 4] = [1, 2, 4, 8];
/// Channels of a thread.
pub(crate) const CHANNELS: [u32; 5] = [1, 2, 3, 4, 8];
/// The most sums of a thread, in fours and one by one. More wouldn't stay in registers.
pub(crate) const MOST_FOURS: u32 = 16;
/// See [`MOST_FOURS`].
pub(crate) const MOST_SUMS: u32 = 64;

/// Elements that a thread loads at once.
pub(crate) const WIDTHS: [u32; 2] = [1, 4];
/// How many elements are loaded at once: four where they lie in aligned fours, else one.
pub(crate) const fn width(fours: bool) -> u32 {
    WIDTHS[fours as usize]
}

/// Activations that forward kernels are compiled for; all others share [`codes::ANY`].
pub(crate) const FUSED: [u32; 3] = [codes::LINEAR, codes::RELU, codes::ANY];

/// The constant by which a forward kernel knows its activation: cheap ones are compiled in, the others share a
/// pipeline.
pub(crate) fn fused_code(activation: Activation) -> u32 {
    match activation.code().0 {
        cheap @ (codes::LINEAR | codes::RELU) => cheap,
        _ => codes::ANY,
    }
}

/// Samples of a thread where threads share a sum, and threads of such a workgroup.
pub(crate) const SPLIT_IMAGES: [u32; 3] = [1, 4, 8];
/// See [`SPLIT_IMAGES`].
pub(crate) const SPLIT_THREADS: [u32; 2] = [64, 256];

/// How a workgroup of a register kernel is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Workgroup {
    /// Its threads.
    pub(crate) threads: u32,
    /// Whether a thread makes all its loads before it uses them. On a GPU they then take their time together; a CPU
    /// hasn't the registers.
    pub(crate) loads_together: bool,
}

impl Workgroup {
    /// For a CPU, which runs a workgroup's threads from first to last.
    pub(crate) const CPU: Self = Self { threads: 8, loads_together: false };
    /// For a GPU.
    pub(crate) const GPU: Self = Self { threads: super::THREADS, loads_together: true };
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::CPU, Self::GPU];
}

impl Constant for Workgroup {
    fn put(self, _: &'static str, to: &mut Constants) {
        to.named.push(("threads", self.threads));
        to.derived.push(("loads_together", self.loads_together.into()));
    }
}

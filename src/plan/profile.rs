//! What the planner knows of a device: plain numbers, so that tests can force any.

use super::Strategy;
use crate::kernels::{Access, Uniform, Variant};
use crate::program::Program;
use crate::{Error, Result};

/// The most bytes of one buffer that a kernel binds, on any device: see [`DeviceProfile::max_piece`].
pub(crate) const MOST_PIECE: u64 = (1 << 31) - 4;

/// Limits and kind of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceProfile {
    /// Adapter name, for reports.
    pub name: String,
    /// Adapter, driver, backend and version of this crate: a tuning table's entries hold for this only. Browsers hide whose
    /// device it is. This is then the kind of adapter, its subgroups and its limits, which other GPUs may share, so a host
    /// that knows more (such as JavaScript's `adapterInfo.architecture`) should add it.
    pub fingerprint: String,
    /// Whether the device is a CPU (lavapipe, SwiftShader, WARP).
    pub is_cpu: bool,
    /// Most bytes of a storage binding.
    pub max_binding: u64,
    /// Most bytes of a buffer.
    pub max_buffer: u64,
    /// Most workgroups along one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Offsets of storage bindings are multiples of this.
    pub storage_alignment: u32,
    /// Offsets of uniform bindings are multiples of this.
    pub uniform_alignment: u32,
    /// Most storage buffers that a dispatch binds.
    pub max_storage_buffers: u32,
    /// Most bytes of a uniform binding.
    pub max_uniform_binding: u64,
    /// Most bytes of workgroup memory.
    pub max_workgroup_memory: u32,
    /// Most threads of a workgroup.
    pub max_workgroup_size: u32,
    /// Most threads of a workgroup along its first dimension, where all our kernels have theirs.
    pub max_workgroup_width: u32,
    /// Number of turns of all of a thread's loops together after which the driver ends them; `u64::MAX` where it
    /// doesn't.
    pub max_iterations: u64,
    /// Which kernels to prefer on the device.
    pub strategy: Strategy,
}

impl DeviceProfile {
    /// The WebGPU default limits: what a browser gives a page that asks for nothing.
    #[must_use]
    pub fn webgpu_defaults() -> Self {
        Self {
            name: "WebGPU defaults".into(),
            fingerprint: "WebGPU defaults".into(),
            is_cpu: false,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_workgroups: 65_535,
            storage_alignment: 256,
            uniform_alignment: 256,
            max_storage_buffers: 8,
            max_uniform_binding: 64 << 10,
            max_workgroup_memory: 16_384,
            max_workgroup_size: 256,
            max_workgroup_width: 256,
            max_iterations: u64::MAX,
            strategy: Strategy::GPU,
        }
    }

    /// Most threads that a workgroup of ours can have.
    #[must_use]
    pub fn max_threads(&self) -> u32 {
        self.max_workgroup_size.min(self.max_workgroup_width)
    }

    /// Checks that a dispatch of this kernel is within the device's limits.
    pub(crate) fn check_variant(&self, variant: &Variant) -> Result<()> {
        let (threads, memory) = (u64::from(variant.threads()), u64::from(variant.workgroup_memory()));
        let info = variant.info();
        self.check_storage_buffers(info.name, info.bindings)?;
        for (needed, limit, unit, name) in [
            (threads, self.max_workgroup_size.into(), "threads", "max_compute_invocations_per_workgroup"),
            (threads, self.max_workgroup_width.into(), "threads", "max_compute_workgroup_size_x"),
            (memory, self.max_workgroup_memory.into(), "bytes", "max_compute_workgroup_storage_size"),
            (Uniform::MOST_BYTES as u64, self.max_uniform_binding, "bytes", "max_uniform_buffer_binding_size"),
        ] {
            if needed > limit {
                return Err(Error::Limit { what: variant.name(), needed, unit, limit, name });
            }
        }
        Ok(())
    }

    /// Checks that a dispatch can have as many storage buffers as a kernel of this name binds.
    pub(crate) fn check_storage_buffers(&self, kernel: &str, bindings: &[Access]) -> Result<()> {
        let (needed, limit) = (bindings.len() as u64, u64::from(self.max_storage_buffers));
        if needed <= limit {
            return Ok(());
        }
        let (unit, name) = ("storage buffers", "max_storage_buffers_per_shader_stage");
        Err(Error::Limit { what: kernel.into(), needed, unit, limit, name })
    }

    /// Most bytes of one buffer that a kernel binds. Indices are 32-bit and count elements; this keeps them within 2³¹
    /// bytes.
    #[must_use]
    pub fn max_piece(&self) -> u64 {
        self.max_binding.min(self.max_buffer).min(MOST_PIECE)
    }

    /// The error for a buffer that needs more than [`DeviceProfile::max_piece`].
    pub(crate) fn over_piece(&self, what: &str, needed: u64) -> Error {
        let (limit, name) = (self.max_piece(), "max_storage_buffer_binding_size");
        Error::Limit { what: what.into(), needed, unit: "bytes", limit, name }
    }

    /// Checks that a buffer of this many bytes can be bound.
    pub(crate) fn check_piece(&self, what: &str, needed: u64) -> Result<()> {
        if needed > self.max_piece() { Err(self.over_piece(what, needed)) } else { Ok(()) }
    }

    /// How many samples of a program fit at once into about `budget` bytes and into the device's buffers.
    ///
    /// # Errors
    /// [`Error::Limit`] where not even one fits.
    pub fn samples_at_once(&self, program: &Program, budget: u64) -> Result<usize> {
        let largest = program.sample_sizes().max().unwrap_or(0);
        self.check_buffer("one sample", largest)?;
        Ok(program.samples_within(budget).min((self.max_buffer / largest.max(1)) as usize))
    }

    /// Checks that a buffer of this many bytes can be made.
    pub(crate) fn check_buffer(&self, what: &str, needed: u64) -> Result<()> {
        if needed <= self.max_buffer {
            return Ok(());
        }
        let (limit, name) = (self.max_buffer, "max_buffer_size");
        Err(Error::Limit { what: what.into(), needed, unit: "bytes", limit, name })
    }

    /// Distance in bytes between the uniforms of two dispatches.
    #[must_use]
    pub fn params_stride(&self) -> u64 {
        (Uniform::MOST_BYTES as u64).next_multiple_of(u64::from(self.uniform_alignment.max(4)))
    }
}

//! What the planner knows of a device: plain numbers, so that tests can force any.

use super::tiles::TileShape;
use crate::geometry::Geometry;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Limits and kind of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceProfile {
    /// Adapter name, for reports.
    pub name: String,
    /// Adapter, driver, backend and version of this crate: what a tuning table's entries hold for.
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
    /// Most bytes of workgroup memory.
    pub max_workgroup_memory: u32,
    /// Most threads of a workgroup.
    pub max_workgroup_size: u32,
    /// Turns of a thread's loops, all together, after which the driver ends them; `u64::MAX` where it doesn't.
    pub max_iterations: u64,
    /// Which kernels pay on the device.
    pub strategy: Strategy,
}

/// Numbers by which the planner chooses among the kernels of the loop variant, and tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strategy {
    /// Most samples for which the threads of a workgroup divide a sum among them (`loop_*_split`).
    pub split_batch: u32,
    /// Least terms of a thread's part of a sum.
    pub split_terms: u32,
    /// Least samples for which products are computed by tiles in workgroup memory (`loop_*_tiled`).
    pub tile_batch: u32,
    /// Least share of what tiles compute that is wanted, in per cent.
    pub tile_use: u32,
    /// The shape that tiles have; none is for each product the one that is expected to be fastest.
    pub tile_shape: Option<TileShape>,
    /// Threads of a workgroup of `loop_forward` and `loop_grad_input`: 8 or 64.
    pub group_threads: u32,
    /// Workgroups that keep the device busy.
    pub busy_groups: u32,
    /// Entries of a row that a thread of `sparse_forward` loads together, where rows are so long: 1 or 4.
    pub sparse_ahead: u32,
}

impl Strategy {
    /// For few samples the weights are a stream, for more the arithmetic counts; hundreds of processors want several
    /// workgroups each.
    pub const GPU: Self = Self {
        split_batch: 8,
        split_terms: 2,
        tile_batch: 9,
        tile_use: 50,
        tile_shape: None,
        group_threads: 64,
        busy_groups: 512,
        sparse_ahead: 4,
    };
    /// Few threads, and no workgroup memory of its own: register tiles only. A processor works through a workgroup
    /// from its first thread to its last, so that with the fewest threads that fill its vectors those that share
    /// weights run while they are in its cache.
    pub const CPU: Self = Self {
        split_batch: 0,
        split_terms: 2,
        tile_batch: u32::MAX,
        tile_use: 50,
        tile_shape: None,
        group_threads: 8,
        busy_groups: 8,
        sparse_ahead: 1,
    };
}

/// The forms of the loop variant's kernels: the same sums, cut and kept in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Each thread keeps a tile of results in registers.
    Register,
    /// The threads of a workgroup divide each sum (`loop_*_split`).
    Split,
    /// Workgroups compute tiles of products in workgroup memory (`loop_*_tiled`).
    Tiled,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Register, Self::Split, Self::Tiled];

    /// The strategy that takes this form wherever there is a kernel of it, and registers elsewhere.
    #[must_use]
    pub const fn strategy(self, own: Strategy) -> Strategy {
        let none = Strategy { split_batch: 0, tile_batch: u32::MAX, ..own };
        match self {
            Self::Register => none,
            Self::Split => Strategy { split_batch: u32::MAX, split_terms: 0, ..none },
            Self::Tiled => Strategy { tile_batch: 1, tile_use: 0, ..none },
        }
    }
}

impl DeviceProfile {
    /// The profile of a device with these limits on this adapter.
    #[must_use]
    pub fn new(info: &wgpu::AdapterInfo, limits: &wgpu::Limits) -> Self {
        let wgpu::AdapterInfo { name, vendor, device, driver, driver_info, backend, .. } = info;
        let version = env!("CARGO_PKG_VERSION");
        let fingerprint = format!("{name} {vendor:x}:{device:x} {driver} {driver_info} {backend} {version}");
        let is_cpu = info.device_type == wgpu::DeviceType::Cpu;
        // Mesa's LP_MAX_TGSI_LOOP_ITERATIONS, seen on Mesa 22.3.
        let max_iterations = if name.contains("llvmpipe") { 65_535 } else { u64::MAX };
        let strategy = if is_cpu { Strategy::CPU } else { Strategy::GPU };
        Self { name: name.clone(), fingerprint, is_cpu, max_iterations, strategy, ..Self::with_limits(limits) }
    }

    /// The WebGPU default limits: what a browser gives a page that asks for nothing.
    #[must_use]
    pub fn webgpu_defaults() -> Self {
        Self::with_limits(&wgpu::Limits::defaults())
    }

    fn with_limits(limits: &wgpu::Limits) -> Self {
        Self {
            name: "WebGPU defaults".into(),
            fingerprint: "WebGPU defaults".into(),
            is_cpu: false,
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            storage_alignment: limits.min_storage_buffer_offset_alignment,
            uniform_alignment: limits.min_uniform_buffer_offset_alignment,
            max_workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_workgroup_size: limits.max_compute_invocations_per_workgroup,
            max_iterations: u64::MAX,
            strategy: Strategy::GPU,
        }
    }

    /// Most bytes of one piece of data that a kernel binds. Indices are 32-bit and count elements, so that 2³¹ bytes
    /// are always within reach.
    #[must_use]
    pub fn max_piece(&self) -> u64 {
        self.max_binding.min(self.max_buffer).min((1 << 31) - 4)
    }

    /// The error for data that needs more than [`DeviceProfile::max_piece`].
    pub(crate) fn over_piece(&self, what: &str, needed: u64) -> Error {
        let (limit, name) = (self.max_piece(), "max_storage_buffer_binding_size");
        Error::Limit { what: what.into(), needed, unit: "bytes", limit, name }
    }

    /// Whether data of this many bytes can be bound.
    pub(crate) fn check_piece(&self, what: &str, needed: u64) -> Result<()> {
        if needed > self.max_piece() { Err(self.over_piece(what, needed)) } else { Ok(()) }
    }

    /// Distance between the uniforms of two dispatches.
    #[must_use]
    pub fn params_stride(&self) -> u64 {
        (size_of::<crate::kernel::Params>() as u64).next_multiple_of(u64::from(self.uniform_alignment.max(4)))
    }
}

/// The limits a host should ask for so that the weights of `geometry` and `batch` samples need no chunking: the WebGPU
/// defaults, raised where needed as far as `adapter` has them.
#[must_use]
pub fn required_limits(geometry: &Geometry, batch: u32, adapter: &wgpu::Limits) -> wgpu::Limits {
    let samples = u64::from(batch) * geometry.inputs().max(geometry.outputs());
    let needed = 4 * geometry.weights().max(samples);
    let mut limits = wgpu::Limits::defaults();
    let raise = |limit: u64, most: u64| limit.max(needed.min(most));
    limits.max_storage_buffer_binding_size =
        raise(limits.max_storage_buffer_binding_size, adapter.max_storage_buffer_binding_size) / 4 * 4;
    limits.max_buffer_size = raise(limits.max_buffer_size, adapter.max_buffer_size);
    limits
}

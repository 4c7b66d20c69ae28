//! What wgpu says of a device, as the planner wants it.

use crate::geometry::Geometry;
use crate::plan::{DeviceProfile, Strategy};

impl DeviceProfile {
    /// The profile of a device with these limits on this adapter.
    #[must_use]
    pub fn new(info: &wgpu::AdapterInfo, limits: &wgpu::Limits) -> Self {
        let wgpu::AdapterInfo { name, vendor, device, driver, driver_info, backend, .. } = info;
        let version = env!("CARGO_PKG_VERSION");
        let fingerprint = format!("{name} {vendor:x}:{device:x} {driver} {driver_info} {backend} {version}");
        let is_cpu = info.device_type == wgpu::DeviceType::Cpu;
        Self {
            name: name.clone(),
            fingerprint,
            is_cpu,
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            storage_alignment: limits.min_storage_buffer_offset_alignment,
            uniform_alignment: limits.min_uniform_buffer_offset_alignment,
            max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
            max_uniform_binding: limits.max_uniform_buffer_binding_size,
            max_workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_workgroup_size: limits.max_compute_invocations_per_workgroup,
            max_workgroup_width: limits.max_compute_workgroup_size_x,
            // Mesa's LP_MAX_TGSI_LOOP_ITERATIONS, seen on Mesa 22.3.
            max_iterations: if name.contains("llvmpipe") { 65_535 } else { u64::MAX },
            strategy: if is_cpu { Strategy::CPU } else { Strategy::GPU },
        }
    }

    /// The same profile without what a device doesn't have.
    #[must_use]
    pub(super) fn within(self, limits: &wgpu::Limits) -> Self {
        Self {
            max_binding: self.max_binding.min(limits.max_storage_buffer_binding_size),
            max_buffer: self.max_buffer.min(limits.max_buffer_size),
            max_workgroups: self.max_workgroups.min(limits.max_compute_workgroups_per_dimension),
            storage_alignment: self.storage_alignment.max(limits.min_storage_buffer_offset_alignment),
            uniform_alignment: self.uniform_alignment.max(limits.min_uniform_buffer_offset_alignment),
            max_storage_buffers: self.max_storage_buffers.min(limits.max_storage_buffers_per_shader_stage),
            max_uniform_binding: self.max_uniform_binding.min(limits.max_uniform_buffer_binding_size),
            max_workgroup_memory: self.max_workgroup_memory.min(limits.max_compute_workgroup_storage_size),
            max_workgroup_size: self.max_workgroup_size.min(limits.max_compute_invocations_per_workgroup),
            max_workgroup_width: self.max_workgroup_width.min(limits.max_compute_workgroup_size_x),
            ..self
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_wgpus() {
        let info = wgpu::AdapterInfo::new(wgpu::DeviceType::Other, wgpu::Backend::Noop);
        let defaults = DeviceProfile::webgpu_defaults();
        let DeviceProfile { name, fingerprint, .. } = defaults.clone();
        let theirs = DeviceProfile::new(&info, &wgpu::Limits::defaults());
        assert_eq!(DeviceProfile { name, fingerprint, ..theirs }, defaults);
    }
}

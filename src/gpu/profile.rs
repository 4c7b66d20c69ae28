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
            max_workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_workgroup_size: limits.max_compute_invocations_per_workgroup,
            // Mesa's LP_MAX_TGSI_LOOP_ITERATIONS, seen on Mesa 22.3.
            max_iterations: if name.contains("llvmpipe") { 65_535 } else { u64::MAX },
            strategy: if is_cpu { Strategy::CPU } else { Strategy::GPU },
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

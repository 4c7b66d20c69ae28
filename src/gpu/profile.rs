//! What wgpu says of a device, as the planner wants it.

use crate::config::Implementation;
use crate::geometry::{Geometry, SparseIndex};
use crate::hash::fnv;
use crate::kernels::{Declared, LoopForward, THREADS, tap_tables_length};
use crate::plan::{DeviceProfile, MOST_PIECE, Strategy};

impl DeviceProfile {
    /// The profile of a device of this adapter, made with these limits.
    #[must_use]
    pub fn new(info: &wgpu::AdapterInfo, limits: &wgpu::Limits) -> Self {
        let wgpu::AdapterInfo { name, vendor, device, driver, driver_info, backend, .. } = info;
        let version = env!("CARGO_PKG_VERSION");
        let mut fingerprint = format!("{name} {vendor:x}:{device:x} {driver} {driver_info} {backend} {version}");
        let is_cpu = info.device_type == wgpu::DeviceType::Cpu;
        if is_hidden(info) {
            fingerprint += &format!(" {}", unnamed(info, limits));
        }
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
            // Mesa's LP_MAX_TGSI_LOOP_ITERATIONS, seen on Mesa 22.3. A software adapter that hides its name may be Mesa's.
            max_iterations: if name.contains("llvmpipe") || is_cpu && is_hidden(info) { 65_535 } else { u64::MAX },
            strategy: if is_cpu { Strategy::CPU } else { Strategy::GPU },
        }
    }

    /// The same profile, with numbers beyond the device's limits lowered to them.
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

/// Whether nothing says whose device it is: browsers hide it.
fn is_hidden(info: &wgpu::AdapterInfo) -> bool {
    info.name.is_empty() && info.vendor == 0 && info.driver.is_empty()
}

/// What there is to tell a device by whose name is hidden.
fn unnamed(info: &wgpu::AdapterInfo, limits: &wgpu::Limits) -> String {
    let wgpu::AdapterInfo { device_type, subgroup_min_size, subgroup_max_size, .. } = info;
    // FNV-1a, which is the same in every build.
    let limits = fnv(format!("{limits:?}").bytes());
    format!("{device_type:?} subgroups {subgroup_min_size} to {subgroup_max_size} limits {limits:016x}")
}

/// The limits that a host should ask for: its `own`, raised for each layer and batch size to what the layer needs in
/// order to run, and to run uncut, as far as `adapter` has it.
///
/// ```no_run
/// # use locally_connected::{Geometry, required_limits, wgpu};
/// # fn limits(adapter: &wgpu::Adapter, [a, b]: [&Geometry; 2]) -> wgpu::Limits {
/// required_limits(wgpu::Limits::default(), [(a, 8), (b, 8)], &adapter.limits())
/// # }
/// ```
#[must_use]
pub fn required_limits<'a>(
    own: wgpu::Limits,
    layers: impl IntoIterator<Item = (&'a Geometry, u32)>,
    adapter: &wgpu::Limits,
) -> wgpu::Limits {
    let mut limits = own;
    for (geometry, batch) in layers {
        let samples = u64::from(batch).saturating_mul(geometry.inputs().max(geometry.outputs()));
        let index = match geometry.config().implementation {
            Some(Implementation::SparseGather) => SparseIndex::len_of(geometry),
            _ if geometry.pattern().is_some() => SparseIndex::len_of(geometry),
            _ => 0,
        };
        let largest = geometry.weights().max(samples).max(index).max(tap_tables_length(geometry));
        // More bytes than a kernel can address are never bound in one piece.
        let bytes = largest.saturating_mul(4).min(MOST_PIECE);
        let raise = |limit: &mut u64, has: u64| *limit = (*limit).max(bytes.min(has / 4 * 4));
        raise(&mut limits.max_storage_buffer_binding_size, adapter.max_storage_buffer_binding_size);
        raise(&mut limits.max_buffer_size, adapter.max_buffer_size);
        let raise = |limit: &mut u32, needed: u32, has: u32| *limit = (*limit).max(needed.min(has));
        let buffers = LoopForward::BINDINGS.len() as u32;
        raise(&mut limits.max_storage_buffers_per_shader_stage, buffers, adapter.max_storage_buffers_per_shader_stage);
        let size = &mut limits.max_compute_invocations_per_workgroup;
        raise(size, THREADS, adapter.max_compute_invocations_per_workgroup);
        raise(&mut limits.max_compute_workgroup_size_x, THREADS, adapter.max_compute_workgroup_size_x);
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a browser describes a device.
    fn hidden(device_type: wgpu::DeviceType, subgroups: u32) -> wgpu::AdapterInfo {
        let mut info = wgpu::AdapterInfo::new(device_type, wgpu::Backend::BrowserWebGpu);
        (info.subgroup_min_size, info.subgroup_max_size) = (subgroups, subgroups);
        info
    }

    #[test]
    fn hidden_devices_are_told_apart_as_far_as_they_can_be() {
        let limits = wgpu::Limits::defaults();
        let raised = wgpu::Limits { max_buffer_size: 1 << 30, ..limits.clone() };
        let of = |info: &wgpu::AdapterInfo, limits| DeviceProfile::new(info, limits).fingerprint;
        let known = hidden(wgpu::DeviceType::Other, 32);
        assert_eq!(of(&known, &limits), of(&known, &limits));
        let others = [
            of(&hidden(wgpu::DeviceType::Other, 64), &limits),
            of(&hidden(wgpu::DeviceType::Cpu, 32), &limits),
            of(&known, &raised),
        ];
        assert!(others.iter().all(|other| *other != of(&known, &limits)), "{others:?}");
    }

    #[test]
    fn a_hidden_software_driver_may_be_mesas() {
        let turns = |info: &wgpu::AdapterInfo| DeviceProfile::new(info, &wgpu::Limits::defaults()).max_iterations;
        assert_eq!(turns(&hidden(wgpu::DeviceType::Cpu, 4)), 65_535);
        assert_eq!(turns(&hidden(wgpu::DeviceType::Other, 32)), u64::MAX);
        let named = |name: &str| {
            let mut info = hidden(wgpu::DeviceType::Cpu, 4);
            info.name = name.into();
            info
        };
        assert_eq!(turns(&named("llvmpipe (LLVM 15.0.6, 256 bits)")), 65_535);
        assert_eq!(turns(&named("SwiftShader Device (LLVM 10.0.0)")), u64::MAX);
    }

    #[test]
    fn defaults_are_wgpus() {
        let info = wgpu::AdapterInfo::new(wgpu::DeviceType::Other, wgpu::Backend::Noop);
        let defaults = DeviceProfile::webgpu_defaults();
        let DeviceProfile { name, fingerprint, .. } = defaults.clone();
        let theirs = DeviceProfile::new(&info, &wgpu::Limits::defaults());
        assert_eq!(DeviceProfile { name, fingerprint, ..theirs }, defaults);
    }
}

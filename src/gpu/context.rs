//! What the layers of one device share.

use super::Pipelines;
use crate::Result;
use crate::kernels::Variant;
use crate::plan::DeviceProfile;
use std::sync::Arc;

/// A host's device and queue with the pipelines made for them. Cheap to clone; layers keep a clone.
///
/// The host stays the owner: nothing here submits, polls or installs callbacks.
#[derive(Debug, Clone)]
pub struct Context {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    device: wgpu::Device,
    queue: wgpu::Queue,
    profile: DeviceProfile,
    pipelines: Arc<Pipelines>,
}

/// What a host decides about a context.
#[derive(Debug, Clone, Default)]
pub struct ContextOptions {
    /// The numbers that the planner goes by instead of the device's own. Numbers beyond the device's limits are lowered
    /// to them.
    pub profile: Option<DeviceProfile>,
    /// A cache of the host's, of the same device: drivers store in it what they compile, and find in it what they
    /// compiled in an earlier run if the host has kept its [data](wgpu::PipelineCache::get_data). wgpu has such caches
    /// on Vulkan only.
    pub pipeline_cache: Option<wgpu::PipelineCache>,
}

impl Context {
    /// A context for a host's device; the planner works with the limits the device was made with.
    #[must_use]
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        Self::with_options(device, queue, ContextOptions::default())
    }

    /// A context whose planner goes by `profile`, say to stay below limits that others share. Numbers beyond the
    /// device's limits are lowered to them.
    #[must_use]
    pub fn with_profile(device: &wgpu::Device, queue: &wgpu::Queue, profile: DeviceProfile) -> Self {
        Self::with_options(device, queue, ContextOptions { profile: Some(profile), ..ContextOptions::default() })
    }

    /// A context with these options.
    ///
    /// ```no_run
    /// # use locally_connected::{Context, ContextOptions, wgpu};
    /// # fn make(device: &wgpu::Device, queue: &wgpu::Queue, kept: Option<&[u8]>) -> Context {
    /// // The device was made with `wgpu::Features::PIPELINE_CACHE`.
    /// let descriptor = wgpu::PipelineCacheDescriptor { label: None, data: kept, fallback: true };
    /// // SAFETY: `kept` is what `PipelineCache::get_data` gave in an earlier run.
    /// let cache = unsafe { device.create_pipeline_cache(&descriptor) };
    /// let options = ContextOptions { pipeline_cache: Some(cache), ..ContextOptions::default() };
    /// Context::with_options(device, queue, options)
    /// # }
    /// ```
    #[must_use]
    pub fn with_options(device: &wgpu::Device, queue: &wgpu::Queue, options: ContextOptions) -> Self {
        let ContextOptions { profile, pipeline_cache } = options;
        let profile = profile.unwrap_or_else(|| DeviceProfile::new(&device.adapter_info(), &device.limits()));
        let (pipelines, profile) = (Arc::new(Pipelines::new(pipeline_cache)), profile.within(&device.limits()));
        Self { shared: Arc::new(Shared { device: device.clone(), queue: queue.clone(), profile, pipelines }) }
    }

    /// A context on the same device, with the same pipelines, whose planner works with another `profile`.
    #[must_use]
    pub fn planning_with(&self, profile: DeviceProfile) -> Self {
        let Shared { device, queue, pipelines, .. } = &*self.shared;
        let profile = profile.within(&device.limits());
        let (device, queue, pipelines) = (device.clone(), queue.clone(), pipelines.clone());
        Self { shared: Arc::new(Shared { device, queue, profile, pipelines }) }
    }

    /// The host's device.
    #[must_use]
    pub fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    /// The host's queue.
    #[must_use]
    pub fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// What the planner knows of the device.
    #[must_use]
    pub fn profile(&self) -> &DeviceProfile {
        &self.shared.profile
    }

    /// The pipelines made so far.
    #[must_use]
    pub fn pipelines(&self) -> &Pipelines {
        &self.shared.pipelines
    }

    /// Compiles these variants of kernels now rather than when something is first bound. Those that were compiled
    /// before cost nothing.
    ///
    /// # Errors
    /// [`crate::Error::Shader`] with what the driver says, [`crate::Error::OutOfMemory`]; what was refused is not kept.
    pub async fn compile(&self, variants: &[Variant]) -> Result<()> {
        self.pipelines().compile(self.device(), variants.iter().copied()).await
    }
}

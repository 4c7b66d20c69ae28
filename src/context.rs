//! What the layers of one device share.

use crate::kernel::Pipelines;
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
    pipelines: Pipelines,
}

impl Context {
    /// A context for a host's device; the planner works with the limits the device was made with.
    #[must_use]
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let profile = DeviceProfile::new(&device.adapter_info(), &device.limits());
        Self::with_profile(device, queue, profile)
    }

    /// A context whose planner works with `profile`, say to keep below limits that others share.
    #[must_use]
    pub fn with_profile(device: &wgpu::Device, queue: &wgpu::Queue, profile: DeviceProfile) -> Self {
        let pipelines = Pipelines::default();
        Self { shared: Arc::new(Shared { device: device.clone(), queue: queue.clone(), profile, pipelines }) }
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
}

//! wgpu as a guest on the application's device: it makes neither the instance nor the device nor the buffers, and destroys none
//! of them. What it still holds is counted, because the application may destroy only what no one holds.

use crate::Result;
use crate::app::{App, AppBuffer, Instance, VERSION, pointers};
use ash::vk;
use locally_connected::wgpu::{self, hal};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

type Vulkan = hal::api::Vulkan;

/// What wgpu asks for beyond what every WebGPU device has: nothing.
const FEATURES: wgpu::Features = wgpu::Features::empty();
const FLAGS: wgpu::InstanceFlags = wgpu::InstanceFlags::empty();

/// How many of the application's handles wgpu holds.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<AtomicUsize>);

impl Held {
    /// One more, until wgpu drops what it is for.
    fn one(&self) -> hal::DropCallback {
        self.0.fetch_add(1, Ordering::SeqCst);
        let held = self.0.clone();
        Box::new(move || _ = held.fetch_sub(1, Ordering::SeqCst))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// The instance extensions that wgpu counts on where the system has them.
pub(crate) fn instance_extensions(entry: &ash::Entry) -> Result<Vec<&'static std::ffi::CStr>> {
    Ok(hal::vulkan::Instance::desired_extensions(entry, VERSION, FLAGS)?)
}

/// The application's device, made with what wgpu needs of it, and wgpu's view of the same.
pub(crate) fn devices(instance: &Instance, held: &Held) -> Result<(App, wgpu::Device, wgpu::Queue)> {
    let (physical, family) = instance.physical()?;
    // SAFETY: the instance was made with these extensions, flags and version, and outlives what `held` counts.
    let guest = unsafe {
        hal::vulkan::Instance::from_raw(
            instance.entry.clone(),
            instance.raw.clone(),
            VERSION,
            0,
            None, // the application has a messenger of its own
            instance.extensions.clone(),
            FLAGS,
            wgpu::MemoryBudgetThresholds::default(),
            false,
            Some(held.one()),
        )
    }?;
    let exposed = guest.expose_adapter(physical).ok_or("wgpu can't use this device")?;

    // The application makes the device; to what it wants itself it adds what wgpu wants.
    let extensions = exposed.adapter.required_device_extensions(FEATURES);
    let mut features = exposed.adapter.physical_device_features(&extensions, FEATURES);
    let names = pointers(&extensions);
    let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(family).queue_priorities(&[1.0])];
    let info = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
    let info = features.add_to_device_create(info);
    // SAFETY: what the description points to lives until the call is over.
    let device = unsafe { instance.raw.create_device(physical, &info, None) }?;
    let app = App::new(instance, physical, family, device)?;

    let descriptor = wgpu::DeviceDescriptor { label: Some("the application's"), ..Default::default() };
    let (limits, hints) = (&descriptor.required_limits, &descriptor.memory_hints);
    // SAFETY: the device was made of this adapter with these extensions and features and queue 0 of the family; it outlives
    // what `held` counts.
    let (device, queue) = unsafe {
        let open = exposed.adapter.device_from_raw(
            app.device.clone(),
            Some(held.one()),
            &extensions,
            FEATURES,
            limits,
            hints,
            app.family,
            0,
        )?;
        let adapter = wgpu::Instance::from_hal::<Vulkan>(guest).create_adapter_from_hal::<Vulkan>(exposed);
        adapter.create_device_from_hal::<Vulkan>(open, &descriptor)?
    };
    Ok((app, device, queue))
}

/// The whole of a VkBuffer as wgpu's buffer, for passes; it counts as initialised.
pub(crate) fn wrap(device: &wgpu::Device, buffer: &AppBuffer, held: &Held) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE;
    let descriptor = wgpu::BufferDescriptor { label: None, size: buffer.size, usage, mapped_at_creation: false };
    // SAFETY: the buffer is of this device, has memory and the usage `STORAGE_BUFFER`, and outlives what `held` counts.
    unsafe {
        let raw = hal::vulkan::Buffer::from_raw_externally_owned(buffer.raw, held.one());
        device.create_buffer_from_hal::<Vulkan>(raw, &descriptor)
    }
}

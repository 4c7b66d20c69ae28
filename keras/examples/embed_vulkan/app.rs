//! An application with a Vulkan of its own, as if there were no wgpu: instance, device, queue, buffers, submits.

use crate::Result;
use ash::{ext, vk};
use std::ffi::{CStr, c_char, c_void};
use std::sync::Mutex;

pub(crate) const VERSION: u32 = vk::API_VERSION_1_3;
const VALIDATION: &CStr = c"VK_LAYER_KHRONOS_validation";

/// The application's VkInstance, with the validation layers where they are asked for.
pub(crate) struct Instance {
    pub(crate) entry: ash::Entry,
    pub(crate) raw: ash::Instance,
    pub(crate) extensions: Vec<&'static CStr>,
    heard: Option<Heard>,
}

/// What the validation layers say.
struct Heard {
    functions: ext::debug_utils::Instance,
    messenger: vk::DebugUtilsMessengerEXT,
    /// In a box: the layers keep its address.
    messages: Box<Mutex<Vec<String>>>,
}

impl Instance {
    /// An instance with `extensions`, those that others want of it.
    pub(crate) fn new(entry: ash::Entry, mut extensions: Vec<&'static CStr>, validate: bool) -> Result<Self> {
        let application = vk::ApplicationInfo::default().application_name(c"embed_vulkan").api_version(VERSION);
        let mut layers = Vec::new();
        if validate {
            layers.push(VALIDATION.as_ptr());
            extensions.extend([ext::debug_utils::NAME, ext::validation_features::NAME]);
            extensions.sort_unstable();
            extensions.dedup();
        }
        let names = pointers(&extensions);
        let enabled = [vk::ValidationFeatureEnableEXT::SYNCHRONIZATION_VALIDATION];
        let mut features = vk::ValidationFeaturesEXT::default().enabled_validation_features(&enabled);
        let mut info = vk::InstanceCreateInfo::default()
            .application_info(&application)
            .enabled_layer_names(&layers)
            .enabled_extension_names(&names);
        if validate {
            info = info.push_next(&mut features);
        }
        // SAFETY: what the description points to lives until the call is over.
        let raw = unsafe { entry.create_instance(&info, None) }.map_err(|error| match error {
            vk::Result::ERROR_LAYER_NOT_PRESENT => "no validation layers here (Debian: vulkan-validationlayers)".into(),
            error => format!("no VkInstance: {error}"),
        })?;
        let mut instance = Self { entry, raw, extensions, heard: None };
        if validate {
            instance.heard = Some(Heard::new(&instance)?);
        }
        Ok(instance)
    }

    /// The first device that a layer can run on: with a queue family for graphics and compute.
    pub(crate) fn physical(&self) -> Result<(vk::PhysicalDevice, u32)> {
        let wanted = vk::QueueFlags::GRAPHICS | vk::QueueFlags::COMPUTE;
        // SAFETY: the instance is alive, and so are its devices.
        let devices = unsafe { self.raw.enumerate_physical_devices() }?;
        let found = devices.into_iter().find_map(|device| {
            // SAFETY: as above.
            let families = unsafe { self.raw.get_physical_device_queue_family_properties(device) };
            let family = families.iter().position(|family| family.queue_flags.contains(wanted))?;
            Some((device, u32::try_from(family).ok()?))
        });
        found.ok_or_else(|| "no device with a queue for graphics and compute".into())
    }

    /// What the validation layers have said; nothing without them.
    pub(crate) fn messages(&self) -> Vec<String> {
        let heard = self.heard.as_ref().map(|heard| heard.messages.lock());
        heard.and_then(std::result::Result::ok).map(|messages| messages.clone()).unwrap_or_default()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: everything made of the instance is gone before it.
        unsafe {
            if let Some(heard) = &self.heard {
                heard.functions.destroy_debug_utils_messenger(heard.messenger, None);
            }
            self.raw.destroy_instance(None);
        }
    }
}

impl Heard {
    fn new(instance: &Instance) -> Result<Self> {
        let functions = ext::debug_utils::Instance::new(&instance.entry, &instance.raw);
        let messages = Box::new(Mutex::new(Vec::new()));
        let severities = vk::DebugUtilsMessageSeverityFlagsEXT::ERROR | vk::DebugUtilsMessageSeverityFlagsEXT::WARNING;
        let info = vk::DebugUtilsMessengerCreateInfoEXT::default()
            .message_severity(severities)
            .message_type(vk::DebugUtilsMessageTypeFlagsEXT::VALIDATION)
            .pfn_user_callback(Some(hear))
            .user_data(std::ptr::from_ref::<Mutex<Vec<String>>>(&messages).cast_mut().cast());
        // SAFETY: `messages` lives as long as the messenger does.
        let messenger = unsafe { functions.create_debug_utils_messenger(&info, None) }?;
        Ok(Self { functions, messenger, messages })
    }
}

/// Keeps a message.
unsafe extern "system" fn hear(
    _severity: vk::DebugUtilsMessageSeverityFlagsEXT,
    _types: vk::DebugUtilsMessageTypeFlagsEXT,
    data: *const vk::DebugUtilsMessengerCallbackDataEXT<'_>,
    messages: *mut c_void,
) -> vk::Bool32 {
    // SAFETY: the layers give what they were given, and a message that is valid during the call.
    let (messages, message) = unsafe { (&*messages.cast::<Mutex<Vec<String>>>(), (*data).message_as_c_str()) };
    if let (Ok(mut messages), Some(message)) = (messages.lock(), message) {
        messages.push(message.to_string_lossy().into_owned());
    }
    vk::FALSE
}

pub(crate) fn pointers(names: &[&'static CStr]) -> Vec<*const c_char> {
    names.iter().map(|name| name.as_ptr()).collect()
}

/// The application's device, with its one queue.
pub(crate) struct App {
    pub(crate) device: ash::Device,
    pub(crate) family: u32,
    queue: vk::Queue,
    pool: vk::CommandPool,
    memory: vk::PhysicalDeviceMemoryProperties,
    /// Left out to see that the validation layers notice.
    pub(crate) barriers: bool,
}

/// A VkBuffer with memory of its own, mapped where the processor is to see it.
pub(crate) struct AppBuffer {
    pub(crate) raw: vk::Buffer,
    memory: vk::DeviceMemory,
    pub(crate) size: u64,
    mapped: Option<*mut f32>,
}

/// How one use of memory waits for another.
pub(crate) struct Between {
    pub(crate) from: (vk::PipelineStageFlags, vk::AccessFlags),
    pub(crate) to: (vk::PipelineStageFlags, vk::AccessFlags),
}

impl App {
    /// Takes a device made of `physical`'s queue family `family`.
    pub(crate) fn new(
        instance: &Instance,
        physical: vk::PhysicalDevice,
        family: u32,
        device: ash::Device,
    ) -> Result<Self> {
        let info = vk::CommandPoolCreateInfo::default()
            .queue_family_index(family)
            .flags(vk::CommandPoolCreateFlags::RESET_COMMAND_BUFFER);
        // SAFETY: the device is alive and has this family's queue 0.
        let (queue, pool, memory) = unsafe {
            let memory = instance.raw.get_physical_device_memory_properties(physical);
            (device.get_device_queue(family, 0), device.create_command_pool(&info, None)?, memory)
        };
        Ok(Self { device, family, queue, pool, memory, barriers: true })
    }

    /// A buffer of `size` bytes: one that only the device sees, or one that is mapped.
    pub(crate) fn buffer(&self, size: u64, usage: vk::BufferUsageFlags, mapped: bool) -> Result<AppBuffer> {
        let wanted = match mapped {
            true => vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT,
            false => vk::MemoryPropertyFlags::DEVICE_LOCAL,
        };
        let info = vk::BufferCreateInfo::default().size(size).usage(usage);
        // SAFETY: the device is alive, and the memory is one that the buffer may lie in.
        unsafe {
            let raw = self.device.create_buffer(&info, None)?;
            let needed = self.device.get_buffer_memory_requirements(raw);
            let types = self.memory.memory_types_as_slice().iter().enumerate();
            let mut fit = types.filter(|(index, kind)| {
                needed.memory_type_bits & (1 << index) != 0 && kind.property_flags.contains(wanted)
            });
            let (index, _) = fit.next().ok_or("no memory of this kind")?;
            let info =
                vk::MemoryAllocateInfo::default().allocation_size(needed.size).memory_type_index(u32::try_from(index)?);
            let memory = self.device.allocate_memory(&info, None)?;
            self.device.bind_buffer_memory(raw, memory, 0)?;
            let flags = vk::MemoryMapFlags::empty();
            let mapped = match mapped {
                true => Some(self.device.map_memory(memory, 0, vk::WHOLE_SIZE, flags)?.cast()),
                false => None,
            };
            Ok(AppBuffer { raw, memory, size, mapped })
        }
    }

    /// Destroys a buffer that no command uses any more.
    pub(crate) fn destroy(&self, buffer: AppBuffer) {
        // SAFETY: the caller's promise.
        unsafe {
            self.device.destroy_buffer(buffer.raw, None);
            self.device.free_memory(buffer.memory, None);
        }
    }

    /// Records commands of the application's and submits them; they are freed once `fence` of [`App::wait`] was waited for.
    pub(crate) fn submit(&self, fence: vk::Fence, record: impl FnOnce(vk::CommandBuffer)) -> Result<vk::CommandBuffer> {
        let info = vk::CommandBufferAllocateInfo::default().command_pool(self.pool).command_buffer_count(1);
        let begin = vk::CommandBufferBeginInfo::default().flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: pool, queue and device are the application's own, used by this thread alone.
        unsafe {
            let commands = self.device.allocate_command_buffers(&info)?;
            let first = *commands.first().ok_or("no command buffer")?;
            self.device.begin_command_buffer(first, &begin)?;
            record(first);
            self.device.end_command_buffer(first)?;
            self.device.queue_submit(self.queue, &[vk::SubmitInfo::default().command_buffers(&commands)], fence)?;
            Ok(first)
        }
    }

    pub(crate) fn fence(&self) -> Result<vk::Fence> {
        // SAFETY: the device is alive.
        Ok(unsafe { self.device.create_fence(&vk::FenceCreateInfo::default(), None) }?)
    }

    /// Waits for a fence, and frees it and the commands that it stood for.
    pub(crate) fn wait(&self, fence: vk::Fence, commands: &[vk::CommandBuffer]) -> Result<()> {
        // SAFETY: after the fence the commands are no longer in use.
        unsafe {
            self.device.wait_for_fences(&[fence], true, u64::MAX)?;
            self.device.free_command_buffers(self.pool, commands);
            self.device.destroy_fence(fence, None);
        }
        Ok(())
    }

    /// Copies `from` to the other buffer from this byte on.
    pub(crate) fn copy(&self, commands: vk::CommandBuffer, from: &AppBuffer, (to, at): (&AppBuffer, u64)) {
        let region = vk::BufferCopy { src_offset: 0, dst_offset: at, size: from.size };
        // SAFETY: both buffers are alive, and large enough.
        unsafe { self.device.cmd_copy_buffer(commands, from.raw, to.raw, &[region]) };
    }

    /// All memory, because a barrier for each buffer wouldn't let more run at once here.
    pub(crate) fn barrier(&self, commands: vk::CommandBuffer, Between { from, to }: Between) {
        let memory = [vk::MemoryBarrier::default().src_access_mask(from.1).dst_access_mask(to.1)];
        let none = vk::DependencyFlags::empty();
        if self.barriers {
            // SAFETY: the commands are being recorded.
            unsafe { self.device.cmd_pipeline_barrier(commands, from.0, to.0, none, &memory, &[], &[]) };
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // SAFETY: wgpu has let go of the device, and all buffers are destroyed.
        unsafe {
            self.device.destroy_command_pool(self.pool, None);
            self.device.destroy_device(None);
        }
    }
}

impl AppBuffer {
    /// Writes to mapped memory; what follows is zero.
    pub(crate) fn write(&self, values: &[f32]) -> Result<()> {
        let memory = self.mapped.ok_or("not mapped")?;
        let capacity = (self.size / 4) as usize;
        let written = values.get(..capacity.min(values.len())).unwrap_or_default();
        // SAFETY: the memory is mapped for as long as the buffer is there, and no command runs that reads it.
        unsafe {
            memory.copy_from_nonoverlapping(written.as_ptr(), written.len());
            memory.add(written.len()).write_bytes(0, capacity - written.len());
        }
        Ok(())
    }

    /// Reads mapped memory.
    pub(crate) fn read(&self) -> Result<Vec<f32>> {
        let memory = self.mapped.ok_or("not mapped")?;
        // SAFETY: as in `write`; no command runs that writes it.
        Ok(unsafe { std::slice::from_raw_parts(memory, (self.size / 4) as usize) }.to_vec())
    }
}

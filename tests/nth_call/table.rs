//! Vulkan's device functions with a fault in one of them.

use ash::vk;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, OnceLock};

/// Which call fails, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) function: &'static str,
    /// From 1.
    pub(crate) call: u64,
    pub(crate) result: vk::Result,
}

static FAULT: Mutex<Option<Fault>> = Mutex::new(None);
static CALLS: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicBool = AtomicBool::new(false);
/// The driver's own: of one driver, so the same for all devices of the process.
static OWN: OnceLock<ash::DeviceFnV1_0> = OnceLock::new();

/// Counts calls of the fault's function from now on, the one of its number failing.
pub(crate) fn arm(fault: Fault) {
    *FAULT.lock().expect("no panic") = Some(fault);
    CALLS.store(0, SeqCst);
    FAILED.store(false, SeqCst);
}

/// Lets all calls through; says whether one has failed.
pub(crate) fn disarm() -> bool {
    *FAULT.lock().expect("no panic") = None;
    FAILED.swap(false, SeqCst)
}

fn fails(function: &str) -> Option<vk::Result> {
    let fault = (*FAULT.lock().expect("no panic")).filter(|fault| fault.function == function)?;
    if CALLS.fetch_add(1, SeqCst) + 1 != fault.call {
        return None;
    }
    FAILED.store(true, SeqCst);
    Some(fault.result)
}

macro_rules! patched {
    ($($function:ident($($argument:ident: $type:ty),*);)*) => {
        /// Those that can fail.
        pub(crate) const FUNCTIONS: &[&str] = &[$(stringify!($function)),*];

        $(unsafe extern "system" fn $function($($argument: $type),*) -> vk::Result {
            if let Some(result) = fails(stringify!($function)) {
                return result;
            }
            let own = OWN.get().expect("set before any device is patched");
            // SAFETY: the caller keeps the function's contract.
            unsafe { (own.$function)($($argument),*) }
        })*

        /// A device's functions with ours in front.
        pub(crate) fn patch(own: &ash::DeviceFnV1_0) -> ash::DeviceFnV1_0 {
            OWN.get_or_init(|| own.clone());
            let mut patched = own.clone();
            $(patched.$function = $function;)*
            patched
        }
    };
}

type Allocator<'a> = *const vk::AllocationCallbacks<'a>;

patched! {
    create_buffer(d: vk::Device, i: *const vk::BufferCreateInfo<'_>, a: Allocator<'_>, o: *mut vk::Buffer);
    bind_buffer_memory(d: vk::Device, b: vk::Buffer, m: vk::DeviceMemory, at: vk::DeviceSize);
    create_descriptor_set_layout(
        d: vk::Device,
        i: *const vk::DescriptorSetLayoutCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::DescriptorSetLayout
    );
    create_pipeline_layout(
        d: vk::Device,
        i: *const vk::PipelineLayoutCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::PipelineLayout
    );
    create_shader_module(
        d: vk::Device,
        i: *const vk::ShaderModuleCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::ShaderModule
    );
    create_compute_pipelines(
        d: vk::Device,
        cache: vk::PipelineCache,
        count: u32,
        i: *const vk::ComputePipelineCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::Pipeline
    );
    create_descriptor_pool(
        d: vk::Device,
        i: *const vk::DescriptorPoolCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::DescriptorPool
    );
    allocate_descriptor_sets(d: vk::Device, i: *const vk::DescriptorSetAllocateInfo<'_>, o: *mut vk::DescriptorSet);
    create_command_pool(d: vk::Device, i: *const vk::CommandPoolCreateInfo<'_>, a: Allocator<'_>, o: *mut vk::CommandPool);
    queue_submit(q: vk::Queue, count: u32, submits: *const vk::SubmitInfo<'_>, fence: vk::Fence);
    reset_command_pool(d: vk::Device, pool: vk::CommandPool, flags: vk::CommandPoolResetFlags);
}

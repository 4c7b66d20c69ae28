//! Vulkan's device functions with a fault in one of them, and how often each is called.

use super::{labels, memory};
use ash::vk;
use std::collections::BTreeMap;
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
static OWN: OnceLock<Functions> = OnceLock::new();
/// Calls of each function since they were last taken.
static COUNTS: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());

/// A device's functions, those that are patched among them.
#[derive(Clone)]
pub(crate) struct Functions {
    pub(crate) v1_0: ash::DeviceFnV1_0,
    pub(crate) v1_2: ash::DeviceFnV1_2,
}

/// How often each function was called since this was last asked.
pub(crate) fn take_counts() -> BTreeMap<&'static str, u64> {
    std::mem::take(&mut COUNTS.lock().expect("no panic"))
}

fn count(function: &'static str) {
    *COUNTS.lock().expect("no panic").entry(function).or_default() += 1;
}

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

/// The driver's own functions.
pub(super) fn own() -> &'static Functions {
    OWN.get().expect("set before any device is patched")
}

macro_rules! patched {
    (
        fail { $($version:ident.$function:ident($($argument:ident: $type:ty),*);)* }
        count { $($of:ident.$counted:ident($($name:ident: $of_type:ty),*) -> $result:ty;)* }
    ) => {
        /// Those that can fail.
        pub(crate) const FUNCTIONS: &[&str] = &[$(stringify!($function)),*];

        $(pub(super) unsafe extern "system" fn $function($($argument: $type),*) -> vk::Result {
            count(stringify!($function));
            if let Some(result) = fails(stringify!($function)) {
                return result;
            }
            // SAFETY: the caller keeps the function's contract.
            unsafe { (own().$version.$function)($($argument),*) }
        })*

        $(pub(super) unsafe extern "system" fn $counted($($name: $of_type),*) -> $result {
            count(stringify!($counted));
            // SAFETY: the caller keeps the function's contract.
            unsafe { (own().$of.$counted)($($name),*) }
        })*

        /// A device's functions with ours in front.
        pub(crate) fn patch(own: Functions) -> Functions {
            OWN.get_or_init(|| own.clone());
            let mut patched = own;
            $(patched.$version.$function = $function;)*
            $(patched.$of.$counted = $counted;)*
            labels::over(&mut patched);
            memory::over(&mut patched);
            patched
        }
    };
}

pub(super) type Allocator<'a> = *const vk::AllocationCallbacks<'a>;

patched! {
    fail {
    v1_0.create_buffer(d: vk::Device, i: *const vk::BufferCreateInfo<'_>, a: Allocator<'_>, o: *mut vk::Buffer);
    v1_0.bind_buffer_memory(d: vk::Device, b: vk::Buffer, m: vk::DeviceMemory, at: vk::DeviceSize);
    v1_0.create_descriptor_set_layout(
        d: vk::Device,
        i: *const vk::DescriptorSetLayoutCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::DescriptorSetLayout
    );
    v1_0.create_pipeline_layout(
        d: vk::Device,
        i: *const vk::PipelineLayoutCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::PipelineLayout
    );
    v1_0.create_shader_module(
        d: vk::Device,
        i: *const vk::ShaderModuleCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::ShaderModule
    );
    v1_0.create_compute_pipelines(
        d: vk::Device,
        cache: vk::PipelineCache,
        count: u32,
        i: *const vk::ComputePipelineCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::Pipeline
    );
    v1_0.create_descriptor_pool(
        d: vk::Device,
        i: *const vk::DescriptorPoolCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::DescriptorPool
    );
    v1_0.allocate_descriptor_sets(d: vk::Device, i: *const vk::DescriptorSetAllocateInfo<'_>, o: *mut vk::DescriptorSet);
    v1_0.create_command_pool(d: vk::Device, i: *const vk::CommandPoolCreateInfo<'_>, a: Allocator<'_>, o: *mut vk::CommandPool);
    v1_0.queue_submit(q: vk::Queue, count: u32, submits: *const vk::SubmitInfo<'_>, fence: vk::Fence);
    v1_0.reset_command_pool(d: vk::Device, pool: vk::CommandPool, flags: vk::CommandPoolResetFlags);
    v1_0.allocate_memory(
        d: vk::Device,
        i: *const vk::MemoryAllocateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::DeviceMemory
    );
    v1_0.map_memory(
        d: vk::Device,
        m: vk::DeviceMemory,
        at: vk::DeviceSize,
        size: vk::DeviceSize,
        flags: vk::MemoryMapFlags,
        o: *mut *mut std::ffi::c_void
    );
    }
    count {
    v1_0.free_memory(d: vk::Device, m: vk::DeviceMemory, a: Allocator<'_>) -> ();
    v1_0.get_buffer_memory_requirements(d: vk::Device, b: vk::Buffer, o: *mut vk::MemoryRequirements) -> ();
    v1_0.unmap_memory(d: vk::Device, m: vk::DeviceMemory) -> ();
    v1_0.flush_mapped_memory_ranges(d: vk::Device, n: u32, r: *const vk::MappedMemoryRange<'_>) -> vk::Result;
    v1_0.invalidate_mapped_memory_ranges(d: vk::Device, n: u32, r: *const vk::MappedMemoryRange<'_>) -> vk::Result;
    v1_0.destroy_buffer(d: vk::Device, b: vk::Buffer, a: Allocator<'_>) -> ();
    v1_0.update_descriptor_sets(
        d: vk::Device,
        writes: u32,
        w: *const vk::WriteDescriptorSet<'_>,
        copies: u32,
        c: *const vk::CopyDescriptorSet<'_>
    ) -> ();
    v1_0.free_descriptor_sets(
        d: vk::Device,
        pool: vk::DescriptorPool,
        n: u32,
        sets: *const vk::DescriptorSet
    ) -> vk::Result;
    v1_0.create_fence(
        d: vk::Device,
        i: *const vk::FenceCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::Fence
    ) -> vk::Result;
    v1_0.wait_for_fences(d: vk::Device, n: u32, f: *const vk::Fence, all: vk::Bool32, ns: u64) -> vk::Result;
    v1_0.get_fence_status(d: vk::Device, f: vk::Fence) -> vk::Result;
    v1_0.queue_wait_idle(q: vk::Queue) -> vk::Result;
    v1_0.device_wait_idle(d: vk::Device) -> vk::Result;
    v1_0.create_semaphore(
        d: vk::Device,
        i: *const vk::SemaphoreCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::Semaphore
    ) -> vk::Result;
    v1_0.create_query_pool(
        d: vk::Device,
        i: *const vk::QueryPoolCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::QueryPool
    ) -> vk::Result;
    v1_0.allocate_command_buffers(
        d: vk::Device,
        i: *const vk::CommandBufferAllocateInfo<'_>,
        o: *mut vk::CommandBuffer
    ) -> vk::Result;
    v1_0.cmd_dispatch(b: vk::CommandBuffer, x: u32, y: u32, z: u32) -> ();
    v1_2.wait_semaphores(d: vk::Device, i: *const vk::SemaphoreWaitInfo<'_>, ns: u64) -> vk::Result;
    v1_2.get_semaphore_counter_value(d: vk::Device, s: vk::Semaphore, o: *mut u64) -> vk::Result;
    }
}

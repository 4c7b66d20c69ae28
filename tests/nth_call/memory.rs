//! A device's memory: what is held of it, and a limit to that.

use super::host::{Host, Layer, STEPS, TUNE, adapter, run};
use super::table::{self, Allocator, Functions};
use ash::vk;
use ash::vk::Handle;
use locally_connected::{Context, Error, wgpu};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Whether each buffer takes more than a block of wgpu's, and so an allocation of its own.
static ALONE: AtomicBool = AtomicBool::new(false);
static MEMORY: Mutex<Memory> =
    Mutex::new(Memory { allocations: BTreeMap::new(), totals: BTreeSet::new(), limit: u64::MAX });

struct Memory {
    /// Bytes by handle.
    allocations: BTreeMap<u64, u64>,
    /// Bytes that were held at some time.
    totals: BTreeSet<u64>,
    limit: u64,
}

impl Memory {
    fn held(&self) -> u64 {
        self.allocations.values().sum()
    }
}

/// Bytes of a block in which wgpu allocates: the least there is.
const BLOCK: u64 = 4 << 20;

/// What makes wgpu allocate in such blocks: it halves the number for memory that the host sees, as a software adapter's is.
pub(super) fn small_blocks() -> wgpu::MemoryHints {
    wgpu::MemoryHints::Manual { suballocated_device_memory_block_size: BLOCK..2 * BLOCK }
}

/// Gives each buffer an allocation of its own from now on.
pub(super) fn alone() {
    ALONE.store(true, SeqCst);
}

fn limit(bytes: u64) {
    MEMORY.lock().expect("no panic").limit = bytes;
}

fn held() -> u64 {
    MEMORY.lock().expect("no panic").held()
}

/// Puts the functions of memory in front of those of a table.
pub(super) fn over(functions: &mut Functions) {
    functions.v1_0.allocate_memory = allocate;
    functions.v1_0.free_memory = free;
    functions.v1_0.get_buffer_memory_requirements = requirements;
}

unsafe extern "system" fn allocate(
    device: vk::Device,
    info: *const vk::MemoryAllocateInfo<'_>,
    allocator: Allocator<'_>,
    out: *mut vk::DeviceMemory,
) -> vk::Result {
    let mut memory = MEMORY.lock().expect("no panic");
    // SAFETY: the caller keeps the function's contract, here and below.
    let bytes = unsafe { (*info).allocation_size };
    if memory.held() + bytes > memory.limit {
        return vk::Result::ERROR_OUT_OF_DEVICE_MEMORY;
    }
    // SAFETY: as above.
    let result = unsafe { table::allocate_memory(device, info, allocator, out) };
    if result == vk::Result::SUCCESS {
        // SAFETY: as above.
        memory.allocations.insert(unsafe { (*out).as_raw() }, bytes);
        let held = memory.held();
        memory.totals.insert(held);
    }
    result
}

unsafe extern "system" fn free(device: vk::Device, freed: vk::DeviceMemory, allocator: Allocator<'_>) {
    MEMORY.lock().expect("no panic").allocations.remove(&freed.as_raw());
    // SAFETY: the caller keeps the function's contract.
    unsafe { table::free_memory(device, freed, allocator) };
}

unsafe extern "system" fn requirements(device: vk::Device, buffer: vk::Buffer, out: *mut vk::MemoryRequirements) {
    // SAFETY: the caller keeps the function's contract.
    unsafe {
        table::get_buffer_memory_requirements(device, buffer, out);
        if ALONE.load(SeqCst) {
            let vk::MemoryRequirements { size, alignment, .. } = &mut *out;
            // A block more: so allocations differ by what is asked for.
            *size += BLOCK.next_multiple_of(*alignment);
        }
    }
}

/// Everything that was written or dropped is done.
fn settle(host: &Host) {
    host.queue.submit([]);
    host.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device is there");
}

/// A device's memory ends at every amount that the steps come to. Whatever doesn't fit says so, and the device lives on: once there is
/// more, the same layer goes on from that step, and holds in the end what it holds where nothing failed.
pub(crate) fn every_amount_of_memory() {
    alone();
    let adapter = adapter();
    let (totals, kept, expected) = {
        let (host, mut layer) = (Host::new(&adapter), Layer::default());
        let context = Context::new(&host.device, &host.queue);
        settle(&host);
        let before = held();
        MEMORY.lock().expect("no panic").totals.clear();
        assert_eq!(run(&host, &context, &mut layer, 0..TUNE), None);
        settle(&host);
        let kept = held() - before;
        let mut totals = [std::mem::take(&mut MEMORY.lock().expect("no panic").totals), BTreeSet::new()];
        assert_eq!(run(&host, &context, &mut layer, TUNE..STEPS.len()), None);
        settle(&host);
        assert_eq!(held() - before, kept, "what is left of tuning");
        totals[1] = std::mem::take(&mut MEMORY.lock().expect("no panic").totals);
        assert_eq!(host.escaped(), [""; 0]);
        (totals.map(|of| of.into_iter().map(|total| total - before).collect::<Vec<_>>()), kept, layer.values)
    };
    assert_eq!(held(), 0, "of a device that is gone");
    let [all, tuning] = totals;
    // Of tuning, long as it is, every fourth amount.
    let tuning: Vec<u64> = tuning.into_iter().filter(|total| !all.contains(total)).step_by(4).collect();
    let mut at = BTreeMap::<&str, usize>::new();
    for (&total, steps) in
        all.iter().map(|total| (total, 0..TUNE)).chain(tuning.iter().map(|total| (total, TUNE..STEPS.len())))
    {
        let (host, mut layer) = (Host::new(&adapter), Layer::default());
        let context = Context::new(&host.device, &host.queue);
        settle(&host);
        let before = held();
        assert_eq!(run(&host, &context, &mut layer, 0..steps.start), None);
        limit(before + total - 1);
        let failed = run(&host, &context, &mut layer, steps.clone());
        limit(u64::MAX);
        let Some((step, Error::OutOfMemory { .. })) = failed else { panic!("below {total} bytes: {failed:?}") };
        *at.entry(STEPS[step]).or_default() += 1;
        assert_eq!(host.escaped(), [""; 0], "below {total} bytes at {}", STEPS[step]);
        let again = if step == TUNE { TUNE - 1 } else { step };
        assert_eq!(run(&host, &context, &mut layer, again..TUNE), None, "after {} below {total} bytes", STEPS[step]);
        assert_eq!(layer.values, expected, "after {} below {total} bytes", STEPS[step]);
        settle(&host);
        assert_eq!(held() - before, kept, "bytes that are held after {} below {total} bytes", STEPS[step]);
    }
    assert!(all.len() > 10 && at.len() > 4, "{} amounts, {at:?}", all.len());
    println!("{} amounts of memory: {at:?} ran out of it", all.len() + tuning.len());
}

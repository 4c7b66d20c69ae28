//! Models in other people's frames: the example of a host, and what a frame costs.

use crate::common::{GPU, fixture};
use locally_connected_keras::read;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[path = "../examples/embed_model.rs"]
mod embed_model;

#[test]
fn a_host_s_own_frame_runs_the_model() {
    let (ours, keras) = pollster::block_on(embed_model::run()).expect("it runs");
    assert_eq!((ours.len(), ours == keras), (450, true), "{ours:?} {keras:?}");
}

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Counts what a thread allocates.
struct Counting;

// SAFETY: all calls go to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is going away counts no more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// In a frame nothing happens but recording: no memory is allocated, neither here nor for each command by wgpu.
#[test]
fn a_frame_is_recording_alone() {
    const RECORDINGS: usize = 1000;
    let model = read(fixture("digits/digits.h5")).expect("a model");
    let elements = |sample: &[usize]| 4 * sample.iter().product::<usize>() as u64;
    let (input, output) = (GPU.empty(elements(model.input_shape())), GPU.empty(elements(model.output_shape())));
    let loaded = pollster::block_on(model.upload(GPU.context())).expect("its weights");
    let bound = pollster::block_on(loaded.bind_forward(4, &input, &output)).expect("bound");
    let dispatches = bound.plan().dispatches().count();
    assert!(dispatches >= 2, "{dispatches}");
    GPU.submit(|encoder| {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        bound.record(&mut pass);
        let before = ALLOCATIONS.get();
        for _ in 0..RECORDINGS {
            bound.record(&mut pass);
        }
        let allocated = ALLOCATIONS.get() - before;
        // Lists of commands grow by doubling.
        assert!(allocated < 100, "{allocated} allocations for {RECORDINGS} recordings of {dispatches} dispatches");
    });
    GPU.check().expect("it runs");
}

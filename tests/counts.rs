//! What doesn't depend on the machine: dispatches, pipelines and bytes of the workloads' passes, and what planning and recording
//! them allocates and executes. `tests/data/counts.json` has what it was; a change that is meant is written there by
//! `LOCALLY_COUNTS=write cargo test --all-features --test counts`, and shows in the commit.
//!
//! Allocations are counted in a program of their own, this one. Instructions are counted by valgrind's callgrind, which runs this
//! program again; those of the library are of the test profile.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "common/workloads.rs"]
mod workloads;

use locally_connected::headless::Gpu;
use locally_connected::model::{Gradients, layer_backward, layer_forward};
use locally_connected::plan::{Planner, ProgramPlan, Strategy};
use locally_connected::{Config, DeviceProfile, Forward, Geometry, LocallyConnected, wgpu};
use serde::{Deserialize, Serialize};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use workloads::layers;

struct Counting;

thread_local! {
    /// Of this thread alone: a driver allocates on others when it likes.
    static OWN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

// SAFETY: the system's allocator does it; this only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has none any more.
        let _ = OWN.try_with(|own| own.set(own.get() + 1));
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: it came from `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread allocates meanwhile, and what comes of it.
fn allocations<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = OWN.with(std::cell::Cell::get);
    let result = run();
    (OWN.with(std::cell::Cell::get) - before, result)
}

/// What plans are made for: a GPU of large limits, and the least that every browser has.
fn profiles() -> [(&'static str, DeviceProfile); 2] {
    let gpu = DeviceProfile {
        max_binding: u32::MAX.into(),
        max_buffer: 1 << 40,
        max_workgroup_memory: 48 << 10,
        max_workgroup_size: 1024,
        max_workgroup_width: 1024,
        strategy: Strategy::GPU,
        ..DeviceProfile::webgpu_defaults()
    };
    [("gpu", gpu), ("webgpu", DeviceProfile::webgpu_defaults())]
}

/// What a pass of a workload takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Counts {
    dispatches: usize,
    /// Different ones.
    pipelines: usize,
    /// Parameters, tables, gradients, uniforms and scratch on the device, without the host's operands.
    bytes: u64,
    /// Of planning.
    allocations: usize,
}

/// Everything that is counted.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct All {
    /// By workload, profile, pass and batch; none where a device of that kind can't.
    plans: BTreeMap<String, Option<Counts>>,
    /// Of recording a frame: allocations on the recording thread.
    recording_allocations: usize,
    /// Instructions of planning a forward and a backward pass, and of recording a frame.
    planning_instructions: u64,
    recording_instructions: u64,
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/counts.json")
}

fn known() -> All {
    std::fs::read_to_string(path()).ok().map(|text| serde_json::from_str(&text).expect("counts")).unwrap_or_default()
}

/// Writes what changed, where that is asked for; says whether it is.
fn rewritten(change: impl FnOnce(&mut All)) -> bool {
    if std::env::var("LOCALLY_COUNTS").as_deref() != Ok("write") {
        return false;
    }
    // Tests of this program run at the same time.
    static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _writing = WRITING.lock().expect("no panic");
    let mut all = known();
    change(&mut all);
    std::fs::write(path(), serde_json::to_string_pretty(&all).expect("JSON") + "\n").expect("a file");
    true
}

fn counts(planned: &ProgramPlan, allocations: usize) -> Counts {
    let kernels: BTreeSet<String> = planned.dispatches().map(|dispatch| dispatch.variant.name()).collect();
    let memory = &planned.memory;
    let bytes = memory.parameters + memory.constants + memory.gradients + memory.bound();
    Counts { dispatches: planned.dispatches().count(), pipelines: kernels.len(), bytes, allocations }
}

#[test]
fn plans_take_what_they_took() {
    let mut plans = BTreeMap::new();
    for (workload, layer) in layers() {
        for (device, profile) in profiles() {
            let planner = Planner::new(&profile);
            let programs =
                [("forward", layer_forward(&layer, false)), ("backward", layer_backward(&layer, Gradients::ALL))];
            for (pass, program) in &programs {
                for batch in [1, 8, 32] {
                    let (allocations, planned) = allocations(|| planner.program(program, batch));
                    let found = planned.ok().map(|planned| counts(&planned, allocations));
                    plans.insert(format!("{workload} {device} {pass} {batch}"), found);
                }
            }
        }
    }
    if rewritten(|all| all.plans = plans.clone()) {
        return;
    }
    let known = known().plans;
    assert_eq!(plans.keys().collect::<Vec<_>>(), known.keys().collect::<Vec<_>>());
    let changed = plans.iter().zip(known.values()).filter(|((_, found), known)| !alike(**found, **known));
    let changed: Vec<_> =
        changed.map(|((what, found), known)| format!("{what}: {found:?}, and was {known:?}")).collect();
    assert!(changed.is_empty(), "{} of {} plans: {changed:#?}", changed.len(), plans.len());
}

/// The same, but for the standard library's habits: allocations may differ by a tenth.
fn alike(found: Option<Counts>, known: Option<Counts>) -> bool {
    match (found, known) {
        (Some(found), Some(known)) => {
            Counts { allocations: 0, ..found } == Counts { allocations: 0, ..known }
                && near(found.allocations as u64, known.allocations as u64, 10)
        }
        (found, known) => found == known,
    }
}

/// Whether two counts differ by no more than so many per cent.
fn near(found: u64, known: u64, percent: u64) -> bool {
    found.abs_diff(known) * 100 <= known * percent
}

/// A layer whose passes are several dispatches, with its buffers, on the tests' adapter.
struct Frame {
    gpu: Gpu,
    bound: locally_connected::Bound,
}

impl Frame {
    fn new() -> Self {
        let gpu = pollster::block_on(Gpu::new()).expect("tests need an adapter");
        let geometry = Geometry::new(&Config::new(4, [3, 3]), &[8, 8, 3]).expect("a layer");
        let (x, y) = (gpu.empty(2 * geometry.inputs()), gpu.empty(2 * geometry.outputs()));
        let bound = pollster::block_on(async {
            let layer = LocallyConnected::with_geometry(gpu.context(), geometry).await.expect("built");
            layer.bind_forward(Forward { batch: 2, input: &x, output: &y, pre_activation: None }).await.expect("bound")
        });
        Self { gpu, bound }
    }

    /// Records it a hundred times into one pass; gives what `count` does of that.
    fn record<T>(&self, count: impl FnOnce(&mut dyn FnMut()) -> T) -> T {
        let device = self.gpu.context().device();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let result = {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            self.bound.record(&mut pass);
            count(&mut || (0..FRAMES).for_each(|_| self.bound.record(&mut pass)))
        };
        self.gpu.context().queue().submit([encoder.finish()]);
        result
    }
}

/// Recordings that are counted together.
const FRAMES: usize = 100;

#[test]
fn recording_allocates_what_it_did() {
    let frame = Frame::new();
    let (found, ()) = frame.record(|record| allocations(record));
    if rewritten(|all| all.recording_allocations = found) {
        return;
    }
    let known = known().recording_allocations;
    assert!(near(found as u64, known as u64, 10), "{FRAMES} recordings allocate {found} times, and did {known} times");
}

/// Plans both passes of the first workload.
fn plan() {
    let layers = layers();
    let (_, layer) = &layers[0];
    collected_by_callgrind(&mut || {
        let profile = DeviceProfile { strategy: Strategy::GPU, ..DeviceProfile::webgpu_defaults() };
        let planner = Planner::new(&profile);
        black_box(planner.program(&layer_forward(layer, false), 32).expect("possible"));
        black_box(planner.program(&layer_backward(layer, Gradients::ALL), 32).expect("possible"));
    });
}

/// Callgrind collects while this runs, and nothing else: it knows it by its name.
#[inline(never)]
fn collected_by_callgrind(run: &mut dyn FnMut()) {
    run();
    black_box(());
}

/// Runs this program again under callgrind, with what `part` says; the instructions that it counted.
fn instructions(part: &str) -> u64 {
    let out = std::env::temp_dir().join(format!("locally-callgrind-{}-{part}", std::process::id()));
    let mut command = Command::new("valgrind");
    command.args([
        "--tool=callgrind",
        "--collect-atstart=no",
        "--toggle-collect=*collected_by_callgrind*",
        "--error-exitcode=9",
    ]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(std::env::current_exe().expect("this program"));
    command.args(["--exact", "instructions_are_as_many_as_they_were", "--nocapture"]).env(PART, part);
    let output = command.output().expect("valgrind, which is Debian's package of that name");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // The file is callgrind's, whatever became of it.
    let _ = std::fs::remove_file(&out);
    let counted: Option<u64> =
        said.lines().find_map(|line| line.split_once("Collected :")).and_then(|(_, n)| n.trim().parse().ok());
    counted
        .filter(|&counted| counted > 0)
        .unwrap_or_else(|| panic!("callgrind counted nothing of {part} ({}): {said}", output.status))
}

const PART: &str = "LOCALLY_COUNTED_PART";

#[cfg(target_os = "linux")]
#[test]
fn instructions_are_as_many_as_they_were() {
    match std::env::var(PART).as_deref() {
        Ok("planning") => return plan(),
        Ok(_) => return Frame::new().record(collected_by_callgrind),
        Err(_) => {}
    }
    let (planning, recording) = std::thread::scope(|scope| {
        let planning = scope.spawn(|| instructions("planning"));
        let recording = instructions("recording");
        (planning.join().expect("a count"), recording)
    });
    if rewritten(|all| (all.planning_instructions, all.recording_instructions) = (planning, recording)) {
        return;
    }
    let All { planning_instructions, recording_instructions, .. } = known();
    // Another release of Rust, or a processor for which the system's own functions are others, counts a little differently.
    assert!(near(planning, planning_instructions, 5), "planning takes {planning}, and took {planning_instructions}");
    assert!(
        near(recording, recording_instructions, 5),
        "recording takes {recording}, and took {recording_instructions}"
    );
}

//! The n-th call into the driver fails, for every n: out of memory, device lost, or an error that it has no name for. What a
//! host does with a layer (build, upload, prepare, bind, record, read, tune) then gives a typed error, nothing goes to
//! the host's handler, nothing is left half-made, and the layer is usable afterwards: itself, or, where the device is lost,
//! built again from what the host has kept. wgpu runs on a Vulkan device whose table of functions is ours, which also counts
//! what a steady frame calls.
//!
//! Each function runs in a process of its own, since a driver may take a failure badly. Left out are faults of wgpu-core and
//! wgpu-hal 30.0.1 themselves: `vkCreateSemaphore` failing in the first submit (a crash), `vkEndCommandBuffer` (an assertion
//! in the fifth), `vkAllocateCommandBuffers` and `vkBeginCommandBuffer` (an unwrap in `Queue::write_buffer`) and
//! `vkWaitSemaphores` reporting the loss (a panic in `Device::poll`). The driver says here that every buffer takes more than a
//! block of wgpu's, so that each of them is an allocation, which may fail, too.
//!
//! Further processes count a steady frame, give a device less and less memory, and read what a debugger shows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[cfg(target_os = "linux")]
mod nth_call {
    pub(super) mod host;
    pub(super) mod labels;
    pub(super) mod memory;
    pub(super) mod table;
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the table of functions is patched on Linux alone");
}

#[cfg(target_os = "linux")]
fn main() {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const FUNCTION: &str = "NTH_CALL_FUNCTION";
    const CACHE: &str = "MESA_SHADER_CACHE_DIR";
    /// What is done where no function fails.
    const OTHERS: [(&str, fn()); 3] = [
        ("a steady frame", nth_call::host::a_steady_frame),
        ("labels", nth_call::labels::everything_is_named),
        ("memory", nth_call::memory::every_amount_of_memory),
    ];
    if let Ok(function) = std::env::var(FUNCTION) {
        match OTHERS.iter().find(|(name, _)| *name == function) {
            Some((_, run)) => run(),
            None => nth_call::host::every_call_fails(&function),
        }
        return;
    }
    let program = std::env::current_exe().expect("a program knows where it is");
    let started = std::time::Instant::now();
    let others = OTHERS.iter().map(|(name, _)| *name);
    let all: Vec<&str> = others.chain(nth_call::table::FUNCTIONS.iter().copied()).collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(function) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut process = std::process::Command::new(&program);
            // What one process has compiled, Mesa keeps for the others, wherever it may write: five times as fast.
            if std::env::var_os(CACHE).is_none() {
                process.env(CACHE, concat!(env!("CARGO_TARGET_TMPDIR"), "/mesa_shader_cache"));
            }
            let output = process.env(FUNCTION, function).output().expect("a process");
            print!("{}", String::from_utf8_lossy(&output.stdout));
            if !output.status.success() {
                println!("{function}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
                failed.lock().expect("no panic").push(*function);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "{failed:?}");
    println!("{} functions in {:.1} s", nth_call::table::FUNCTIONS.len(), started.elapsed().as_secs_f64());
}

//! The host's memory ends for real: processes under a limit of their address space (RLIMIT_AS) build, upload, bind and read back
//! a layer. Whatever doesn't fit says so by `Error::OutOfMemory`, nothing ends the process or goes to the host's handler, and the
//! device lives on: once there is memory again, the same layer goes on from there.
//!
//! What this can't hold: allocations of some kilobytes, Rust's own, wgpu's and the driver's, end the process where there is none
//! even for them, and so does LLVM when a shader is compiled. So the pipelines are compiled before, and there is free memory in
//! small pieces, as there is in any program that has run for a while.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the address space is limited on Linux alone");
}

#[cfg(target_os = "linux")]
fn main() {
    limited::main();
}

#[cfg(target_os = "linux")]
mod limited {
    use locally_connected::headless::{adapters, instance, pick, wanted};
    use locally_connected::{
        Backward, Bound, Config, Context, DataFormat, Error, Forward, Geometry, Implementation, KerasLayout,
        LocallyConnected, Readback, Result, Tensor, WeightsReadback, wait, wgpu,
    };
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    const ROOM: &str = "ADDRESS_SPACE_ROOM";
    const CACHE: &str = "MESA_SHADER_CACHE_DIR";
    const MEBIBYTE: u64 = 1 << 20;

    pub(super) fn main() {
        if let Ok(room) = std::env::var(ROOM) {
            return within(room.parse().expect("a number"));
        }
        let program = std::env::current_exe().expect("a program knows where it is");
        // Mebibytes beside what the process has: from nothing to more than all steps take.
        let rooms: Vec<u64> = (0..48).step_by(4).chain((48..=120).step_by(12)).chain([400]).collect();
        let (next, seen) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let work = || {
            while let Some(room) = rooms.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut process = std::process::Command::new(&program);
                if std::env::var_os(CACHE).is_none() {
                    process.env(CACHE, concat!(env!("CARGO_TARGET_TMPDIR"), "/mesa_shader_cache"));
                }
                let output = process.env(ROOM, room.to_string()).output().expect("a process");
                seen.lock().expect("no panic").insert(*room, output);
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        let (mut failed, mut ran_out) = (Vec::new(), BTreeMap::<String, usize>::new());
        for (room, output) in seen.into_inner().expect("no panic") {
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            println!("{room} MiB: {said}");
            if !output.status.success() {
                println!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
                failed.push(room);
            }
            let step = said.split(':').next().unwrap_or_default().to_owned();
            *ran_out.entry(step).or_default() += 1;
        }
        assert!(failed.is_empty(), "with so many MiB: {failed:?}");
        println!("where it ran out: {ran_out:?}");
        // Whoever's memory the device has, a copy to upload from and the values of a readback are in the host's.
        let wanted = ["upload", "read weights", NOWHERE];
        assert!(wanted.iter().all(|step| ran_out.contains_key(*step)), "{wanted:?} are not all among them");
    }

    const NOWHERE: &str = "nowhere";

    struct Host {
        device: wgpu::Device,
        queue: wgpu::Queue,
        context: Context,
        buffers: [wgpu::Buffer; 4],
        escaped: Arc<Mutex<Vec<String>>>,
    }

    /// What a host has of a layer, as far as it came.
    #[derive(Default)]
    struct Layer {
        built: Option<LocallyConnected>,
        gradient: Option<Tensor>,
        passes: Vec<Bound>,
        output: Option<Readback>,
        weights: Option<WeightsReadback>,
        read: [Vec<f32>; 2],
    }

    type Step = fn(&Host, &mut Layer) -> Result<()>;

    /// In order. Each may be taken again where it failed.
    const STEPS: [(&str, Step); 8] = [
        ("build", build),
        ("upload", upload),
        ("gradient", gradient),
        ("bind", bind),
        ("make readbacks", make_readbacks),
        ("submit", submit),
        ("read", read),
        ("read weights", read_weights),
    ];

    const BATCH: u32 = 8;
    /// Not the order on the device, so that uploads and readbacks are copied.
    const LAYOUT: KerasLayout = KerasLayout::Implementation1;

    /// 21 MiB of weights, and a sparse index of 1 MiB.
    fn geometry() -> Geometry {
        let config = Config::new(64, [3, 3]).data_format(DataFormat::ChannelsFirst);
        let config = config.implementation(Implementation::SparseGather);
        Geometry::new(&config, &[48, 16, 16]).expect("a layer")
    }

    fn values(count: u64, step: u64) -> Vec<f32> {
        (0..count).map(|i| ((i * step) % 17) as f32 / 8.0 - 1.0).collect()
    }

    fn build(host: &Host, layer: &mut Layer) -> Result<()> {
        layer.built = Some(pollster::block_on(LocallyConnected::with_geometry(&host.context, geometry()))?);
        Ok(())
    }

    fn built(layer: &Layer) -> &LocallyConnected {
        layer.built.as_ref().expect("built before")
    }

    fn upload(host: &Host, layer: &mut Layer) -> Result<()> {
        let layer = built(layer);
        let mut upload = layer.upload_weights(WEIGHTS.get().expect("made before"), LAYOUT)?;
        // The host submits between pieces, so that there are never many of them.
        while pollster::block_on(upload.write_next())? {
            host.settle();
        }
        pollster::block_on(layer.write_bias(&values(layer.geometry().biases(), 3)))?;
        host.settle();
        Ok(())
    }

    fn gradient(_: &Host, layer: &mut Layer) -> Result<()> {
        layer.gradient = Some(pollster::block_on(built(layer).create_weights_gradient())?);
        Ok(())
    }

    fn bind(host: &Host, layer: &mut Layer) -> Result<()> {
        let [x, y, dy, dx] = &host.buffers;
        let forward = Forward { batch: BATCH, input: x, output: y, pre_activation: None };
        let forward = pollster::block_on(built(layer).bind_forward(forward))?;
        let backward = Backward {
            batch: BATCH,
            input: Some(x),
            output: None,
            pre_activation: None,
            grad_output: dy,
            grad_input: Some(dx),
            grad_weights: layer.gradient.as_ref(),
            grad_bias: None,
            accumulate: false,
        };
        layer.passes = vec![forward, pollster::block_on(built(layer).bind_backward(backward))?];
        Ok(())
    }

    fn make_readbacks(host: &Host, layer: &mut Layer) -> Result<()> {
        layer.output = Some(pollster::block_on(Readback::new(&host.device, &host.buffers[1]))?);
        let gradient = layer.gradient.as_ref().expect("made before");
        layer.weights = Some(pollster::block_on(built(layer).read_weights(gradient))?);
        Ok(())
    }

    fn submit(host: &Host, layer: &mut Layer) -> Result<()> {
        let mut encoder = host.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        layer.passes.iter().for_each(|bound| bound.record(&mut pass));
        drop(pass);
        layer.output.as_mut().expect("made before").record(&mut encoder)?;
        layer.weights.as_mut().expect("made before").record(&mut encoder)?;
        host.queue.submit([encoder.finish()]);
        Ok(())
    }

    fn read(host: &Host, layer: &mut Layer) -> Result<()> {
        layer.read[0] = wait(&host.device, layer.output.as_mut().expect("made before").values())?;
        Ok(())
    }

    fn read_weights(host: &Host, layer: &mut Layer) -> Result<()> {
        layer.read[1] = wait(&host.device, layer.weights.as_mut().expect("made before").values(LAYOUT))?;
        Ok(())
    }

    static WEIGHTS: std::sync::OnceLock<Vec<f32>> = std::sync::OnceLock::new();

    impl Host {
        fn new() -> Self {
            let adapter = pollster::block_on(async {
                let mut adapters = adapters(&instance().expect("a backend")).await;
                adapters.swap_remove(pick(&adapters, wanted(None).as_deref()).expect("tests need an adapter"))
            });
            let descriptor = wgpu::DeviceDescriptor {
                // Small blocks, so that large buffers are allocations of their own.
                memory_hints: wgpu::MemoryHints::Manual {
                    suballocated_device_memory_block_size: 4 * MEBIBYTE..8 * MEBIBYTE,
                },
                ..Default::default()
            };
            let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
            let escaped = Arc::new(Mutex::new(Vec::new()));
            let to = escaped.clone();
            device.on_uncaptured_error(Arc::new(move |error| to.lock().expect("no panic").push(error.to_string())));
            let context = Context::new(&device, &queue);
            let geometry = geometry();
            let (inputs, outputs) = (u64::from(BATCH) * geometry.inputs(), u64::from(BATCH) * geometry.outputs());
            let buffers = [(inputs, 3), (outputs, 5), (outputs, 2), (inputs, 1)].map(|(count, step)| {
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
                let (label, size) = (Some("the host's"), 4 * count);
                let buffer =
                    device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false });
                queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&values(count, step)));
                buffer
            });
            Self { device, queue, context, buffers, escaped }
        }

        /// Everything that was written is on the device.
        fn settle(&self) {
            self.queue.submit([]);
            self.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device is there");
        }

        /// Takes steps up to one that fails.
        fn run(&self, layer: &mut Layer, from: usize) -> Option<(usize, Error)> {
            let steps = STEPS.iter().enumerate().skip(from);
            steps.into_iter().find_map(|(number, (_, step))| step(self, layer).err().map(|error| (number, error)))
        }
    }

    /// Bytes of this process's address space.
    fn size() -> u64 {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("it is there");
        let pages: u64 = pages.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number");
        pages * 4096
    }

    /// Limits the address space of this process.
    fn limit(bytes: u64) {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the calls are given a place of the type that they read and write.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &mut limit), 0);
            limit.rlim_cur = bytes.min(limit.rlim_max);
            assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &limit), 0);
        }
    }

    /// Free memory in small pieces: every other one of these.
    fn pieces() {
        let mut all: Vec<_> = (0..512).map(|i| vec![1u8; if i % 8 == 0 { 96 << 10 } else { 8 << 10 }]).collect();
        let mut number = 0;
        all.retain(|_| {
            number += 1;
            number % 2 == 0
        });
        std::mem::forget(all);
    }

    /// All steps with so many mebibytes beside what the process has before.
    fn within(room: u64) {
        let host = Host::new();
        WEIGHTS.get_or_init(|| values(LAYOUT.len(&geometry()), 5));
        host.settle();
        // Pipelines are compiled, and threads are there.
        let mut first = Layer::default();
        assert_eq!(host.run(&mut first, 0), None);
        let expected = std::mem::take(&mut first.read);
        drop(first);
        host.settle();
        pieces();
        let mut layer = Layer::default();
        limit(size() + room * MEBIBYTE);
        let failed = host.run(&mut layer, 0);
        limit(u64::MAX);
        assert_eq!(*host.escaped.lock().expect("no panic"), [""; 0], "{failed:?}: it went to the host's handler");
        match &failed {
            Some((step, error @ Error::OutOfMemory { .. })) => println!("{}: {error}", STEPS[*step].0),
            Some((step, error)) => panic!("{}: {error:?}", STEPS[*step].0),
            None => println!("{NOWHERE}"),
        }
        if let Some((step, _)) = failed {
            assert_eq!(host.run(&mut layer, step), None, "with memory again");
        }
        for (found, expected) in layer.read.iter().zip(&expected) {
            assert!(!found.is_empty() && found == expected, "the values are others");
        }
        assert_eq!(*host.escaped.lock().expect("no panic"), [""; 0]);
    }
}

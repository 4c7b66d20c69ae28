//! Memory of the whole process, so alone in it: uploads take it in bounded pieces, and many threads on one device take no
//! more in the last hundred recordings than in the first. The bits of every recording are those of the first, too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use locally_connected::headless::{Gpu, GpuOptions, GpuRunner};
use locally_connected::model::{Dense, Flatten, Sequential};
use locally_connected::reference;
use locally_connected::train::{
    Data, FanRule, FitOptions, Goal, Loss, Optimizer, Trainer, Training, initial_parameters,
};
use locally_connected::{
    Activation, Backward, Config, Context, Forward, Geometry, Implementation, LocallyConnected, Readback, wgpu,
};
use locally_connected::{DataFormat, KerasLayout};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Barrier, LazyLock};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does it; this only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(HELD.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: it came from `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static GPU: LazyLock<Gpu> =
    LazyLock::new(|| pollster::block_on(Gpu::with_options(&GpuOptions::default())).expect("tests need an adapter"));

/// What a layer computes from.
struct Operands {
    input: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    grad_output: Vec<f32>,
}

impl Operands {
    fn new(geometry: &Geometry, batch: u64) -> Self {
        let values = |count: u64, step: u64| (0..count).map(|i| ((i * step) % 17) as f32 / 8.0 - 1.0).collect();
        let (inputs, outputs) = (batch * geometry.inputs(), batch * geometry.outputs());
        let (weights, bias) = (values(geometry.weights(), 5), values(geometry.biases(), 3));
        Self { input: values(inputs, 7), weights, bias, grad_output: values(outputs, 11) }
    }
}

fn assert_near(what: &str, found: &[f32], expected: &[f64]) {
    let worst =
        found.iter().zip(expected).map(|(found, expected)| (f64::from(*found) - expected).abs()).fold(0.0, f64::max);
    assert!(found.len() == expected.len() && worst < 1e-4, "{what} is off by {worst}");
}

/// Most bytes that uploads take beside what they upload.
const BESIDE: u64 = 64 << 20;

/// One after the other, since each measures the whole process.
#[test]
fn memory_is_bounded() {
    uploads_take_memory_in_pieces();
    threads_record_on_one_device();
    a_thousand_calls_take_no_more();
}

/// A number of bytes in `/proc/self/status`; none where there is no such file.
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| 1024 * kilobytes)
}

/// 85 MB of weights in an order that isn't the device's.
fn uploads_take_memory_in_pieces() {
    let config = Config::new(64, [3, 3]).data_format(DataFormat::ChannelsFirst);
    let geometry = Geometry::new(&config, &[64, 26, 26]).expect("a layer");
    let bytes = 4 * geometry.weights();
    assert!(bytes > BESIDE && !KerasLayout::Implementation1.is_canonical(&geometry), "this would show nothing");
    let weights: Vec<f32> = (0..geometry.weights()).map(|index| (index % 8191) as f32).collect();
    let canonical = KerasLayout::Implementation1.to_canonical(&geometry, &weights).expect("its length");
    let (device, queue) = (GPU.context().device(), GPU.context().queue());
    let settle = || {
        queue.submit([]);
        device.poll(wgpu::PollType::wait_indefinitely()).expect("the device is there");
    };
    pollster::block_on(async {
        let layer = LocallyConnected::with_geometry(GPU.context(), geometry).await.expect("a layer");
        settle();
        // The whole process, a software adapter's device memory included, when the host submits between pieces.
        if std::fs::write("/proc/self/clear_refs", "5").is_ok() {
            let before = status("VmRSS:").expect("there is such a line");
            let mut upload = layer.upload_weights(&weights, KerasLayout::Implementation1).expect("its length");
            let mut pieces = 1;
            while upload.write_next().await.expect("memory") {
                pieces += 1;
                settle();
            }
            settle();
            let most = status("VmHWM:").expect("there is such a line") - before;
            println!("{pieces} pieces of {bytes} bytes: {most} bytes at most, the device's memory among them");
            assert!(pieces > 5 && most < bytes + BESIDE, "{most} bytes of {pieces} pieces for {bytes}");
        }
        assert_eq!(GPU.read_weights(&layer, layer.weights()).await.expect("read"), canonical);
        // The host's own memory, however it is uploaded.
        let held = HELD.load(Relaxed);
        MOST.store(held, Relaxed);
        layer.write_weights(&weights, KerasLayout::Implementation1).await.expect("memory");
        let most = (MOST.load(Relaxed) - held) as u64;
        println!("{most} bytes of the host's at most");
        assert!(most < BESIDE, "{most} bytes of the host's for {bytes}");
        settle();
    });
}

const THREADS: usize = 8;
const RECORDINGS: usize = 1000;

/// A layer with what it computes from, and the bits of its output and input gradient.
struct Case {
    layer: LocallyConnected,
    operands: Operands,
    expected: [Vec<u32>; 2],
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn case(context: &Context, config: &Config, shape: &[usize]) -> Case {
    let geometry = Geometry::new(config, shape).expect("a layer");
    let operands = Operands::new(&geometry, 2);
    let Operands { input, weights, bias, grad_output } = &operands;
    let passes = reference::passes(&geometry, reference::PassOperands { input, weights, bias, grad_output })
        .expect("their lengths");
    let (layer, expected) = pollster::block_on(async {
        let layer = LocallyConnected::with_geometry(context, geometry).await.expect("a layer");
        layer.write_canonical(weights).await.expect("their number");
        layer.write_bias(bias).await.expect("their number");
        let output = GPU.forward(&layer, input).await.expect("it runs");
        let gradients = GPU.backward(&layer, input, grad_output).await.expect("it runs");
        assert_near("output", &output, &passes.output);
        assert_near("grad_input", &gradients.input, &passes.grad_input);
        (layer, [bits(&output), bits(&gradients.input)])
    });
    Case { layer, operands, expected }
}

/// Forward, backward, uploads of the same weights and binding anew, as one thread's turn says, on layers that all share.
fn threads_record_on_one_device() {
    let context = GPU.context();
    let config = |activation| Config::new(4, [2, 2]).activation(activation);
    let cases = [
        case(context, &config(Activation::RELU).implementation(Implementation::Loop), &[5, 4, 4]),
        case(context, &config(Activation::Swish).implementation(Implementation::SparseGather), &[4, 4, 3]),
        case(context, &config(Activation::Softmax).implementation(Implementation::DenseMatmul), &[4, 3, 2]),
    ];
    let device = GPU.context().device();
    let together = Barrier::new(THREADS);
    let turn = |number: usize, readback: &mut Option<(usize, usize, Readback)>| {
        let case = &cases[number % cases.len()];
        let backward = number % 2;
        let Operands { input, weights, grad_output, .. } = &case.operands;
        pollster::block_on(async {
            if number.is_multiple_of(50) {
                case.layer.write_canonical(weights).await.expect("its length");
            }
            let (x, y, z, dy, dx) = (
                GPU.upload(input),
                GPU.empty(grad_output.len() as u64),
                GPU.empty(grad_output.len() as u64),
                GPU.upload(grad_output),
                GPU.empty(input.len() as u64),
            );
            let forward = Forward { batch: 2, input: &x, output: &y, pre_activation: Some(&z) };
            let mut passes = vec![case.layer.bind_forward(forward).await.expect("bound")];
            if backward == 1 {
                let backward = Backward {
                    batch: 2,
                    input: Some(&x),
                    output: Some(&y),
                    pre_activation: Some(&z),
                    grad_output: &dy,
                    grad_input: Some(&dx),
                    grad_weights: None,
                    grad_bias: None,
                    accumulate: false,
                };
                passes.push(case.layer.bind_backward(backward).await.expect("bound"));
            }
            let source = if backward == 1 { &dx } else { &y };
            let mut made = Readback::new(device, source).await.expect("made");
            GPU.submit(|encoder| {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                passes.iter().for_each(|bound| bound.record(&mut pass));
                drop(pass);
                made.record(encoder).expect("the first");
            });
            // The one before it, so that two are under way.
            if let Some((case, backward, mut before)) = readback.replace((number % cases.len(), backward, made)) {
                let found = GPU.drive(before.values()).await.expect("read");
                assert_eq!(bits(&found), cases[case].expected[backward], "recording {number}");
            }
        });
    };
    let memory = std::sync::Mutex::new([Vec::new(), Vec::new()]);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (together, turn, memory) = (&together, &turn, &memory);
            scope.spawn(move || {
                let mut readback = None;
                for recording in 0..RECORDINGS {
                    if recording == 100 || recording == RECORDINGS - 100 {
                        together.wait();
                        memory.lock().expect("no panic")[usize::from(recording > 100)]
                            .push(status("VmRSS:").unwrap_or(0));
                    }
                    turn(recording + 7 * thread, &mut readback);
                }
            });
        }
    });
    assert_eq!(GPU.check(), Ok(()));
    let [first, last] = memory.into_inner().expect("no panic").map(|seen| seen.into_iter().max().unwrap_or(0));
    println!("{first} bytes resident after the first hundred, {last} before the last");
    assert!(last < first + (32 << 20), "{first} bytes resident after the first hundred, {last} before the last");
}

/// A thousand calls of `predict`, of `evaluate` and of `fit` each: the device holds to the byte what it held after the first ones, and
/// the process no more.
fn a_thousand_calls_take_no_more() {
    let layer = Config::new(4, [3, 3]).activation(Activation::RELU);
    let graph = Sequential::new([6, 6, 1]).add(layer).add(Flatten::default()).add(Dense::new(3)).graph();
    let graph = graph.expect("layers");
    let goal = Goal::new(Loss::from_keras_name("mse").expect("a loss"));
    let training = Training::new(&graph, Optimizer::adam(), goal).expect("a training");
    let parameters = initial_parameters(&graph, FanRule::Keras, 1).expect("parameters");
    let (x, y): (Vec<f32>, Vec<f32>) =
        ((0..4 * 36).map(|i| (i % 13) as f32 / 13.0).collect(), (0..4 * 3).map(|i| (i % 3) as f32).collect());
    let held = || {
        GPU.context().device().poll(wgpu::PollType::wait_indefinitely()).expect("the device is there");
        let report = GPU.context().device().generate_allocator_report().expect("Vulkan's allocator reports");
        (report.total_allocated_bytes, report.allocations.len())
    };
    pollster::block_on(async {
        let mut trainer = Trainer::new(GpuRunner::new(&GPU), training, &parameters).await.expect("memory");
        let mut early = None;
        for call in 0..1000 {
            let data = Data::new(&x, &y);
            let options = FitOptions::new().batch_size(4).initial_epoch(call).epochs(call + 1);
            trainer.fit(&data, &options, &mut []).await.expect("it trains");
            trainer.evaluate(&data, 4).await.expect("it runs");
            trainer.predict(&[("input", &x)], 4).await.expect("it runs");
            if call == 20 {
                early = Some((held(), status("VmRSS:").unwrap_or(0), HELD.load(Relaxed)));
            }
        }
        let (device, resident, host) = early.expect("call 20");
        let grown = status("VmRSS:").unwrap_or(0).saturating_sub(resident);
        println!("{device:?} on the device after 20 and 1000 calls; {grown} more bytes resident");
        assert_eq!(held(), device, "bytes and buffers on the device after 20 and after 1000 calls");
        assert!(grown < 16 << 20, "{grown} more bytes resident");
        let grown = HELD.load(Relaxed).saturating_sub(host);
        assert!(grown < 1 << 20, "{grown} more bytes of the host's");
    });
}

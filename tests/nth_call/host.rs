//! A host on a device whose functions fail, and what it does with a layer.

use super::memory;
use super::table::{FUNCTIONS, Fault, Functions, arm, disarm, patch, take_counts};
use ash::vk;
use locally_connected::model::{self, Dense, Flatten, Model, Pooling, Sequential};
use locally_connected::ops::{PoolKind, Usage};
use locally_connected::{
    Activation, Backward, Bound, Config, Context, Error, Forward, Geometry, Gradients, KerasLayout, LocallyConnected,
    Readback, Tensor, TuneOptions, tune, wgpu,
};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use wgpu::hal::api::Vulkan;

const BATCH: u32 = 2;
const OUT_OF_MEMORY: [vk::Result; 2] = [vk::Result::ERROR_OUT_OF_DEVICE_MEMORY, vk::Result::ERROR_OUT_OF_HOST_MEMORY];

/// A device with our functions, its buffers, and what went to its handler of errors.
pub(super) struct Host {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    buffers: [wgpu::Buffer; 5],
    escaped: Arc<Mutex<Vec<String>>>,
}

/// What a host has of a layer, as far as it came.
#[derive(Default)]
pub(super) struct Layer {
    built: Option<LocallyConnected>,
    gradient: Option<Tensor>,
    pub(super) passes: Vec<Bound>,
    readback: Option<Readback>,
    pub(super) values: Vec<f32>,
}

/// In order.
pub(super) const STEPS: [&str; 8] =
    ["build", "upload", "prepare", "gradient", "bind", "make a readback", "record and read", "tune"];
pub(super) const TUNE: usize = STEPS.len() - 1;

fn geometry() -> Geometry {
    // swish saves the values before it: a pass of several operations, with scratch between them.
    let config = Config::new(4, [2]).activation(Activation::Swish);
    Geometry::new(&config, &[4, 2]).expect("a layer")
}

fn values(count: u64, step: u64) -> Vec<f32> {
    (0..count).map(|i| ((i * step) % 7) as f32 / 4.0 - 0.75).collect()
}

impl Host {
    pub(super) fn new(adapter: &wgpu::Adapter) -> Self {
        Self::with_features(adapter, wgpu::Features::empty())
    }

    pub(super) fn with_features(adapter: &wgpu::Adapter, features: wgpu::Features) -> Self {
        let limits = wgpu::Limits::default();
        // SAFETY: the device is made of this adapter's physical device, with what wgpu-hal asks for; whoever drops it last
        // is wgpu-hal, since there is no callback.
        let open = unsafe {
            let hal = adapter.as_hal::<Vulkan>().expect("a Vulkan adapter");
            let extensions = hal.required_device_extensions(features);
            let mut enabled = hal.physical_device_features(&extensions, features);
            let names: Vec<_> = extensions.iter().map(|name| name.as_ptr()).collect();
            let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
            let info = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
            let info = enabled.add_to_device_create(info);
            let instance = hal.shared_instance().raw_instance();
            let own = instance.create_device(hal.raw_physical_device(), &info, None).expect("a device");
            let patched = patch(Functions { v1_0: own.fp_v1_0().clone(), v1_2: own.fp_v1_2().clone() });
            let (v1, v3) = (own.fp_v1_1().clone(), own.fp_v1_3().clone());
            let patched = ash::Device::from_parts_1_3(own.handle(), patched.v1_0, v1, patched.v1_2, v3);
            let hints = memory::small_blocks();
            hal.device_from_raw(patched, None, &extensions, features, &limits, &hints, 0, 0).expect("a device")
        };
        let descriptor =
            wgpu::DeviceDescriptor { required_limits: limits, required_features: features, ..Default::default() };
        // SAFETY: it is of this adapter, and made with these limits and features.
        let made = unsafe { adapter.create_device_from_hal::<Vulkan>(open, &descriptor) };
        let (device, queue) = made.expect("a device");
        let escaped = Arc::new(Mutex::new(Vec::new()));
        let to = escaped.clone();
        device.on_uncaptured_error(Arc::new(move |error| to.lock().expect("no panic").push(error.to_string())));
        let geometry = geometry();
        let (inputs, outputs) = (u64::from(BATCH) * geometry.inputs(), u64::from(BATCH) * geometry.outputs());
        let buffers =
            [values(inputs, 3), values(outputs, 5), values(outputs, 2), values(outputs, 4), values(inputs, 1)];
        let buffers = buffers.map(|values| {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
            let (label, size) = (Some("the host's"), 4 * values.len() as u64);
            let buffer =
                device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false });
            queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&values));
            buffer
        });
        Self { device, queue, buffers, escaped }
    }

    /// Awaits, polling the device, for some seconds at most.
    pub(super) fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let began = std::time::Instant::now();
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())) {
                return value;
            }
            let _ = self.device.poll(wgpu::PollType::Poll);
            assert!(began.elapsed().as_secs() < 60, "it never ends");
            // The driver computes on these processors, too.
            std::thread::sleep(std::time::Duration::from_micros(20));
        }
    }

    /// Runs what is the host's own, whose errors are the host's.
    fn own<T>(&self, run: impl FnOnce() -> T) -> T {
        let filters = [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let result = run();
        scopes.into_iter().rev().for_each(|scope| drop(self.drive(scope.pop())));
        result
    }

    fn step(&self, step: usize, context: &Context, layer: &mut Layer) -> Result<(), Error> {
        let [x, y, z, dy, dx] = &self.buffers;
        let geometry = geometry();
        match STEPS[step] {
            "build" => {
                layer.built = Some(self.drive(LocallyConnected::with_geometry(context, geometry))?);
                return Ok(());
            }
            "tune" => {
                return self
                    .drive(tune(context, &geometry, BATCH, TuneOptions { repetitions: 1, roof: None }))
                    .map(drop);
            }
            _ => {}
        }
        let Layer { built: Some(built), gradient, passes, readback, values: read } = layer else {
            panic!("the steps before were taken")
        };
        match STEPS[step] {
            "upload" => {
                let weights = values(geometry.weights(), 3);
                self.drive(built.write_weights(&weights, KerasLayout::Implementation1))?;
                self.drive(built.write_bias(&values(geometry.biases(), 2)))?;
            }
            "prepare" => {
                self.drive(built.prepare_forward(BATCH, true))?;
                self.drive(built.prepare_backward(BATCH, Gradients::ALL))?;
            }
            "gradient" => *gradient = Some(self.drive(built.create_weights_gradient())?),
            "bind" => {
                passes.clear();
                let forward = Forward { batch: BATCH, input: x, output: y, pre_activation: Some(z) };
                passes.push(self.drive(built.bind_forward(forward))?);
                let backward = Backward {
                    batch: BATCH,
                    input: Some(x),
                    output: None,
                    pre_activation: Some(z),
                    grad_output: dy,
                    grad_input: Some(dx),
                    grad_weights: gradient.as_ref(),
                    grad_bias: None,
                    accumulate: false,
                };
                passes.push(self.drive(built.bind_backward(backward))?);
            }
            "make a readback" => *readback = Some(self.drive(Readback::new(&self.device, dx))?),
            "record and read" => {
                let readback = readback.as_mut().expect("made before");
                self.own(|| {
                    let mut encoder = self.device.create_command_encoder(&Default::default());
                    let mut pass = encoder.begin_compute_pass(&Default::default());
                    passes.iter().for_each(|bound| bound.record(&mut pass));
                    drop(pass);
                    let recorded = readback.record(&mut encoder);
                    self.queue.submit([encoder.finish()]);
                    recorded
                })?;
                *read = self.drive(readback.values())?;
            }
            other => panic!("{other}"),
        }
        Ok(())
    }

    pub(super) fn escaped(&self) -> Vec<String> {
        std::mem::take(&mut self.escaped.lock().expect("no panic"))
    }
}

/// All steps up to one, in which a fault is expected: the step that fails, and how.
pub(super) fn run(
    host: &Host,
    context: &Context,
    layer: &mut Layer,
    steps: std::ops::Range<usize>,
) -> Option<(usize, Error)> {
    steps.into_iter().find_map(|step| host.step(step, context, layer).err().map(|error| (step, error)))
}

pub(super) fn adapter() -> wgpu::Adapter {
    adapter_of(&locally_connected::headless::instance().expect("a backend"))
}

pub(super) fn adapter_of(instance: &wgpu::Instance) -> wgpu::Adapter {
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    adapters.pop().expect("a Vulkan adapter")
}

/// Five layers, those with operations named `C1`, `P`, `C2` and `D`.
pub(super) fn five_layers() -> Model {
    let graph = Sequential::new([12, 12, 3])
        .add(model::Layer::new(Config::new(8, [3, 3]).activation(Activation::RELU)).named("C1"))
        .add(model::Layer::new(Pooling::new(PoolKind::Max, [2, 2])).named("P"))
        .add(model::Layer::new(Config::new(6, [3, 3]).activation(Activation::Swish)).named("C2"))
        .add(Flatten::default())
        .add(model::Layer::new(Dense::new(10).activation(Activation::Softmax)).named("D"))
        .graph()
        .expect("a graph");
    let program = graph.forward();
    let parameters = program.used_as(Usage::Parameter).zip(1..);
    let parameters = parameters.map(|(buffer, step)| (buffer.name.clone(), values(buffer.shape.elements(1), step)));
    Model { parameters: parameters.collect(), graph: graph.clone() }
}

/// Frames of a host with a model of five layers in them: the driver is called as often as for frames of the host's alone, but
/// for the dispatches. So nothing of ours submits, polls, waits, allocates, maps or makes anything.
pub(crate) fn a_steady_frame() {
    const FRAMES: u64 = 50;
    let host = Host::new(&adapter());
    let context = Context::new(&host.device, &host.queue);
    let model = five_layers();
    let buffer = |size: u64| {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let label = Some("the host's");
        host.device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
    };
    let (x, y) = (buffer(model.input_bytes(2)), buffer(model.output_bytes(2)));
    let loaded = host.drive(model.upload(&context)).expect("its parameters");
    let bound = host.drive(loaded.bind_forward(2, &x, &y)).expect("bound");
    let dispatches = bound.dispatches() as u64;
    assert!(model.graph.layers().len() >= 5 && dispatches >= 5, "{dispatches} dispatches");
    let frames = |ours: bool| {
        for _ in 0..FRAMES {
            host.queue.write_buffer(&x, 0, &[0; 64]);
            let mut encoder = host.device.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            if ours {
                bound.record(&mut pass);
            }
            drop(pass);
            host.queue.submit([encoder.finish()]);
            host.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device is there");
        }
        take_counts()
    };
    // The first ones take memory that wgpu then keeps.
    frames(true);
    frames(false);
    let (without, mut with) = (frames(false), frames(true));
    assert_eq!(with.remove("cmd_dispatch"), Some(FRAMES * dispatches));
    assert_eq!(with, without, "calls of {FRAMES} frames with and without the model");
    assert_eq!(with.get("queue_submit"), Some(&FRAMES), "the host's own");
    assert!(with.contains_key("get_semaphore_counter_value") || with.contains_key("wait_semaphores"), "{with:?}");
    assert_eq!(host.escaped(), [""; 0]);
    println!("a steady frame: {dispatches} dispatches of ours; calls of {FRAMES} frames, the host's all: {with:?}");
}

/// Lets every call of a function fail, in each way.
pub(crate) fn every_call_fails(function: &str) {
    let function = *FUNCTIONS.iter().find(|known| **known == function).expect("a function");
    if ["allocate_memory", "map_memory"].contains(&function) {
        memory::alone();
    }
    let adapter = adapter();
    let expected = {
        let (host, mut layer) = (Host::new(&adapter), Layer::default());
        let context = Context::new(&host.device, &host.queue);
        assert_eq!(run(&host, &context, &mut layer, 0..STEPS.len()), None);
        assert_eq!(host.escaped(), [""; 0]);
        layer.values
    };
    let (mut faults, mut lost) = (0, 0);
    // A new device is made for the first loss of each kind.
    let mut rebuilt = Vec::new();
    // What memory there is none of matters to wgpu where memory is allocated, and nowhere else.
    let memory = if function == "allocate_memory" { &OUT_OF_MEMORY[..] } else { &OUT_OF_MEMORY[..1] };
    for result in memory.iter().copied().chain([vk::Result::ERROR_DEVICE_LOST, vk::Result::ERROR_UNKNOWN]) {
        // All but tuning in one go; tuning, long as it is, from a device on which it ran once.
        for steps in [0..TUNE, TUNE..STEPS.len()] {
            let mut call = 1;
            loop {
                let fault = Fault { function, call, result };
                let (host, mut layer) = (Host::new(&adapter), Layer::default());
                let context = Context::new(&host.device, &host.queue);
                assert_eq!(run(&host, &context, &mut layer, 0..steps.start), None, "{fault:?}");
                arm(fault);
                let failed = run(&host, &context, &mut layer, steps.clone());
                if !disarm() {
                    assert_eq!(failed, None, "{fault:?} never came");
                    break;
                }
                faults += 1;
                let met = Met { fault, failed, steps: steps.clone(), expected: &expected };
                if met.is_lost(&host, &context, &mut layer) {
                    lost += 1;
                    if !rebuilt.contains(&result) {
                        rebuilt.push(result);
                        met.rebuild(&adapter);
                    }
                }
                // Of tuning the first, and then ever fewer.
                call += if steps.start == TUNE { call } else { 1 };
            }
        }
    }
    assert!(faults > 0, "{function} is never called, so this shows nothing");
    println!("{function}: {faults} faults, {lost} of which lost the device");
}

/// A fault, and what came of it.
struct Met<'a> {
    fault: Fault,
    failed: Option<(usize, Error)>,
    /// What was to be done.
    steps: std::ops::Range<usize>,
    expected: &'a [f32],
}

impl Met<'_> {
    /// What must hold once a call has failed; whether the device is lost.
    fn is_lost(&self, host: &Host, context: &Context, layer: &mut Layer) -> bool {
        let Self { fault, failed, steps, expected } = self;
        let at = failed.as_ref().map(|(step, _)| STEPS[*step]);
        assert_eq!(host.escaped(), [""; 0], "{fault:?} at {at:?}: it went to the host's handler");
        match failed {
            Some((_, Error::DeviceLost(_))) => {
                // It stays lost, and says so.
                let again = host.step(0, context, &mut Layer::default());
                assert!(matches!(again, Err(Error::DeviceLost(_))), "{fault:?}: {again:?}");
            }
            Some((_, Error::OutOfMemory { .. })) | None => {
                let memory = OUT_OF_MEMORY.contains(&fault.result);
                assert!(memory || failed.is_none(), "{fault:?} at {at:?}: {failed:?}");
                // The same layer goes on from where it was.
                let from = failed.as_ref().map_or(steps.start, |(step, _)| *step);
                assert_eq!(run(host, context, layer, from..steps.end), None, "{fault:?} at {at:?}: again");
                assert_eq!(layer.values, *expected, "{fault:?}: again");
            }
            Some((_, error)) => panic!("{fault:?} at {at:?}: {error:?}"),
        }
        assert_eq!(host.escaped(), [""; 0], "{fault:?}: afterwards");
        matches!(failed, Some((_, Error::DeviceLost(_))))
    }

    /// A new device does all of it.
    fn rebuild(&self, adapter: &wgpu::Adapter) {
        let (new, mut layer) = (Host::new(adapter), Layer::default());
        let context = Context::new(&new.device, &new.queue);
        assert_eq!(run(&new, &context, &mut layer, 0..TUNE), None, "{:?}: a new device", self.fault);
        assert_eq!(layer.values, self.expected, "{:?}: a new device", self.fault);
    }
}

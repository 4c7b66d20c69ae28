//! What a host's device does wrong or is done wrong by its host: every call that touches it says so, with the right kind of
//! error, and none goes to the host's handler. The hosts here have none, so that wgpu would panic.

use crate::common::{Operands, random};
use locally_connected::headless::{adapters, instance, pick, wanted};
use locally_connected::model::{Layer, Local, Model, Sequential, layer_backward, layer_forward, layer_names, names};
use locally_connected::{
    Activation, Backward, Bindings, Bound, Config, Context, Error, Forward, Geometry, Gradients, KerasLayout,
    LocallyConnected, Readback, TuneOptions, Weights, tune, wgpu,
};
use std::sync::Arc;
use wgpu::BufferUsages;

/// A host with a device of its own and no handler of errors.
struct Host {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    context: Context,
}

impl Host {
    async fn new(limits: wgpu::Limits) -> Self {
        let instance = instance().expect("a backend");
        let mut adapters = adapters(&instance).await;
        let adapter = adapters.swap_remove(pick(&adapters, wanted(None).as_deref()).expect("tests need an adapter"));
        Self::on(adapter, limits).await
    }

    async fn on(adapter: wgpu::Adapter, limits: wgpu::Limits) -> Self {
        let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
        let (device, queue) = adapter.request_device(&descriptor).await.expect("a device");
        let context = Context::new(&device, &queue);
        Self { adapter, device, queue, context }
    }

    fn buffer(&self, bytes: u64, usage: BufferUsages) -> wgpu::Buffer {
        let label = Some("the host's");
        self.device.create_buffer(&wgpu::BufferDescriptor { label, size: bytes, usage, mapped_at_creation: false })
    }

    fn filled(&self, values: &[f32]) -> wgpu::Buffer {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let buffer = self.buffer(4 * values.len() as u64, usage);
        self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(values));
        buffer
    }

    fn record(&self, bound: &Bound, readbacks: &mut [&mut Readback]) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        for readback in readbacks {
            readback.record(&mut encoder).expect("not recorded yet");
        }
        self.queue.submit([encoder.finish()]);
    }

    fn wait(&self) {
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device is there");
    }
}

fn geometry() -> Geometry {
    let config = Config::new(4, [3]).activation(Activation::Swish);
    Geometry::new(&config, &[8, 3]).expect("a layer")
}

/// A layer's buffers of a host.
struct Buffers {
    x: wgpu::Buffer,
    y: wgpu::Buffer,
    z: wgpu::Buffer,
    dy: wgpu::Buffer,
    dx: wgpu::Buffer,
    db: wgpu::Buffer,
}

impl Buffers {
    fn new(host: &Host, operands: &Operands) -> Self {
        let [x, dx] = [&operands.input, &operands.input].map(|values| host.filled(values));
        let [y, z, dy] = [(); 3].map(|()| host.filled(&operands.grad_output));
        Self { x, y, z, dy, dx, db: host.filled(&operands.bias) }
    }

    fn forward(&self) -> Forward<&wgpu::Buffer> {
        Forward { batch: 2, input: &self.x, output: &self.y, pre_activation: Some(&self.z) }
    }

    fn backward(&self) -> Backward<'_> {
        Backward {
            batch: 2,
            input: Some(&self.x),
            output: None,
            pre_activation: Some(&self.z),
            grad_output: &self.dy,
            grad_input: Some(&self.dx),
            grad_weights: None,
            grad_bias: Some(&self.db),
            accumulate: false,
        }
    }
}

#[track_caller]
fn lost<T>(what: &str, result: Result<T, Error>) {
    match result {
        Err(error) if matches!(error.cause(), Error::DeviceLost(_)) => {}
        Err(error) => panic!("{what} on a lost device: {error:?}"),
        Ok(_) => panic!("{what} is taken by a lost device"),
    }
}

#[test]
fn a_lost_device_is_said_by_every_call_that_touches_it() {
    pollster::block_on(async {
        let host = Host::new(wgpu::Limits::default()).await;
        let (geometry, context) = (geometry(), &host.context);
        let operands = Operands::random(&geometry, 2, 3);
        let buffers = Buffers::new(&host, &operands);
        let layer = operands.layer(context, &geometry).await.expect("a layer");
        let forward = layer.bind_forward(buffers.forward()).await.expect("bound");
        let [mut before, mut after] = [
            Readback::new(&host.device, &buffers.y).await.expect("made"),
            Readback::new(&host.device, &buffers.y).await.expect("made"),
        ];
        let mut kernel = layer.read_weights(layer.weights()).await.expect("made");
        let program = layer_forward(&Arc::new(geometry.clone()), false);
        let weights = Weights::new(context, &program).await.expect("memory");
        let parameters = [("kernel", operands.weights.clone()), ("bias", operands.bias.clone())];
        let parameters = parameters.map(|(weight, values)| (names::parameter("a", weight), values)).into();
        let local = Layer::new(Local::Geometry(geometry.clone().into())).named("a");
        let graph = Sequential::new(geometry.input_shape()).add(local).graph().expect("a layer");
        let model = Model { graph, parameters };
        let loaded = model.upload(context).await.expect("a model");
        host.record(&forward, &mut [&mut before]);
        host.wait();
        assert_eq!(before.values().await.expect("read").len(), operands.grad_output.len());

        host.device.destroy();
        let config = geometry.config();
        lost("new", LocallyConnected::new(context, config, geometry.input_shape()).await);
        lost("Weights::new", Weights::new(context, &program).await);
        lost("upload", model.upload(context).await);
        lost("write_weights", layer.write_weights(&operands.weights, KerasLayout::Implementation1).await);
        lost("write_canonical", layer.write_canonical(&operands.weights).await);
        lost("write_bias", layer.write_bias(&operands.bias).await);
        lost("write_next", weights.upload("weights", &operands.weights).expect("its length").write_next().await);
        lost("write", weights.write("weights", &operands.weights).await);
        // Compiled before, and not.
        lost("prepare_forward", layer.prepare_forward(2, true).await);
        lost("prepare_backward", layer.prepare_backward(2, Gradients::ALL).await);
        lost("bind_forward", layer.bind_forward(buffers.forward()).await);
        lost("bind_backward", layer.bind_backward(buffers.backward()).await);
        lost("Loaded::bind_forward", loaded.bind_forward(2, &buffers.x, &buffers.y).await);
        let bindings = Bindings::default().with("input", &buffers.x).with("output", &buffers.y);
        lost("bind", weights.bind(&program, 2, &bindings).await);
        lost("prepare", weights.prepare(&program, 2).await);
        let variants: Vec<_> = forward.plan().dispatches().map(|dispatch| dispatch.variant).collect();
        lost("compile", context.compile(&variants).await);
        lost("create_weights_gradient", layer.create_weights_gradient().await);
        lost("create_gradient", weights.create_gradient("bias").await);
        lost("read_weights", layer.read_weights(layer.weights()).await);
        lost("Readback::new", Readback::new(&host.device, &buffers.y).await);
        lost("tune", tune(context, &geometry, 2, TuneOptions { repetitions: 1, roof: None }).await);
        // What was made before still records; its values never come.
        let mut encoder = host.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        forward.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        after.record(&mut encoder).expect("not recorded yet");
        kernel.record(&mut encoder).expect("not recorded yet");
        host.queue.submit([encoder.finish()]);
        lost("values", after.values().await);
        lost("canonical", kernel.canonical().await);

        // What the host has kept makes the layer again, to the bit.
        let other = Host::new(wgpu::Limits::default()).await;
        let again = operands.layer(&other.context, &geometry).await.expect("a layer");
        let new = Buffers::new(&other, &operands);
        let bound = again.bind_forward(new.forward()).await.expect("bound");
        let mut readback = Readback::new(&other.device, &new.y).await.expect("made");
        other.record(&bound, &mut [&mut readback]);
        other.wait();
        let values = readback.values().await.expect("read");
        let expected = operands.reference(&geometry).output;
        crate::common::assert_near("output", &values, &expected, crate::common::FORWARD);
    });
}

/// A buffer that was destroyed, or is of another device, is called by its name and not called ours.
#[test]
fn buffers_that_the_device_refuses() {
    pollster::block_on(async {
        let host = Host::new(wgpu::Limits::default()).await;
        // Of the same instance: another's handles are numbers to wgpu that it takes for its own.
        let other = Host::on(host.adapter.clone(), wgpu::Limits::default()).await;
        let geometry = geometry();
        let operands = Operands::random(&geometry, 2, 3);
        let layer = operands.layer(&host.context, &geometry).await.expect("a layer");
        let [own, foreign] = [Buffers::new(&host, &operands), Buffers::new(&other, &operands)];
        let destroyed = Buffers::new(&host, &operands);
        for buffer in [&destroyed.x, &destroyed.y, &destroyed.z, &destroyed.dy, &destroyed.dx, &destroyed.db] {
            buffer.destroy();
        }
        let named = |result: Result<Bound, Error>, name: &str| {
            let result = result.map(drop);
            assert!(matches!(&result, Err(Error::Refused { what, .. }) if *what == name), "{name}: {result:?}");
        };
        for bad in [&foreign, &destroyed] {
            named(layer.bind_forward(Forward { input: &bad.x, ..own.forward() }).await, "input");
            named(layer.bind_forward(Forward { output: &bad.y, ..own.forward() }).await, "output");
            let forward = Forward { pre_activation: Some(&bad.z), ..own.forward() };
            named(layer.bind_forward(forward).await, "pre_activation");
            named(layer.bind_backward(Backward { grad_output: &bad.dy, ..own.backward() }).await, "grad_output");
            named(layer.bind_backward(Backward { grad_bias: Some(&bad.db), ..own.backward() }).await, "grad_bias");
            let refused = Readback::new(&host.device, &bad.y).await.map(drop);
            let what = "the source of a readback";
            assert!(matches!(&refused, Err(Error::Refused { what: found, .. }) if *found == what), "{refused:?}");
        }
        // Nothing of it is left: the same layer goes on.
        let bound = layer.bind_forward(own.forward()).await.expect("bound");
        let mut readback = Readback::new(&host.device, &own.y).await.expect("made");
        host.record(&bound, &mut [&mut readback]);
        host.wait();
        assert!(readback.values().await.is_ok());
    });
}

/// A profile that promises more than the device has doesn't let the planner believe it.
#[test]
fn a_profile_is_kept_within_the_device() {
    pollster::block_on(async {
        let host =
            Host::new(wgpu::Limits { max_storage_buffer_binding_size: 1 << 16, ..wgpu::Limits::default() }).await;
        let mut profile = host.context.profile().clone();
        (profile.max_binding, profile.storage_alignment, profile.max_workgroups) = (1 << 30, 4, u32::MAX);
        let context = Context::with_profile(&host.device, &host.queue, profile);
        assert_eq!(context.profile(), host.context.profile());
        assert_eq!(context.planning_with(context.profile().clone()).profile(), host.context.profile());
        let geometry = Geometry::new(&Config::new(16, [3, 3]), &[12, 12, 8]).expect("a layer");
        let operands = Operands::random(&geometry, 2, 3);
        let layer = operands.layer(&context, &geometry).await.expect("a layer");
        assert!(layer.weights().chunks().len() > 1, "nothing is cut, so this shows nothing");
        let buffers = Buffers::new(&host, &operands);
        assert!(layer.bind_forward(Forward { pre_activation: None, ..buffers.forward() }).await.is_ok());
    });
}

/// One rule for all operands: a buffer may be larger than a binding and of any length; what is beyond the operand isn't
/// touched.
#[test]
fn larger_buffers_of_any_length() {
    pollster::block_on(async {
        let limit = 1 << 16;
        let host = Host::new(wgpu::Limits { max_storage_buffer_binding_size: limit, ..wgpu::Limits::default() }).await;
        let geometry = geometry();
        let operands = Operands::random(&geometry, 2, 3);
        let layer = operands.layer(&host.context, &geometry).await.expect("a layer");
        let own = Buffers::new(&host, &operands);
        let weights = 4 * geometry.weights();
        for bytes in [weights + 2, 2 * limit, 2 * limit + 2] {
            let large = || host.buffer(bytes, BufferUsages::STORAGE);
            let [x, y, z, dy, dx, db, dw] = [(); 7].map(|()| large());
            let gradient = layer.weights_gradient_in([&dw]).expect("large enough");
            for batch in [2, 0] {
                let forward = Forward { batch, input: &x, output: &y, pre_activation: Some(&z) };
                layer.bind_forward(forward).await.unwrap_or_else(|error| panic!("{bytes} bytes: {error}"));
                let all = Backward {
                    batch,
                    input: Some(&x),
                    output: None,
                    pre_activation: Some(&z),
                    grad_output: &dy,
                    grad_input: Some(&dx),
                    grad_weights: Some(&gradient),
                    grad_bias: Some(&db),
                    accumulate: false,
                };
                layer.bind_backward(all).await.unwrap_or_else(|error| panic!("{bytes} bytes: {error}"));
                // By name, where a gradient of weights may be a range, too.
                let program = layer_backward(&Arc::new(geometry.clone()), Gradients::ALL);
                let weights = Weights::new(&host.context, &program).await.expect("memory");
                let bindings = [
                    (layer_names::INPUT, &x),
                    (layer_names::PRE_ACTIVATION, &z),
                    (layer_names::GRAD_OUTPUT, &dy),
                    (layer_names::GRAD_INPUT, &dx),
                    (layer_names::GRAD_WEIGHTS, &dw),
                    (layer_names::GRAD_BIAS, &db),
                ];
                let bindings =
                    bindings.into_iter().fold(Bindings::default(), |all, (name, buffer)| all.with(name, buffer));
                weights.bind(&program, batch, &bindings).await.unwrap_or_else(|error| panic!("{bytes} bytes: {error}"));
            }
        }
        // And the values are those of buffers of their own.
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let y = host.buffer(2 * limit + 2, usage);
        let beyond = random(5, 16);
        let end = 4 * operands.grad_output.len() as u64;
        host.queue.write_buffer(&y, end, bytemuck::cast_slice(&beyond));
        let bound = layer.bind_forward(Forward { output: &y, ..own.forward() }).await.expect("bound");
        let mut readback = Readback::new(&host.device, y.slice(..end + 64)).await.expect("made");
        host.record(&bound, &mut [&mut readback]);
        host.wait();
        let mut values = readback.values().await.expect("read");
        assert_eq!(values.split_off(operands.grad_output.len()), beyond);
        crate::common::assert_near("output", &values, &operands.reference(&geometry).output, crate::common::FORWARD);
    });
}

/// A readback is recorded as often as one likes, but not before what was recorded is taken; one whose encoder was dropped
/// says so.
#[test]
fn readbacks_are_recorded_again() {
    pollster::block_on(async {
        let host = Host::new(wgpu::Limits::default()).await;
        let source = host.filled(&[1.0, 2.0]);
        let mut readback = Readback::new(&host.device, &source).await.expect("made");
        assert_eq!(readback.values().await, Err(Error::NotSubmitted));
        let encoder = || host.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut dropped = encoder();
        readback.record(&mut dropped).expect("the first");
        assert_eq!(readback.record(&mut encoder()), Err(Error::NotTaken));
        drop(dropped);
        assert_eq!(readback.values().await, Err(Error::NotSubmitted));
        for round in 0..3 {
            let values = [round as f32, 7.0];
            host.queue.write_buffer(&source, 0, bytemuck::cast_slice(&values));
            let mut encoder = encoder();
            readback.record(&mut encoder).expect("taken before");
            host.queue.submit([encoder.finish()]);
            host.wait();
            assert_eq!(readback.values().await, Ok(values.to_vec()));
        }
    });
}

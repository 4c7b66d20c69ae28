//! What makes a host's code short: sizes in bytes, operands by name, and waiting for what it has submitted.

use crate::common::{GPU, random};
use locally_connected::headless::instance;
use locally_connected::model::{Layer, Model, Sequential};
use locally_connected::{
    Backward, Bias, Config, Context, Error, Forward, Geometry, Gradients, KerasLayout, LocallyConnected, Readback,
    reference, wait, wgpu,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn config() -> Config {
    Config::new(2, [3])
}

#[test]
fn sizes_are_said_in_bytes() {
    let layer = Geometry::new(&config(), &[7, 4]).expect("a layer");
    assert_eq!(layer.input_bytes(3), 3 * 7 * 4 * 4);
    assert_eq!(layer.output_bytes(3), 3 * 5 * 2 * 4);
    assert_eq!(layer.bias_bytes(), 5 * 2 * 4);
    assert_eq!(Geometry::new(&config().bias(Bias::None), &[7, 4]).expect("a layer").bias_bytes(), 0);
    assert_eq!(layer.input_bytes(0), 0);
    let graph = Sequential::new([7, 4]).add(Layer::new(config())).graph().expect("a graph");
    let model = Model { graph, parameters: BTreeMap::new() };
    assert_eq!((model.input_bytes(3), model.output_bytes(3)), (layer.input_bytes(3), layer.output_bytes(3)));
    assert_eq!(model.graph.outputs()[0].bytes(2), layer.output_bytes(2));
}

#[test]
fn operands_by_name_make_the_passes_that_structs_make() {
    let (device, queue) = (GPU.context().device(), GPU.context().queue());
    let layer = wait(device, LocallyConnected::new(GPU.context(), &config(), &[7, 4])).expect("a layer");
    let geometry = layer.geometry().clone();
    let weights = random(1, geometry.weights());
    let bias = random(2, geometry.biases());
    wait(device, layer.write_weights(&weights, KerasLayout::Implementation1)).expect("uploaded");
    wait(device, layer.write_bias(&bias)).expect("uploaded");
    let buffer = |bytes: u64, values: &[f32]| {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let descriptor = wgpu::BufferDescriptor { label: None, size: bytes, usage, mapped_at_creation: false };
        let buffer = device.create_buffer(&descriptor);
        queue.write_buffer(&buffer, 0, bytemuck::cast_slice(values));
        buffer
    };
    let (given, gradient) = (random(3, 2 * geometry.inputs()), random(4, 2 * geometry.outputs()));
    let (x, dy) = (buffer(geometry.input_bytes(2), &given), buffer(geometry.output_bytes(2), &gradient));
    let (y, dx) = (buffer(geometry.output_bytes(2), &[]), buffer(geometry.input_bytes(2), &[]));
    let (z, db) = (buffer(geometry.output_bytes(2), &[]), buffer(geometry.bias_bytes(), &[]));
    let dw = wait(device, layer.create_weights_gradient()).expect("a gradient");

    let forward = Forward::new(2, &x, &y).pre_activation(&z);
    let backward = Backward::new(2, &dy).input(&x).grad_input(&dx).grad_bias(&db).grad_weights(&dw);
    let backward = backward.output(&y).pre_activation(&z);
    let passes = [wait(device, layer.bind_forward(forward)), wait(device, layer.bind_backward(backward))];
    let mut readbacks =
        [&y, &z, &dx, &db].map(|buffer| wait(device, Readback::new(device, buffer)).expect("a readback"));
    let mut of_weights = wait(device, layer.read_weights(&dw)).expect("a readback");
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    passes.iter().for_each(|bound| bound.as_ref().expect("bound").record(&mut pass));
    drop(pass);
    readbacks.iter_mut().for_each(|readback| readback.record(&mut encoder).expect("recorded"));
    of_weights.record(&mut encoder).expect("recorded");
    queue.submit([encoder.finish()]);

    let expected = reference::passes(
        &geometry,
        reference::PassOperands { input: &given, weights: &weights, bias: &bias, grad_output: &gradient },
    )
    .expect("the reference");
    let of = [&expected.output, &expected.pre_activation, &expected.grad_input, &expected.grad_bias];
    for (readback, expected) in readbacks.iter_mut().zip(of) {
        crate::common::assert_near("a pass", &wait(device, readback.values()).expect("values"), expected, 1e-5);
    }
    let found = wait(device, of_weights.canonical()).expect("values");
    crate::common::assert_near("the weights' gradient", &found, &expected.grad_weights, 1e-5);
}

#[test]
fn what_never_comes_is_not_waited_for_in_vain() {
    let device = GPU.context().device();
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size: 16,
        usage: wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    };
    let source = device.create_buffer(&descriptor);
    let mut readback = wait(device, Readback::new(device, &source)).expect("a readback");
    assert_eq!(wait(device, readback.values()), Err(Error::NotSubmitted), "not even recorded");
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    readback.record(&mut encoder).expect("recorded");
    let began = Instant::now();
    assert_eq!(wait(device, readback.values()), Err(Error::NotSubmitted), "the encoder is still the host's");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    // And once it is submitted, it comes.
    GPU.context().queue().submit([encoder.finish()]);
    assert_eq!(wait(device, readback.values()), Ok(vec![0.0; 4]));
}

#[test]
fn a_lost_device_is_not_waited_for_in_vain() {
    let instance = instance().expect("a backend");
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).expect("one");
    let device = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).expect("a device").0;
    device.destroy();
    let found = wait(&device, std::future::pending::<locally_connected::Result<()>>());
    assert!(matches!(found, Err(Error::DeviceLost(_))), "{found:?}");
}

/// What `Bound::record` says of the state that it leaves behind: the host's bind group 1 is still set.
#[test]
fn recording_leaves_the_host_s_other_bind_groups() {
    const HOST: &str = "
@group(0) @binding(0) var<storage, read> from_values: array<f32>;
@group(1) @binding(0) var<storage, read_write> to_values: array<f32>;
@compute @workgroup_size(1) fn copy() { to_values[0] = from_values[0] + 1.0; }";
    let (device, queue) = (GPU.context().device(), GPU.context().queue());
    let layer = wait(device, LocallyConnected::new(GPU.context(), &config(), &[7, 4])).expect("a layer");
    wait(device, layer.write_bias(&[0.5; 10])).expect("uploaded");
    let buffer = |size: u64| {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let (x, y) = (buffer(layer.geometry().input_bytes(1)), buffer(layer.geometry().output_bytes(1)));
    let sum = buffer(4);
    let bound = wait(device, layer.bind_forward(Forward::new(1, &x, &y))).expect("bound");
    let source = wgpu::ShaderSource::Wgsl(HOST.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("copy"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let [first, second] = [(0, &y), (1, &sum)].map(|(group, buffer)| {
        let entries = &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }];
        let layout = &pipeline.get_bind_group_layout(group);
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries })
    });
    let mut readback = wait(device, Readback::new(device, &sum)).expect("a readback");
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    pass.set_bind_group(1, &second, &[]);
    bound.record(&mut pass);
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &first, &[]);
    pass.dispatch_workgroups(1, 1, 1);
    drop(pass);
    readback.record(&mut encoder).expect("recorded");
    queue.submit([encoder.finish()]);
    assert_eq!(wait(device, readback.values()), Ok(vec![1.5]));
}

/// Threads that compile one after another, each for longer than callbacks may take, are no reason to give up.
#[test]
fn what_other_threads_compile_is_waited_for() {
    let (device, queue) = (GPU.context().device(), GPU.context().queue());
    let context = Context::new(device, queue);
    let activations = crate::common::activations();
    std::thread::scope(|scope| {
        let prepared = activations.iter().map(|&activation| {
            let context = &context;
            scope.spawn(move || {
                let config = Config::new(4, [3]).activation(activation);
                let layer = wait(device, LocallyConnected::new(context, &config, &[9, 4]))?;
                wait(device, layer.prepare_forward(3, true))?;
                wait(device, layer.prepare_backward(3, Gradients::ALL))
            })
        });
        let prepared: Vec<_> = prepared.collect();
        for (thread, activation) in prepared.into_iter().zip(&activations) {
            assert_eq!(thread.join().expect("no panic"), Ok(()), "{activation:?}");
        }
    });
    assert_eq!(context.pipelines().compiled(), context.pipelines().len(), "each once");
}

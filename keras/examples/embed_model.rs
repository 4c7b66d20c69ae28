//! A host that owns its device and its frame runs the digits model from its file between two passes of its own: one makes
//! the model's input of 8-bit pixels, one takes the most probable digit of the model's output. One encoder, one submit, and
//! nothing goes through the host's memory but pixels and digits.
//!
//! `cargo run --release --package locally-connected-keras --example embed_model`

#![forbid(unsafe_code)]

use locally_connected::{Context, Readback, wgpu};
use locally_connected_keras::npy;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Images of a frame.
const BATCH: u32 = 64;

/// The host's own shaders. `workgroup_size(64)`: a pixel, or an image, is a thread's.
const HOST: &str = "
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_values: array<f32>;

@compute @workgroup_size(64)
fn unpack(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&target_values)) {
        // Four pixels a word, white at 16.
        target_values[id.x] = f32(extractBits(source[id.x / 4u], id.x % 4u * 8u, 8u)) / 16.0;
    }
}

@group(1) @binding(0) var<storage, read> probabilities: array<f32>;
@group(1) @binding(1) var<storage, read_write> digits: array<f32>;

@compute @workgroup_size(64)
fn most_probable(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&digits)) {
        return;
    }
    let classes = arrayLength(&probabilities) / arrayLength(&digits);
    var best = 0u;
    for (var digit = 1u; digit < classes; digit++) {
        if (probabilities[id.x * classes + digit] > probabilities[id.x * classes + best]) {
            best = digit;
        }
    }
    digits[id.x] = f32(best);
}
";

/// A pass of the host's.
struct HostPass {
    pipeline: wgpu::ComputePipeline,
    group: u32,
    bind_group: wgpu::BindGroup,
    workgroups: u32,
}

impl HostPass {
    fn new(
        device: &wgpu::Device,
        module: &wgpu::ShaderModule,
        (entry_point, group): (&str, u32),
        [from, to]: [&wgpu::Buffer; 2],
    ) -> Self {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry_point),
            layout: None,
            module,
            entry_point: Some(entry_point),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let entries = [(0, from), (1, to)]
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
        let layout = &pipeline.get_bind_group_layout(group);
        let descriptor = wgpu::BindGroupDescriptor { label: Some(entry_point), layout, entries: &entries };
        let bind_group = device.create_bind_group(&descriptor);
        Self { pipeline, group, bind_group, workgroups: (to.size() / 4).div_ceil(64) as u32 }
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(self.group, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.workgroups, 1, 1);
    }
}

/// The host's device, with nothing that WebGPU doesn't promise.
async fn device() -> Result<(wgpu::Device, wgpu::Queue)> {
    let instance = locally_connected::headless::instance()?;
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
    Ok(adapter.request_device(&wgpu::DeviceDescriptor::default()).await?)
}

/// The digits that the model sees in the test images, and those that Keras does.
pub(crate) async fn run() -> Result<(Vec<f32>, Vec<f32>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/digits");
    let (device, queue) = device().await?;
    let buffer = |label, size, usage| {
        device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
    };

    // Once: the model on the host's device, bound for a frame's images.
    let model = locally_connected_keras::read(folder.join("digits.h5"))?;
    let inputs = model.input_bytes(BATCH) / 4;
    let storage = wgpu::BufferUsages::STORAGE;
    let pixels = buffer("pixels", inputs, storage | wgpu::BufferUsages::COPY_DST);
    let input = buffer("input", model.input_bytes(BATCH), storage);
    let output = buffer("output", model.output_bytes(BATCH), storage);
    let digits = buffer("digits", 4 * u64::from(BATCH), storage | wgpu::BufferUsages::COPY_SRC);
    let loaded = model.upload(&Context::new(&device, &queue)).await?;
    let bound = loaded.bind_forward(BATCH, &input, &output).await?;

    let source = wgpu::ShaderSource::Wgsl(HOST.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("host"), source });
    let before = HostPass::new(&device, &module, ("unpack", 0), [&pixels, &input]);
    let after = HostPass::new(&device, &module, ("most_probable", 1), [&output, &digits]);

    // The images lie in 0..1 in sixteenths; a frame's are 8 bits a pixel.
    let images = npy::read_npy(folder.join("x_test.npy"))?.values;
    let mut found = Vec::new();
    let mut readback = Readback::new(&device, &digits).await?;
    for frame in images.chunks(inputs as usize) {
        let mut bytes: Vec<u8> = frame.iter().map(|value| (16.0 * value).round() as u8).collect();
        bytes.resize(inputs as usize, 0); // the last frame has fewer images
        queue.write_buffer(&pixels, 0, &bytes);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        before.record(&mut pass);
        bound.record(&mut pass);
        after.record(&mut pass);
        drop(pass);
        readback.record(&mut encoder)?;
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely())?;
        found.extend(readback.values().await?);
    }
    found.truncate(images.len() / model.input_shape().iter().product::<usize>());

    let keras = npy::read_npy(folder.join("predictions.npy"))?;
    let best =
        |row: &[f32]| row.iter().zip(0u8..).max_by(|a, b| a.0.total_cmp(b.0)).map_or(0.0, |(_, class)| class.into());
    Ok((found, keras.values.chunks(model.output_shape().iter().product()).map(best).collect()))
}

#[cfg_attr(test, expect(dead_code, reason = "the test calls what it calls"))]
fn main() -> Result<()> {
    let (ours, keras) = pollster::block_on(run())?;
    let same = ours.iter().zip(&keras).filter(|(a, b)| a == b).count();
    println!("{} images in frames of {BATCH}: the digit is Keras's in {same} of {}", ours.len(), keras.len());
    if same == keras.len() && ours.len() == keras.len() { Ok(()) } else { Err("not the same as Keras".into()) }
}

//! The application's frames: its copy, our layer and model, its copy back, on its queue.

use crate::app::{App, Between, Instance};
use crate::guest::{self, Held};
use crate::{Options, Result};
use ash::vk;
use locally_connected::{
    Activation, Config, Context, Forward, Geometry, KerasLayout, LocallyConnected, reference, wgpu,
};
use locally_connected_keras::npy;
use std::path::Path;

/// Images of a frame.
const BATCH: u32 = 64;

/// What was found.
pub(crate) struct Report {
    pub(crate) device: String,
    pub(crate) images: usize,
    /// The largest difference of the layer's outputs to the reference in f64.
    pub(crate) layer: f32,
    /// The largest difference of the model's predictions to Keras's.
    pub(crate) model: f32,
    /// What the validation layers said.
    pub(crate) messages: Vec<String>,
}

pub(crate) fn run(options: Options) -> Result<Report> {
    // SAFETY: it is the system's Vulkan loader.
    let entry = unsafe { ash::Entry::load() }?;
    let extensions = guest::instance_extensions(&entry)?;
    let instance = Instance::new(entry, extensions, options.validate)?;
    let held = Held::default();
    let (mut app, device, queue) = guest::devices(&instance, &held)?;
    app.barriers = !options.without_barriers;
    let name = device.adapter_info().name;
    let found = pollster::block_on(frames(&app, &device, &queue, &held));

    // All that wgpu holds must go before the application destroys what is its own.
    drop((device, queue));
    if held.count() > 0 {
        std::mem::forget((app, instance));
        return Err(format!("wgpu still holds {} handles", held.count()).into());
    }
    drop(app);
    let (images, layer, model) = found?;
    Ok(Report { device: name, images, layer, model, messages: instance.messages() })
}

/// The application's copy, then what our passes read.
const UPLOADED: Between = Between {
    from: (vk::PipelineStageFlags::TRANSFER, vk::AccessFlags::TRANSFER_WRITE),
    to: (vk::PipelineStageFlags::COMPUTE_SHADER, vk::AccessFlags::SHADER_READ),
};
/// What our passes wrote, then the application's copy. It waits for all earlier submits of the queue, wgpu's too.
const COMPUTED: Between = Between {
    from: (vk::PipelineStageFlags::COMPUTE_SHADER, vk::AccessFlags::SHADER_WRITE),
    to: (vk::PipelineStageFlags::TRANSFER, vk::AccessFlags::TRANSFER_READ),
};
/// The application's copy, then its own processor.
const READABLE: Between = Between {
    from: (vk::PipelineStageFlags::TRANSFER, vk::AccessFlags::TRANSFER_WRITE),
    to: (vk::PipelineStageFlags::HOST, vk::AccessFlags::HOST_READ),
};

/// How many images there were, and how far off the layer's and the model's outputs are.
async fn frames(app: &App, device: &wgpu::Device, queue: &wgpu::Queue, held: &Held) -> Result<(usize, f32, f32)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/digits");
    let images = npy::read_npy(folder.join("x_test.npy"))?.values;
    let keras = npy::read_npy(folder.join("predictions.npy"))?.values;
    let model = locally_connected_keras::read(folder.join("digits.h5"))?;
    let config = Config::new(4, [3, 3]).activation(Activation::RELU);
    let geometry = Geometry::new(&config, model.input_shape())?;

    // The application's buffers: of the device's memory for the passes, mapped on either side of them.
    let storage = vk::BufferUsageFlags::STORAGE_BUFFER;
    let (source, target) = (vk::BufferUsageFlags::TRANSFER_SRC, vk::BufferUsageFlags::TRANSFER_DST);
    let input = app.buffer(geometry.input_bytes(BATCH), storage | target, false)?;
    let maps = app.buffer(geometry.output_bytes(BATCH), storage | source, false)?;
    let predictions = app.buffer(model.output_bytes(BATCH), storage | source, false)?;
    let staging = app.buffer(input.size, source, true)?;
    let results = app.buffer(maps.size + predictions.size, target, true)?;

    let mut found: [Vec<f32>; 2] = [Vec::new(), Vec::new()];
    let (weights, bias) = (ramp(geometry.weights()), ramp(geometry.biases()));
    {
        // Once: wgpu's view of the buffers, the layer and the model on the application's device.
        let [x, y, p] = [&input, &maps, &predictions].map(|buffer| guest::wrap(device, buffer, held));
        let context = Context::new(device, queue);
        let layer = LocallyConnected::with_geometry(&context, geometry.clone()).await?;
        layer.write_weights(&weights, KerasLayout::Implementation1).await?;
        layer.write_bias(&bias).await?;
        let layer = layer.bind_forward(Forward::new(BATCH, &x, &y)).await?;
        let model = model.upload(&context).await?.bind_forward(BATCH, &x, &p).await?;

        for frame in images.chunks(input.size as usize / 4) {
            staging.write(frame)?;
            let before = app.submit(vk::Fence::null(), |commands| {
                app.copy(commands, &staging, (&input, 0));
                app.barrier(commands, UPLOADED);
            })?;

            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            layer.record(&mut pass);
            model.record(&mut pass);
            drop(pass);
            // To the application's queue, in order with its own submits; another thread's would have to wait.
            queue.submit([encoder.finish()]);

            let fence = app.fence()?;
            let after = app.submit(fence, |commands| {
                app.barrier(commands, COMPUTED);
                app.copy(commands, &maps, (&results, 0));
                app.copy(commands, &predictions, (&results, maps.size));
                app.barrier(commands, READABLE);
            })?;
            app.wait(fence, &[before, after])?;
            // wgpu sees that its commands are done, and uses their memory again.
            device.poll(wgpu::PollType::Poll)?;

            let (y, p) = (results.read()?, maps.size as usize / 4);
            let samples = frame.len() / geometry.inputs() as usize;
            let [outputs, classes] = [geometry.outputs() as usize, y.len().saturating_sub(p) / BATCH as usize];
            found[0].extend_from_slice(y.get(..samples * outputs).unwrap_or_default());
            found[1].extend_from_slice(y.get(p..p + samples * classes).unwrap_or_default());
        }
    }
    device.poll(wgpu::PollType::wait_indefinitely())?;
    [input, maps, predictions, staging, results].into_iter().for_each(|buffer| app.destroy(buffer));

    let samples = images.len() / geometry.inputs() as usize;
    let no_gradient = vec![0.0; samples * geometry.outputs() as usize];
    let expected = reference::passes(
        &geometry,
        reference::PassOperands { input: &images, weights: &weights, bias: &bias, grad_output: &no_gradient },
    )?
    .output;
    let expected: Vec<f32> = expected.into_iter().map(|value| value as f32).collect();
    Ok((samples, largest_difference(&found[0], &expected)?, largest_difference(&found[1], &keras)?))
}

/// Any weights, between -1 and 1.
fn ramp(count: u64) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + 11) % 64) as f32 / 32.0 - 1.0).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> Result<f32> {
    if a.len() != b.len() {
        return Err(format!("{} values, not {}", a.len(), b.len()).into());
    }
    // A NaN stays.
    Ok(a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a }))
}

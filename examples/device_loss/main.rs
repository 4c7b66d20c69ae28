//! A host whose device is lost in the middle of its frames: a driver's update, a watchdog, a laptop's GPU that goes away. It
//! hears so as `Error::DeviceLost`, makes a new device, and from the weights that it kept the same layer, whose frames go on
//! as if nothing had been. README.md beside this file says what to keep.
//!
//! `cargo run --features headless --example device_loss`

#![forbid(unsafe_code)]

use locally_connected::{
    Activation, Bound, Config, Context, Error, Forward, KerasLayout, LocallyConnected, Readback, wgpu,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BATCH: u32 = 4;
const FRAMES: usize = 6;
/// Before which the device goes away.
const LOST_AT: usize = 3;

/// What the host keeps of a layer, in its own memory: enough to make it again on any device.
struct Kept {
    config: Config,
    input_shape: Vec<usize>,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// All that goes with a device.
struct OnDevice {
    device: wgpu::Device,
    queue: wgpu::Queue,
    /// wgpu tells a host's callback, too; a host that only submits hears it there.
    told: Arc<AtomicBool>,
    context: Context,
    layer: LocallyConnected,
    input: wgpu::Buffer,
    bound: Bound,
    readback: Readback,
}

impl OnDevice {
    /// A new device, and on it the layer with its weights, bound for the host's frames.
    async fn new(kept: &Kept) -> Result<Self> {
        // A new adapter, too: the old one's may be what went away.
        let instance = locally_connected::headless::instance()?;
        let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
        let (device, queue) = adapter.request_device(&wgpu::DeviceDescriptor::default()).await?;
        let told = Arc::new(AtomicBool::new(false));
        let tell = told.clone();
        device.set_device_lost_callback(move |_, _| tell.store(true, Ordering::SeqCst));

        let context = Context::new(&device, &queue);
        let layer = LocallyConnected::new(&context, &kept.config, &kept.input_shape).await?;
        layer.write_weights(&kept.weights, KerasLayout::Implementation1).await?;
        layer.write_bias(&kept.bias).await?;
        let buffer = |size, usage| {
            let usage = wgpu::BufferUsages::STORAGE | usage;
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        };
        let input = buffer(layer.geometry().input_bytes(BATCH), wgpu::BufferUsages::COPY_DST);
        let output = buffer(layer.geometry().output_bytes(BATCH), wgpu::BufferUsages::COPY_SRC);
        let forward = Forward::new(BATCH, &input, &output);
        let bound = layer.bind_forward(forward).await?;
        let readback = Readback::new(&device, &output).await?;
        Ok(Self { device, queue, told, context, layer, input, bound, readback })
    }

    /// A frame: its images in, its outputs out.
    async fn frame(&mut self, images: &[f32]) -> locally_connected::Result<Vec<f32>> {
        self.queue.write_buffer(&self.input, 0, bytemuck::cast_slice(images));
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        self.bound.record(&mut pass);
        drop(pass);
        self.readback.record(&mut encoder)?;
        self.queue.submit([encoder.finish()]);
        // A lost device has nothing to poll; the readback says what became of it.
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.readback.values().await
    }
}

/// Any numbers between -1 and 1.
fn numbers(count: u64, seed: u64) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + seed * 11) % 64) as f32 / 32.0 - 1.0).collect()
}

/// The frames' outputs; the device is lost before frame `lost_at`. How often a device was made comes along.
async fn frames(kept: &Kept, lost_at: Option<usize>) -> Result<(Vec<Vec<f32>>, usize)> {
    let (mut on, mut devices) = (OnDevice::new(kept).await?, 1);
    let mut outputs = Vec::new();
    for frame in 0..FRAMES {
        let images = numbers(u64::from(BATCH) * on.layer.geometry().inputs(), frame as u64);
        if lost_at == Some(frame) {
            // In a test there is no other way to lose a device.
            on.device.destroy();
        }
        match on.frame(&images).await {
            Ok(output) => outputs.push(output),
            Err(Error::DeviceLost(message)) => {
                println!("frame {frame}: {message}");
                lost(&on, kept).await?;
                // Drop the old one first, where two don't fit into memory.
                drop(on);
                on = OnDevice::new(kept).await?;
                devices += 1;
                println!("frame {frame}: once more, on a new device");
                outputs.push(on.frame(&images).await?);
            }
            // A smaller batch may help against `Error::OutOfMemory`; a new device helps against neither that nor the others.
            Err(error) => return Err(error.into()),
        }
    }
    Ok((outputs, devices))
}

/// On a lost device everything says so, and nothing says anything else.
async fn lost(on: &OnDevice, kept: &Kept) -> Result<()> {
    let again = LocallyConnected::new(&on.context, &kept.config, &kept.input_shape).await.map(drop);
    let write = on.layer.write_weights(&kept.weights, KerasLayout::Implementation1).await;
    for result in [again, write] {
        if !matches!(result, Err(Error::DeviceLost(_))) {
            return Err(format!("a lost device gave {result:?}").into());
        }
    }
    if on.told.load(Ordering::SeqCst) { Ok(()) } else { Err("the host's callback was not called".into()) }
}

async fn run() -> Result<()> {
    let config = Config::new(8, [3, 3]).activation(Activation::RELU);
    let geometry = locally_connected::Geometry::new(&config, &[16, 16, 2])?;
    let (weights, bias) = (numbers(geometry.weights(), 1), numbers(geometry.biases(), 2));
    let kept = Kept { config, input_shape: vec![16, 16, 2], weights, bias };

    let (outputs, devices) = frames(&kept, Some(LOST_AT)).await?;
    let (undisturbed, _) = frames(&kept, None).await?;
    let same = outputs.iter().zip(&undisturbed).filter(|(a, b)| a == b).count();
    println!("{devices} devices; {same} of {FRAMES} frames are, to the bit, those of a host that lost none");
    let right = devices == 2 && same == FRAMES && outputs.len() == FRAMES;
    if right { Ok(()) } else { Err("not the same outputs".into()) }
}

fn main() -> Result<()> {
    pollster::block_on(run())
}

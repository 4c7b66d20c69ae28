//! A host that keeps what its driver has compiled: a `wgpu::PipelineCache` given to the context, its data in a file, and what
//! the first frame of two layers costs with it and without. README.md beside this file says what came of it.
//!
//! `cargo run --features headless --example first_frame`

use locally_connected::{
    Activation, Backward, Bound, Config, Context, ContextOptions, Forward, KerasLayout, LocallyConnected, Readback,
    wgpu,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BATCH: u32 = 16;

/// Set in the processes that this one starts: the folder of the cache, or nothing for a host without one.
const CHILD: &str = "FIRST_FRAME_CACHE";

/// The host's file for this device, and the cache made from it.
struct KeptCache {
    file: PathBuf,
    cache: wgpu::PipelineCache,
}

impl KeptCache {
    /// None on backends that have no such cache: all but Vulkan.
    fn open(folder: &Path, adapter: &wgpu::Adapter, device: &wgpu::Device) -> Option<Self> {
        let file = folder.join(wgpu::util::pipeline_cache_key(&adapter.get_info())?);
        let kept = std::fs::read(&file).ok();
        // What was kept for another driver is not used, and nothing is lost by that.
        let descriptor = wgpu::PipelineCacheDescriptor { label: None, data: kept.as_deref(), fallback: true };
        // SAFETY: the file is this program's own; it holds what `get_data` gave for a device of this key.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(Self { file, cache })
    }

    /// Writes what is in the cache now, whole or not at all.
    fn keep(&self) -> Result<usize> {
        let data = self.cache.get_data().unwrap_or_default();
        let beside = self.file.with_extension(std::process::id().to_string());
        std::fs::write(&beside, &data)?;
        std::fs::rename(&beside, &self.file)?;
        Ok(data.len())
    }
}

fn values(count: u64, step: u64) -> Vec<f32> {
    (0..count).map(|i| ((i * step) % 23) as f32 / 32.0 - 0.34).collect()
}

/// Two layers, one behind the other, and their backward passes: bound on a device that has compiled nothing yet.
async fn bind(context: &Context) -> Result<(Vec<Bound>, wgpu::Buffer)> {
    let device = context.device();
    let buffer = |bytes: u64| {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size: bytes, usage, mapped_at_creation: false })
    };
    let configs = [
        Config::new(16, [3, 3]).activation(Activation::RELU).strides([2, 2]),
        Config::new(8, [3, 3]).activation(Activation::Tanh),
    ];
    let (mut shape, mut passes) = (vec![32, 32, 4], Vec::new());
    let mut input = buffer(4 * u64::from(BATCH) * 32 * 32 * 4);
    let given = values(input.size() / 4, 7);
    context.queue().write_buffer(&input, 0, bytemuck::cast_slice(&given));
    for config in configs {
        let layer = LocallyConnected::new(context, &config, &shape).await?;
        let geometry = layer.geometry().clone();
        layer.write_weights(&values(geometry.weights(), 5), KerasLayout::Implementation1).await?;
        let (output, grad_output) = (buffer(geometry.output_bytes(BATCH)), buffer(geometry.output_bytes(BATCH)));
        let grad_input = buffer(geometry.input_bytes(BATCH));
        let (grad_weights, grad_bias) = (layer.create_weights_gradient().await?, buffer(geometry.bias_bytes()));
        passes.push(layer.bind_forward(Forward::new(BATCH, &input, &output)).await?);
        let backward = Backward::new(BATCH, &grad_output).input(&input).output(&output).grad_input(&grad_input);
        passes.push(layer.bind_backward(backward.grad_weights(&grad_weights).grad_bias(&grad_bias)).await?);
        (shape, input) = (geometry.output_shape().clone(), output);
    }
    Ok((passes, input))
}

/// A host's start, in a process of its own: milliseconds until the layers are bound, and until the first frame is there.
async fn first_frame(folder: Option<&Path>) -> Result<()> {
    let instance = locally_connected::headless::instance()?;
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
    let descriptor = wgpu::DeviceDescriptor {
        required_features: adapter.features() & wgpu::Features::PIPELINE_CACHE,
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = adapter.request_device(&descriptor).await?;
    let kept = folder.and_then(|folder| KeptCache::open(folder, &adapter, &device));
    let pipeline_cache = kept.as_ref().map(|kept| kept.cache.clone());
    let options = ContextOptions { pipeline_cache, ..ContextOptions::default() };
    let context = Context::with_options(&device, &queue, options);

    let began = Instant::now();
    let (passes, output) = bind(&context).await?;
    let bound = began.elapsed();
    let mut readback = Readback::new(&device, &output).await?;
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    passes.iter().for_each(|bound| bound.record(&mut pass));
    drop(pass);
    readback.record(&mut encoder)?;
    queue.submit([encoder.finish()]);
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let sum: f64 = readback.values().await?.iter().map(|value| f64::from(*value)).sum();
    let frame = began.elapsed();
    let bytes = kept.map_or(Ok(0), |kept| kept.keep())?;
    let ms = |time: std::time::Duration| 1e3 * time.as_secs_f64();
    println!("{:.1} {:.1} {bytes} {sum}", ms(bound), ms(frame));
    Ok(())
}

/// What a process says: milliseconds bound, milliseconds until the frame, bytes of the cache, the outputs' sum.
type Said = [f64; 4];

/// Starts a process that does a first frame. Mesa's own cache of shaders is in `drivers`; without, it has none.
fn start(cache: Option<&Path>, drivers: Option<&Path>) -> Result<Said> {
    let mut process = Command::new(std::env::current_exe()?);
    process.env(CHILD, cache.map(Path::as_os_str).unwrap_or_default());
    match drivers {
        Some(folder) => process.env("MESA_SHADER_CACHE_DIR", folder).env_remove("MESA_SHADER_CACHE_DISABLE"),
        None => process.env("MESA_SHADER_CACHE_DISABLE", "true"),
    };
    let output = process.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    let numbers: Vec<f64> = said.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    Said::try_from(numbers).map_err(|_| format!("a first frame says {said:?}").into())
}

fn main() -> Result<()> {
    if let Some(folder) = std::env::var_os(CHILD) {
        let folder = PathBuf::from(folder);
        return pollster::block_on(first_frame((!folder.as_os_str().is_empty()).then_some(&*folder)));
    }
    let folder = std::env::temp_dir().join(format!("first_frame-{}", std::process::id()));
    let (own, drivers) = (folder.join("host"), folder.join("driver"));
    for folder in [&own, &drivers] {
        std::fs::create_dir_all(folder)?;
    }
    println!("{:<44} {:>9} {:>9} {:>9}", "a fresh process", "bound", "frame", "cache");
    let mut sums = Vec::new();
    let runs = [
        ("no cache at all", None, None),
        ("the host's cache, empty", Some(&*own), None),
        ("the host's cache, kept", Some(&*own), None),
        ("the driver's own cache, empty", None, Some(&*drivers)),
        ("the driver's own cache, kept", None, Some(&*drivers)),
    ];
    for (what, cache, drivers) in runs {
        // The best of three, but of an empty cache there is one.
        let turns = if what.ends_with("empty") { 1 } else { 3 };
        let said = (0..turns).map(|_| start(cache, drivers)).collect::<Result<Vec<_>>>()?;
        let least = |at: usize| said.iter().map(|said| said[at]).fold(f64::INFINITY, f64::min);
        println!("{what:<44} {:>6.0} ms {:>6.0} ms {:>7.0} B", least(0), least(1), said[0][2]);
        sums.extend(said.iter().map(|said| said[3]));
    }
    std::fs::remove_dir_all(&folder)?;
    if sums.iter().any(|sum| sum.to_bits() != sums[0].to_bits()) {
        return Err(format!("a cached pipeline computes something else: {sums:?}").into());
    }
    Ok(())
}

//! A device of one's own, for tests, examples and the command line. Apps that own a device need none of this.

#[cfg(feature = "cpu")]
mod device;
mod model;
mod runner;

#[cfg(feature = "cpu")]
pub use device::{Cpu, CpuModel, Device, DeviceOptions, DeviceRunner, OnDevice};
pub use model::{ModelGradients, NamedGradients};
pub use runner::GpuRunner;

use crate::config::Saved;
use crate::gpu::{
    Backward, BufferRange, Context, Forward, LocallyConnected, Making, Readback, Tensor, TensorReadback, Upload, scoped,
};
use crate::{Error, Result};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wgpu::BufferUsages;

/// An adapter, its device and a [`Context`] on it.
#[derive(Debug)]
pub struct Gpu {
    adapter: wgpu::Adapter,
    context: Context,
    sample_budget: Option<u64>,
    // The first error outside all scopes, as when a buffer of this module's doesn't fit.
    failure: Arc<Mutex<Option<Error>>>,
    // The bytes of the last buffer that was asked for, for the message where there is no memory for it.
    asked: Arc<AtomicU64>,
}

/// How [`Gpu::with_options`] picks an adapter and makes its device.
#[derive(Debug, Clone, Default)]
pub struct GpuOptions {
    /// The first adapter whose name, backend or driver contains this, in any case. Without it the environment's
    /// `WGPU_ADAPTER_NAME`, else the high-performance adapter, discrete before integrated before software.
    pub adapter: Option<String>,
    /// The device's limits; without them all that the adapter has.
    pub limits: Option<wgpu::Limits>,
    /// About the most bytes of samples, and of values computed from them, on the device at once when a model runs; 1 GiB
    /// without it. Larger batches run in pieces.
    pub sample_budget: Option<u64>,
}

/// All that a backward pass gives, as host values.
#[derive(Debug, Clone, PartialEq)]
pub struct HostGradients {
    /// `[batch][input shape]`.
    pub input: Vec<f32>,
    /// Of the weights, in the canonical order.
    pub weights: Vec<f32>,
    /// Of the bias, in Keras's order; empty without one.
    pub bias: Vec<f32>,
}

/// An instance that honours `WGPU_BACKEND` and the validation and strictness flags of the environment.
///
/// # Errors
/// [`Error::NoBackend`].
pub fn instance() -> Result<wgpu::Instance> {
    check_backends(wgpu::Instance::enabled_backend_features(), wgpu::Backends::from_env())?;
    Ok(wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env()))
}

/// Whether a backend that is `compiled` in is among those `wanted`, if any are named. wgpu itself panics without one.
fn check_backends(compiled: wgpu::Backends, wanted: Option<wgpu::Backends>) -> Result<()> {
    let compiled = compiled - wgpu::Backends::NOOP;
    if !(wanted.unwrap_or_default() & compiled).is_empty() {
        return Ok(());
    }
    let names = |backends: wgpu::Backends| {
        let named = wgpu::Backend::ALL.into_iter().filter(|backend| backends.contains((*backend).into()));
        named.map(|backend| backend.to_string()).collect::<Vec<_>>().join(", ")
    };
    Err(Error::NoBackend { compiled: names(compiled), wanted: wanted.map(names) })
}

/// Every adapter, the best kind first.
pub async fn adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let backends = wgpu::Backends::from_env().unwrap_or_default();
    let mut adapters = instance.enumerate_adapters(backends).await;
    adapters.retain(|adapter| adapter.get_info().backend != wgpu::Backend::Noop);
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters
}

/// The adapter that is asked for by name: by the caller, or by the environment's `WGPU_ADAPTER_NAME`. An empty name is none.
#[must_use]
pub fn wanted(by_caller: Option<&str>) -> Option<String> {
    let named = |name: &String| !name.is_empty();
    by_caller.map(str::to_owned).filter(named).or_else(|| std::env::var("WGPU_ADAPTER_NAME").ok().filter(named))
}

/// The position in `adapters` of the one that `wanted` names, or of the best one.
///
/// # Errors
/// [`Error::NoAdapter`]; [`Error::NoSuchAdapter`] with the names of those there are.
pub fn pick(adapters: &[wgpu::Adapter], wanted: Option<&str>) -> Result<usize> {
    let names: Vec<String> = adapters
        .iter()
        .map(|adapter| {
            let info = adapter.get_info();
            format!("{} ({}, {} {})", info.name, info.backend, info.driver, info.driver_info)
        })
        .collect();
    if names.is_empty() {
        return Err(Error::NoAdapter);
    }
    let Some(wanted) = wanted else { return Ok(0) };
    let wanted_lower = wanted.to_lowercase();
    let found = names.iter().position(|name| name.to_lowercase().contains(&wanted_lower));
    found.ok_or_else(|| Error::NoSuchAdapter { wanted: wanted.to_owned(), names })
}

/// A buffer of a call's, destroyed when that is over: in a browser one that is only dropped keeps its memory until JavaScript
/// collects it.
#[derive(Debug)]
struct Temporary(wgpu::Buffer);

impl Deref for Temporary {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.0.destroy();
    }
}

impl Gpu {
    /// The best adapter with all its limits.
    ///
    /// # Errors
    /// [`Error::NoBackend`], [`Error::NoAdapter`], [`Error::NoSuchAdapter`], [`Error::Device`].
    pub async fn new() -> Result<Self> {
        Self::with_options(&GpuOptions::default()).await
    }

    /// An adapter and a device as asked for.
    ///
    /// # Errors
    /// [`Error::NoBackend`], [`Error::NoAdapter`], [`Error::NoSuchAdapter`], [`Error::Device`].
    pub async fn with_options(options: &GpuOptions) -> Result<Self> {
        let instance = instance()?;
        let mut adapters = adapters(&instance).await;
        let named = wanted(options.adapter.as_deref());
        let adapter = adapters.swap_remove(pick(&adapters, named.as_deref())?);
        let limits = options.limits.clone().unwrap_or_else(|| adapter.limits());
        let wanted = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("locally-connected headless"),
                required_features: adapter.features() & wanted,
                required_limits: limits,
                ..Default::default()
            })
            .await
            .map_err(|error| Error::Device(error.to_string()))?;
        let failure = Arc::new(Mutex::new(None));
        let asked = Arc::new(AtomicU64::new(0));
        let (first, bytes) = (failure.clone(), asked.clone());
        // wgpu would panic otherwise; the device is this module's own.
        device.on_uncaptured_error(Arc::new(move |error| {
            let error = match error {
                wgpu::Error::OutOfMemory { .. } => {
                    Error::OutOfMemory { what: "a buffer".into(), bytes: bytes.load(Ordering::Relaxed) }
                }
                error => Error::Device(error.to_string()),
            };
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }));
        let context = Context::new(&device, &queue);
        Ok(Self { adapter, context, sample_budget: options.sample_budget, failure, asked })
    }

    /// The adapter.
    #[must_use]
    pub fn adapter(&self) -> &wgpu::Adapter {
        &self.adapter
    }

    /// The context on its device.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// A storage buffer with these values; at least one element long, as bindings must be.
    #[must_use]
    pub fn upload(&self, values: &[f32]) -> wgpu::Buffer {
        let buffer = self.empty(values.len() as u64);
        self.write(&buffer, values);
        buffer
    }

    /// Writes values to the beginning of a buffer. Many values go in pieces, so that there is never a copy of all of
    /// them.
    pub(crate) fn write(&self, buffer: &wgpu::Buffer, values: &[f32]) {
        const PIECE: usize = Upload::PIECE as usize / 4;
        for (piece, index) in values.chunks(PIECE).zip(0..) {
            self.asked.store(4 * piece.len() as u64, Ordering::Relaxed);
            self.context.queue().write_buffer(buffer, index * Upload::PIECE, bytemuck::cast_slice(piece));
            if piece.len() == PIECE {
                self.flush();
            }
        }
    }

    /// Submits what was written and waits until it is done.
    pub(crate) fn flush(&self) {
        self.context.queue().submit([]);
        // A lost device shows in what comes next.
        let _ = self.context.device().poll(wgpu::PollType::wait_indefinitely());
    }

    /// A storage buffer of this many zeroes; at least one.
    #[must_use]
    pub fn empty(&self, elements: u64) -> wgpu::Buffer {
        self.asked.store(4 * elements.max(1), Ordering::Relaxed);
        self.context.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("locally-connected headless"),
            size: 4 * elements.max(1),
            usage: BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    }

    /// Calls `record` with a new encoder, submits it, and gives what `record` gave.
    pub fn submit<T>(&self, record: impl FnOnce(&mut wgpu::CommandEncoder) -> T) -> T {
        let mut encoder = self.context.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let result = record(&mut encoder);
        self.context.queue().submit([encoder.finish()]);
        result
    }

    /// As [`Gpu::submit`], in error scopes: a browser tells of one refused copy twice, and the second time it would be blamed
    /// on whatever comes next.
    async fn submitted(&self, what: &str, record: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<()>) -> Result<()> {
        let (recorded, caught) = scoped(self.context.device(), Making::new(what, 0), || self.submit(record));
        recorded.and(self.drive(caught).await)
    }

    /// Awaits `future`, driving the device's callbacks without blocking on it.
    pub async fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(move |cx| {
            let result = future.as_mut().poll(cx);
            #[cfg(not(target_arch = "wasm32"))]
            if result.is_pending() {
                // A lost device shows in what the future gives.
                let _ = self.context.device().poll(wgpu::PollType::Poll);
                // Leaves the cores to a software adapter's own threads.
                std::thread::sleep(std::time::Duration::from_micros(50));
                cx.waker().wake_by_ref();
            }
            result
        })
        .await
    }

    /// Reads the first `elements` of a buffer or of a range of one.
    ///
    /// # Errors
    /// [`Error::Length`] where there are fewer; those of [`Readback::new`]; [`Error::DeviceLost`].
    pub async fn read<'a>(&self, source: impl Into<BufferRange<'a>>, elements: u64) -> Result<Vec<f32>> {
        if elements == 0 {
            return Ok(Vec::new());
        }
        let source = source.into();
        if source.size / 4 < elements {
            let (what, found, shape) = ("the source of a readback", source.size / 4, vec![elements as usize]);
            return Err(Error::Length { what, expected: elements, found, shape });
        }
        let source = BufferRange { size: 4 * elements, ..source };
        // An error of something made before is the cause, and is reported instead.
        let readback = Readback::new(self.context.device(), source).await;
        let mut readback = readback.or_else(|error| self.check().and(Err(error)))?;
        let submitted = self.submitted("a readback", |encoder| readback.record(encoder)).await;
        let values = match submitted {
            Ok(()) => self.drive(readback.values()).await,
            Err(error) => Err(error),
        };
        // In a browser it would keep its memory.
        readback.destroy();
        self.check()?;
        values
    }

    /// The first error since the last call that the device reported outside all scopes: out of memory in
    /// [`Gpu::upload`] or [`Gpu::empty`], say. The reading methods call it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Device`].
    pub fn check(&self) -> Result<()> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// Reads weights or their gradient in canonical order.
    ///
    /// # Errors
    /// Those of [`LocallyConnected::read_weights`]; [`Error::DeviceLost`].
    pub async fn read_weights(&self, layer: &LocallyConnected, weights: &Tensor) -> Result<Vec<f32>> {
        self.taken(layer.read_weights(weights).await?.into()).await
    }

    /// Reads parameters or their gradient in canonical order.
    async fn read_tensor(&self, values: &Tensor) -> Result<Vec<f32>> {
        self.taken(values.readback(self.context.device()).await?).await
    }

    /// The values of a readback that nobody needs any more.
    async fn taken(&self, mut readback: TensorReadback) -> Result<Vec<f32>> {
        let submitted = self.submitted("values", |encoder| readback.record(encoder)).await;
        let values = match submitted {
            Ok(()) => self.drive(readback.canonical()).await,
            Err(error) => Err(error),
        };
        readback.destroy();
        self.check()?;
        values
    }

    fn batch(&self, layer: &LocallyConnected, input: &[f32]) -> Result<u32> {
        let sample = layer.geometry().inputs();
        let batch = input.len() as u64 / sample;
        if !(input.len() as u64).is_multiple_of(sample) || batch > u64::from(u32::MAX) {
            let (found, shape) = (input.len() as u64, layer.geometry().input_shape().to_vec());
            return Err(Error::Length { what: "input", expected: (batch + 1) * sample, found, shape });
        }
        Ok(batch as u32)
    }

    /// The layer's output for host values.
    ///
    /// # Errors
    /// Those of [`LocallyConnected::bind_forward`]; [`Error::DeviceLost`].
    pub async fn forward(&self, layer: &LocallyConnected, input: &[f32]) -> Result<Vec<f32>> {
        let batch = self.batch(layer, input)?;
        let elements = layer.geometry().outputs() * u64::from(batch);
        let (x, y) = (Temporary(self.upload(input)), Temporary(self.empty(elements)));
        self.check()?;
        let bound = layer.bind_forward(Forward { batch, input: &*x, output: &*y, pre_activation: None }).await?;
        self.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default())));
        let values = self.read(&*y, elements).await;
        bound.destroy();
        values
    }

    /// All gradients of the loss `Σ output · grad_output` for host values.
    ///
    /// # Errors
    /// Those of [`LocallyConnected::bind_backward`]; [`Error::DeviceLost`].
    pub async fn backward(
        &self,
        layer: &LocallyConnected,
        input: &[f32],
        grad_output: &[f32],
    ) -> Result<HostGradients> {
        let geometry = layer.geometry();
        let batch = self.batch(layer, input)?;
        let outputs = geometry.outputs() * u64::from(batch);
        let [x, dy] = [input, grad_output].map(|values| Temporary(self.upload(values)));
        let y = Temporary(self.empty(outputs));
        let z = (geometry.config().activation.saved() == Saved::PreActivation).then(|| Temporary(self.empty(outputs)));
        let dx = Temporary(self.empty(input.len() as u64));
        let dw = layer.create_weights_gradient().await?;
        let db = (geometry.biases() > 0).then(|| Temporary(self.empty(geometry.biases())));
        self.check()?;
        let forward = Forward { batch, input: &*x, output: &*y, pre_activation: z.as_deref() };
        let backward = Backward {
            batch,
            input: Some(&*x),
            output: Some(&*y),
            pre_activation: z.as_deref(),
            grad_output: &*dy,
            grad_input: Some(&*dx),
            grad_weights: Some(&dw),
            grad_bias: db.as_deref(),
            accumulate: false,
        };
        let (forward, backward) = (layer.bind_forward(forward).await?, layer.bind_backward(backward).await?);
        self.submit(|encoder| {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            if geometry.config().activation.saved() != Saved::Nothing {
                forward.record(&mut pass);
            }
            backward.record(&mut pass);
        });
        let gradients = HostGradients {
            input: self.read(&*dx, input.len() as u64).await?,
            weights: self.read_weights(layer, &dw).await?,
            bias: match &db {
                Some(db) => self.read(&**db, geometry.biases()).await?,
                None => Vec::new(),
            },
        };
        forward.destroy();
        backward.destroy();
        dw.destroy();
        Ok(gradients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::Backends;

    #[test]
    fn a_backend_that_is_wanted_must_be_compiled_in() {
        assert_eq!(check_backends(Backends::VULKAN | Backends::NOOP, None), Ok(()));
        assert_eq!(check_backends(Backends::VULKAN | Backends::GL, Some(Backends::GL | Backends::METAL)), Ok(()));
        for (compiled, wanted) in [
            (Backends::empty(), None),
            (Backends::NOOP, None),
            (Backends::NOOP, Some(Backends::NOOP)),
            (Backends::VULKAN, Some(Backends::DX12)),
            (Backends::VULKAN, Some(Backends::empty())),
        ] {
            let refused = check_backends(compiled, wanted);
            assert!(matches!(refused, Err(Error::NoBackend { .. })), "{compiled:?} {wanted:?}: {refused:?}");
        }
        let message = check_backends(Backends::VULKAN | Backends::GL, Some(Backends::METAL)).unwrap_err().to_string();
        assert!(message.contains("compiled in: vulkan, gl") && message.contains("`headless`"), "{message}");
    }
}

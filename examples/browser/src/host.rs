//! The app: a device of its own, what it computes on it, and how it gives it to JavaScript.

use crate::goldens::values;
use js_sys::{Float32Array, Function, Promise};
use locally_connected::{
    Activation, Backward, Config, Context, Forward, Geometry, KerasLayout, LocallyConnected, PlanOptions, Readback,
    Result,
};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsError, JsValue};
use wasm_bindgen_futures::JsFuture;

/// What the app's exported functions throw: JavaScript's `Error` with the crate's message.
pub(crate) type Thrown<T> = std::result::Result<T, JsError>;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn error(text: &str);
}

/// A host with a device of its own.
#[wasm_bindgen]
pub struct App {
    device: wgpu::Device,
    queue: wgpu::Queue,
    context: Context,
}

/// All that a backward pass gives.
pub(crate) struct Gradients {
    pub(crate) input: Vec<f32>,
    /// As Keras's layer has them.
    pub(crate) kernel: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

#[wasm_bindgen]
impl App {
    /// A device of WebGPU's default limits.
    ///
    /// # Errors
    /// Where the browser has no adapter, or gives no device.
    pub async fn open() -> Thrown<App> {
        // A panic in an exported async function is a promise that never settles: so it is told at least.
        std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
        let (device, queue) = adapter.request_device(&wgpu::DeviceDescriptor::default()).await?;
        let context = Context::new(&device, &queue);
        Ok(Self { device, queue, context })
    }

    /// What a table of measured choices would be kept under.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.context.profile().fingerprint.clone()
    }

    /// The output of a small layer for one sample: what a frame of the app would compute.
    ///
    /// # Errors
    /// Those of the crate; after the loss of the device that it is lost.
    pub async fn frame(&self) -> Thrown<Vec<f32>> {
        let layer = small(&self.context).await?;
        let y = self.forward(&layer, &values(&SMALL_INPUT, [37, 19, 9, 8])).await;
        layer.destroy();
        Ok(y?)
    }

    /// Makes a layer of about `megabytes`, runs it and reads its weights back, so many times, freeing everything each time.
    ///
    /// # Errors
    /// Those of the crate.
    pub async fn churn(&self, times: u32, megabytes: usize) -> Thrown<()> {
        for _ in 0..times {
            let config = Config::new(16, [4]).strides([4]);
            let layer = LocallyConnected::new(&self.context, &config, &[4 * megabytes * 1024, 4]).await?;
            let x = vec![1.0; layer.geometry().inputs() as usize];
            self.forward(&layer, &x).await?;
            let mut readback = layer.read_weights(layer.weights()).await?;
            let mut encoder = self.encoder();
            readback.record(&mut encoder)?;
            self.queue.submit([encoder.finish()]);
            readback.canonical().await?;
            // What is only dropped keeps its memory until JavaScript collects it.
            readback.destroy();
            layer.destroy();
        }
        Ok(())
    }

    /// Gives the app's device and two of its buffers to `compute` of JavaScript (`device`, input, output), which has the same layer
    /// compute on them, and compares: the largest difference from what this crate computes on the same buffers. Nothing is copied
    /// between the two.
    ///
    /// # Errors
    /// What `compute` throws, as text; those of the crate.
    pub async fn lend(&self, compute: &Function) -> Thrown<f32> {
        let layer = small(&self.context).await?;
        let x = values(&SMALL_INPUT, [37, 19, 9, 8]);
        let expected = self.forward(&layer, &x).await?;
        let (input, output) = (self.filled(&x), self.empty(layer.geometry().outputs()));
        let lent = (self.device.as_webgpu(), input.as_webgpu(), output.as_webgpu());
        let (Some(device), Some(from), Some(to)) = lent else {
            return Err(JsError::new("wgpu runs on something else than the browser's WebGPU"));
        };
        let promise = compute.call3(&JsValue::NULL, device.as_ref(), from.as_ref(), to.as_ref()).map_err(thrown)?;
        JsFuture::from(promise.unchecked_into::<Promise>()).await.map_err(thrown)?;
        let found = self.read(&output).await?;
        for buffer in [&input, &output] {
            buffer.destroy();
        }
        layer.destroy();
        Ok(expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
    }

    /// The weights and the bias of that layer, as its Keras layer has them.
    #[must_use]
    pub fn parameters(&self) -> Vec<Float32Array> {
        let [kernel, bias] = small_parameters();
        [kernel, bias].iter().map(|values| Float32Array::from(&values[..])).collect()
    }
}

impl App {
    fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    fn empty(&self, elements: u64) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let size = 4 * elements.max(1);
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("app"),
            size,
            usage,
            mapped_at_creation: false,
        })
    }

    fn filled(&self, values: &[f32]) -> wgpu::Buffer {
        let buffer = self.empty(values.len() as u64);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.queue.write_buffer(&buffer, 0, &bytes);
        buffer
    }

    async fn read(&self, buffer: &wgpu::Buffer) -> Result<Vec<f32>> {
        let mut readback = Readback::new(&self.device, buffer).await?;
        let mut encoder = self.encoder();
        readback.record(&mut encoder)?;
        self.queue.submit([encoder.finish()]);
        let values = readback.values().await;
        readback.destroy();
        values
    }

    /// The layer's output for whole samples.
    pub(crate) async fn forward(&self, layer: &LocallyConnected, x: &[f32]) -> Result<Vec<f32>> {
        let batch = (x.len() as u64 / layer.geometry().inputs()) as u32;
        let (input, output) = (self.filled(x), self.empty(u64::from(batch) * layer.geometry().outputs()));
        let bound = layer.bind_forward(Forward::new(batch, &input, &output)).await?;
        let mut encoder = self.encoder();
        bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        self.queue.submit([encoder.finish()]);
        let values = self.read(&output).await;
        bound.destroy();
        input.destroy();
        output.destroy();
        values
    }

    /// All gradients of a layer whose activation needs nothing but its output.
    pub(crate) async fn backward(
        &self,
        layer: &LocallyConnected,
        layout: KerasLayout,
        [x, y, dy]: [&[f32]; 3],
    ) -> Result<Gradients> {
        let geometry = layer.geometry();
        let batch = (x.len() as u64 / geometry.inputs()) as u32;
        let [input, output, grad_output] = [x, y, dy].map(|values| self.filled(values));
        let (grad_input, grad_bias) = (self.empty(x.len() as u64), self.empty(geometry.biases()));
        let grad_weights = layer.create_weights_gradient().await?;
        let backward = Backward {
            input: Some(&input),
            output: Some(&output),
            grad_input: Some(&grad_input),
            grad_weights: Some(&grad_weights),
            grad_bias: Some(&grad_bias),
            ..Backward::new(batch, &grad_output)
        };
        let bound = layer.bind_backward(backward).await?;
        let mut readback = layer.read_weights(&grad_weights).await?;
        let mut encoder = self.encoder();
        bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        readback.record(&mut encoder)?;
        self.queue.submit([encoder.finish()]);
        let kernel = readback.values(layout).await?;
        readback.destroy();
        let gradients = Gradients { input: self.read(&grad_input).await?, kernel, bias: self.read(&grad_bias).await? };
        bound.destroy();
        grad_weights.destroy();
        for buffer in [input, output, grad_output, grad_input, grad_bias] {
            buffer.destroy();
        }
        Ok(gradients)
    }

    /// A layer on the device, planned by these options.
    pub(crate) async fn layer(&self, geometry: Geometry, options: PlanOptions) -> Result<LocallyConnected> {
        let mut layer = LocallyConnected::with_geometry(&self.context, geometry).await?;
        layer.set_options(options);
        Ok(layer)
    }
}

/// What JavaScript threw.
fn thrown(value: JsValue) -> JsError {
    JsError::new(&value.dyn_ref::<js_sys::Error>().map_or_else(|| format!("{value:?}"), |e| e.message().into()))
}

fn small_config() -> Config {
    Config::new(8, [3, 3]).activation(Activation::RELU)
}

const SMALL_INPUT: [usize; 3] = [8, 8, 4];

/// Kernel and bias, in Keras's implementation 1: `[36, 36, 8]` and `[6, 6, 8]`.
fn small_parameters() -> [Vec<f32>; 2] {
    [values(&[36, 36, 8], [53, 23, 11, 16]), values(&[6, 6, 8], [29, 13, 6, 8])]
}

async fn small(context: &Context) -> Result<LocallyConnected> {
    let layer = LocallyConnected::new(context, &small_config(), &SMALL_INPUT).await?;
    let [kernel, bias] = small_parameters();
    layer.write_weights(&kernel, KerasLayout::Implementation1).await?;
    layer.write_bias(&bias).await?;
    Ok(layer)
}

//! A whole model on a device of one's own: its chain of layers, forward and backward.

mod stage;

use crate::config::{Implementation, Saved};
use crate::gpu::{Backward, Forward, LocallyConnected, scoped};
use crate::headless::Gpu;
use crate::model::{Kind, Layer, Model, names};
use crate::{Error, Result};
use stage::{Stage, Work, transpose};
use std::collections::BTreeMap;
use wgpu::BufferUsages;

/// Bytes of samples and of what is computed from them that a [`Network`] keeps on the device at once by default.
const SAMPLE_BUDGET: u64 = 1 << 30;

/// What [`Network::new`] is to make of a model.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// How the locally connected layers are executed for which the model leaves it open.
    pub implementation: Implementation,
    /// About the most bytes of samples, and of values computed from them, on the device at once; 1 GiB without it.
    /// Larger batches run in pieces.
    pub sample_budget: Option<u64>,
}

/// A model's layers with their weights on a device.
///
/// Everything runs there but `Flatten(data_format="channels_first")`, which the host transposes.
///
/// ```no_run
/// # async fn example() -> locally_connected::Result<()> {
/// use locally_connected::headless::Gpu;
/// use locally_connected::model::{Chain, Kind, Layer, Model, names};
/// use locally_connected::network::{Network, NetworkOptions};
/// use locally_connected::{Activation, Config, Geometry};
/// let geometry = Geometry::new(&Config::new(4, [3]).activation(Activation::RELU), &[8, 5])?;
/// let parameters = [
///     (names::weights("local"), vec![0.5; geometry.weights() as usize]),
///     (names::bias("local"), vec![0.0; geometry.biases() as usize]),
/// ];
/// let (inputs, output_shape) = (geometry.inputs(), geometry.output_shape());
/// let kind = Kind::Local { geometry: geometry.into(), implementation: None, trainable: true };
/// let layers = vec![Layer { name: "local".into(), kind }];
/// let model = Model {
///     chain: Chain { inputs, layers },
///     parameters: parameters.into(),
///     input_shape: vec![8, 5],
///     output_shape,
/// };
/// let gpu = Gpu::new().await?;
/// let network = Network::new(&gpu, &model, &NetworkOptions::default()).await?;
/// let samples = vec![0.5; 2 * 8 * 5];
/// let values = network.forward(&samples).await?;
/// let gradients = network.backward(&samples, &vec![1.0; values.len()]).await?;
/// assert!(gradients.parameters.contains_key(&names::grad_weights("local")));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Network<'gpu> {
    gpu: &'gpu Gpu,
    stages: Vec<Stage>,
    input_shape: Vec<usize>,
    output_shape: Vec<usize>,
    inputs: u64,
    outputs: u64,
    budget: u64,
}

/// All gradients that [`Network::backward`] gives.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkGradients {
    /// `[batch][input shape]`.
    pub input: Vec<f32>,
    /// By [`names::grad_weights`] and [`names::grad_bias`], those of all trainable layers: of weights in the canonical
    /// order, of biases in Keras's.
    pub parameters: BTreeMap<String, Vec<f32>>,
}

/// What a stage read and wrote, for the backward pass.
struct Trace {
    input: wgpu::Buffer,
    output: wgpu::Buffer,
    pre_activation: Option<wgpu::Buffer>,
}

impl<'gpu> Network<'gpu> {
    /// Uploads the model's parameters.
    ///
    /// # Errors
    /// [`Error::NotGiven`] for a parameter that the model hasn't; [`Error::Length`]; [`Error::Limit`]; those of
    /// [`LocallyConnected::new`] and of the planner.
    pub async fn new(gpu: &'gpu Gpu, model: &Model, options: &NetworkOptions) -> Result<Self> {
        let Model { chain, parameters, input_shape, output_shape } = model;
        let mut stages: Vec<Stage> = Vec::new();
        for Layer { name, kind } in &chain.layers {
            let elements = stages.last().map_or(chain.inputs, |stage| stage.outputs);
            let stage = match kind {
                Kind::Local { geometry, implementation, trainable } => {
                    let geometry = geometry.with_implementation(implementation.unwrap_or(options.implementation));
                    Stage::local(gpu, name, geometry, *trainable, parameters).await
                }
                &Kind::Activation { activation, row } => {
                    Stage::activation(gpu, activation, [elements, row], name).await
                }
                &Kind::Transpose { rows, columns } => {
                    let work = Work::Transpose { channels: rows as usize, positions: columns as usize };
                    Ok(Stage { work, inputs: elements, outputs: elements })
                }
            };
            stages.push(stage.map_err(|error| error.in_layer(name))?);
        }
        let (inputs, outputs) = (chain.inputs, chain.outputs());
        let largest = stages.iter().map(|stage| stage.inputs.max(stage.outputs)).max().unwrap_or(inputs);
        let limit = gpu.context().profile().max_buffer;
        if 4 * largest > limit {
            let (what, name) = ("one sample".into(), "max_buffer_size");
            return Err(Error::Limit { what, needed: 4 * largest, unit: "bytes", limit, name });
        }
        let budget = options.sample_budget.unwrap_or(SAMPLE_BUDGET);
        let (input_shape, output_shape) = (input_shape.clone(), output_shape.clone());
        Ok(Self { gpu, stages, input_shape, output_shape, inputs, outputs, budget })
    }

    /// Shape of one input sample, without the batch.
    #[must_use]
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// Shape of one output sample, without the batch.
    #[must_use]
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// The locally connected layers and their names, in the model's order.
    pub fn layers(&self) -> impl Iterator<Item = (&str, &LocallyConnected)> {
        self.stages.iter().filter_map(|stage| match &stage.work {
            Work::Local { name, layer, .. } => Some((name.as_str(), layer)),
            _ => None,
        })
    }

    /// Samples that run at once, where each needs `copies` times the values of all stages.
    fn piece(&self, copies: u64) -> usize {
        let values = self.stages.iter().fold(self.inputs, |sum, stage| sum.saturating_add(stage.outputs));
        let largest = self.stages.iter().map(|stage| stage.inputs.max(stage.outputs)).max().unwrap_or(self.inputs);
        let fits = self.gpu.context().profile().max_buffer / (4 * largest);
        let wanted = self.budget / values.saturating_mul(4 * copies);
        // A batch is a u32, and one sample must do.
        fits.min(wanted).clamp(1, 1 << 30) as usize
    }

    /// Samples in `values` of `sample` elements each.
    fn batch(what: &'static str, values: &[f32], sample: u64, shape: &[usize]) -> Result<usize> {
        let found = values.len() as u64;
        if !found.is_multiple_of(sample) {
            let expected = found.next_multiple_of(sample);
            return Err(Error::Length { what, expected, found, shape: shape.to_vec() });
        }
        Ok((found / sample) as usize)
    }

    /// The model's output for `[batch][input shape]`.
    ///
    /// # Errors
    /// [`Error::Length`]; those of [`LocallyConnected::bind_forward`]; [`Error::OutOfMemory`]; [`Error::DeviceLost`].
    pub async fn forward(&self, input: &[f32]) -> Result<Vec<f32>> {
        let batch = Self::batch("input", input, self.inputs, &self.input_shape)?;
        let mut output = Vec::with_capacity(batch * self.outputs as usize);
        for piece in input.chunks(self.piece(1) * self.inputs as usize) {
            let samples = piece.len() as u64 / self.inputs;
            let mut values = self.upload(piece).await?;
            for stage in &self.stages {
                values = self.run(stage, values, samples, false).await.map_err(|error| stage.blame(error))?.output;
            }
            output.extend(self.gpu.read(&values, self.outputs * samples).await?);
        }
        Ok(output)
    }

    /// All gradients of the loss `Σ output · grad_output`.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub async fn backward(&self, input: &[f32], grad_output: &[f32]) -> Result<NetworkGradients> {
        let batch = Self::batch("input", input, self.inputs, &self.input_shape)?;
        let expected = batch as u64 * self.outputs;
        if grad_output.len() as u64 != expected {
            let (found, shape) = (grad_output.len() as u64, self.output_shape.clone());
            return Err(Error::Length { what: "grad_output", expected, found, shape });
        }
        let piece = self.piece(4);
        if batch <= piece {
            return self.backward_piece(input, grad_output).await;
        }
        let inputs = input.chunks(piece * self.inputs as usize);
        let mut sum: Option<NetworkGradients> = None;
        for (input, grad_output) in inputs.zip(grad_output.chunks(piece * self.outputs as usize)) {
            let part = self.backward_piece(input, grad_output).await?;
            match &mut sum {
                None => sum = Some(part),
                Some(sum) => sum.add(part),
            }
        }
        sum.ok_or(Error::Missing { what: "a sample", why: "the batch was cut into pieces" })
    }

    async fn backward_piece(&self, input: &[f32], grad_output: &[f32]) -> Result<NetworkGradients> {
        let samples = input.len() as u64 / self.inputs;
        let mut traces: Vec<Trace> = Vec::with_capacity(self.stages.len());
        let mut values = self.upload(input).await?;
        for stage in &self.stages {
            let trace = self.run(stage, values, samples, true).await.map_err(|error| stage.blame(error))?;
            values = trace.output.clone();
            traces.push(trace);
        }
        let mut gradient = self.upload(grad_output).await?;
        let mut parameters = BTreeMap::new();
        for stage in self.stages.iter().rev() {
            // Its buffers are free again as soon as this stage is done.
            let Some(trace) = traces.pop() else { break };
            let back = self.run_back(stage, &trace, gradient, samples, &mut parameters);
            gradient = back.await.map_err(|error| stage.blame(error))?;
        }
        Ok(NetworkGradients { input: self.gpu.read(&gradient, self.inputs * samples).await?, parameters })
    }

    async fn run(&self, stage: &Stage, input: wgpu::Buffer, samples: u64, keep: bool) -> Result<Trace> {
        let elements = stage.outputs * samples;
        let layer = match &stage.work {
            Work::Local { layer, .. } | Work::Activation { layer, .. } => layer,
            &Work::Transpose { channels, positions } => {
                let values = self.gpu.read(&input, elements).await?;
                let output = self.upload(&transpose(&values, channels, positions)).await?;
                return Ok(Trace { input, output, pre_activation: None });
            }
        };
        let output = self.buffer(elements).await?;
        let saved = layer.geometry().config().activation.saved();
        let pre_activation = match keep && saved == Saved::PreActivation {
            true => Some(self.buffer(elements).await?),
            false => None,
        };
        let forward =
            Forward { batch: samples as u32, input: &input, output: &output, pre_activation: pre_activation.as_ref() };
        let bound = layer.bind_forward(forward).await?;
        self.gpu.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&Default::default())));
        Ok(Trace { input, output, pre_activation })
    }

    /// The gradient by the stage's input; those by its parameters, where it has some, go into `parameters`.
    async fn run_back(
        &self,
        stage: &Stage,
        trace: &Trace,
        grad_output: wgpu::Buffer,
        samples: u64,
        parameters: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<wgpu::Buffer> {
        let layer = match &stage.work {
            Work::Local { layer, .. } | Work::Activation { layer, .. } => layer,
            &Work::Transpose { channels, positions } => {
                let values = self.gpu.read(&grad_output, stage.outputs * samples).await?;
                return self.upload(&transpose(&values, positions, channels)).await;
            }
        };
        let geometry = layer.geometry();
        let trains = matches!(stage.work, Work::Local { trainable: true, .. });
        let grad_input = self.buffer(stage.inputs * samples).await?;
        let grad_kernel = if trains { Some(layer.create_kernel_gradient().await?) } else { None };
        let has_bias = trains && geometry.biases() > 0;
        let grad_bias = if has_bias { Some(self.buffer(geometry.biases()).await?) } else { None };
        let backward = Backward {
            batch: samples as u32,
            input: Some(&trace.input),
            output: Some(&trace.output),
            pre_activation: trace.pre_activation.as_ref(),
            grad_output: &grad_output,
            grad_input: Some(&grad_input),
            grad_kernel: grad_kernel.as_ref(),
            grad_bias: grad_bias.as_ref(),
        };
        let bound = layer.bind_backward(backward).await?;
        self.gpu.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&Default::default())));
        if let (Work::Local { name, .. }, Some(kernel)) = (&stage.work, grad_kernel) {
            parameters.insert(names::grad_weights(name), self.gpu.read_kernel(layer, &kernel).await?);
            if let Some(bias) = &grad_bias {
                parameters.insert(names::grad_bias(name), self.gpu.read(bias, geometry.biases()).await?);
            }
        }
        Ok(grad_input)
    }

    /// A buffer of values; at least one element long, as bindings must be.
    async fn buffer(&self, elements: u64) -> Result<wgpu::Buffer> {
        let device = self.gpu.context().device();
        let (buffer, caught) = scoped(device, || {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("locally-connected network"),
                size: 4 * elements.max(1),
                usage: BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            })
        });
        caught.await?;
        Ok(buffer)
    }

    async fn upload(&self, values: &[f32]) -> Result<wgpu::Buffer> {
        let buffer = self.buffer(values.len() as u64).await?;
        let context = self.gpu.context();
        // The queue makes a staging buffer of its own for this.
        let write = || context.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(values));
        scoped(context.device(), write).1.await?;
        Ok(buffer)
    }
}

impl NetworkGradients {
    /// Joins the gradients of the samples that follow.
    fn add(&mut self, part: Self) {
        self.input.extend(part.input);
        for (name, part) in part.parameters {
            // Each part has those of the same layers.
            if let Some(sum) = self.parameters.get_mut(&name) {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
        }
    }
}

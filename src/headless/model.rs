//! Whole models on a device of one's own, batches beyond its memory in pieces.

use super::Gpu;
use crate::gpu::{Bindings, Bound, Loaded, Tensor};
use crate::model::{Model, Wanted, names};
use crate::ops::Usage;
use crate::plan::PlanOptions;
use crate::program::Program;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of samples and of what is computed from them that are on the device at once by default.
pub(super) const SAMPLE_BUDGET: u64 = 1 << 30;

/// All gradients that [`Gpu::gradients`] gives.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelGradients {
    /// `[batch][input shape]`.
    pub input: Vec<f32>,
    /// By [`names::grad_weights`] and [`names::grad_bias`], those of all trainable layers: of weights in the canonical
    /// order, of biases in Keras's.
    pub parameters: BTreeMap<String, Vec<f32>>,
}

/// A program that runs over a batch piece by piece.
struct Pieces<'a> {
    gpu: &'a Gpu,
    model: &'a Loaded,
    program: &'a Program,
    /// Samples of all pieces but the last.
    at_once: usize,
    /// By name: of the inputs and outputs.
    buffers: BTreeMap<&'a str, wgpu::Buffer>,
    gradients: BTreeMap<&'a str, Tensor>,
}

impl<'a> Pieces<'a> {
    async fn new(gpu: &'a Gpu, model: &'a Loaded, program: &'a Program, batch: usize) -> Result<Self> {
        let at_once = gpu.samples_at_once(program)?.min(batch);
        let mut pieces = Self { gpu, model, program, at_once, buffers: BTreeMap::new(), gradients: BTreeMap::new() };
        for buffer in &program.buffers {
            match buffer.usage {
                Usage::Input | Usage::Output => {
                    let made = gpu.empty(buffer.shape.elements(at_once as u32));
                    pieces.buffers.insert(&buffer.name, made);
                }
                Usage::Gradient => {
                    pieces.gradients.insert(&buffer.name, model.weights().create(buffer).await?);
                }
                Usage::Parameter | Usage::Scratch => {}
            }
        }
        gpu.check()?;
        Ok(pieces)
    }

    async fn bind(&self, program: &Program, samples: usize) -> Result<Bound> {
        let mut bindings = Bindings::default();
        for (name, buffer) in &self.buffers {
            bindings = bindings.with(name, buffer);
        }
        for (name, gradient) in &self.gradients {
            bindings = bindings.with(name, gradient);
        }
        self.model.weights().bind(program, samples as u32, &bindings).await
    }

    /// Runs over the batch: `inputs` by name, each `[batch][…]`; appends what `outputs` names.
    async fn run(&self, batch: usize, inputs: &[(&str, &[f32])], outputs: &mut [(&str, Vec<f32>)]) -> Result<()> {
        let mut adding = None;
        let mut bound: Option<(usize, bool, Bound)> = None;
        for run in runs(batch, self.at_once) {
            let samples = run.len();
            // The gradients of the first piece overwrite what was there, those of the others add to it.
            let adds = run.start > 0 && !self.gradients.is_empty();
            if bound.as_ref().is_none_or(|(of, added, _)| (*of, *added) != (samples, adds)) {
                let program =
                    if adds { adding.get_or_insert_with(|| self.program.clone().accumulating()) } else { self.program };
                // What the one before holds is free before more is asked for.
                drop(bound.take());
                bound = Some((samples, adds, self.bind(program, samples).await?));
            }
            for (name, values) in inputs {
                let piece = &values[part(values.len(), batch, &run)];
                if let Some(buffer) = self.buffers.get(name) {
                    self.gpu.write(buffer, piece);
                }
            }
            if let Some((_, _, bound)) = &bound {
                self.gpu.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&Default::default())));
            }
            for (name, values) in &mut *outputs {
                let described = self.program.find(name).and_then(|id| self.program.buffer(id));
                if let Some((buffer, described)) = self.buffers.get(name).zip(described) {
                    values.extend(self.gpu.read(buffer, described.shape.elements(samples as u32)).await?);
                }
            }
        }
        self.gpu.check()
    }
}

/// A batch cut into runs of at most so many samples, the first of which is there even where the batch is empty: gradients of
/// no samples are zero.
pub(super) fn runs(batch: usize, at_once: usize) -> impl Iterator<Item = Range<usize>> {
    (0..batch.max(1)).step_by(at_once.max(1)).map(move |first| first..batch.min(first + at_once))
}

/// What a run of samples has of the values of a whole batch.
pub(super) fn part(length: usize, batch: usize, run: &Range<usize>) -> Range<usize> {
    let each = length / batch.max(1);
    run.start * each..run.end * each
}

/// Checks the gradient of the output of a batch.
pub(super) fn check_grad_output(values: &[f32], batch: usize, sample: u64, shape: &[usize]) -> Result<()> {
    let (expected, found) = (batch as u64 * sample, values.len() as u64);
    if found == expected {
        return Ok(());
    }
    Err(Error::Length { what: "grad_output", expected, found, shape: shape.to_vec() })
}

/// Samples in `values` of `sample` elements each.
pub(super) fn samples(what: &'static str, values: &[f32], sample: u64, shape: &[usize]) -> Result<usize> {
    let (found, sample) = (values.len() as u64, sample.max(1));
    if !found.is_multiple_of(sample) {
        let expected = found.next_multiple_of(sample);
        return Err(Error::Length { what, expected, found, shape: shape.to_vec() });
    }
    Ok((found / sample) as usize)
}

impl Gpu {
    /// Uploads a model's parameters, as [`Model::upload`] does, each piece submitted before the next is written, so that
    /// host memory is never needed for all of them at once.
    ///
    /// # Errors
    /// Those of [`Model::upload`].
    pub async fn upload_model(&self, model: &Model) -> Result<Loaded> {
        let loaded = model.upload_by(self.context(), PlanOptions::default(), || self.flush()).await?;
        self.check()?;
        Ok(loaded)
    }

    /// The model's output for `[batch][input shape]`.
    ///
    /// # Errors
    /// [`Error::Length`]; those of [`Loaded::bind_forward`]; [`Error::OutOfMemory`]; [`Error::DeviceLost`].
    pub async fn run(&self, model: &Loaded, input: &[f32]) -> Result<Vec<f32>> {
        let chain = model.chain();
        let batch = samples("input", input, chain.inputs, model.input_shape())?;
        let program = chain.forward();
        let pieces = Pieces::new(self, model, &program, batch).await?;
        let mut outputs = [(names::OUTPUT, Vec::with_capacity(batch * chain.outputs() as usize))];
        pieces.run(batch, &[(names::INPUT, input)], &mut outputs).await?;
        let [(_, output)] = outputs;
        Ok(output)
    }

    /// All gradients of the loss `Σ output · grad_output`.
    ///
    /// # Errors
    /// As [`Gpu::run`].
    pub async fn gradients(&self, model: &Loaded, input: &[f32], grad_output: &[f32]) -> Result<ModelGradients> {
        let chain = model.chain();
        let batch = samples("input", input, chain.inputs, model.input_shape())?;
        check_grad_output(grad_output, batch, chain.outputs(), model.output_shape())?;
        let program = chain.backward(Wanted::All);
        let pieces = Pieces::new(self, model, &program, batch).await?;
        let mut outputs = [(names::GRAD_INPUT, Vec::with_capacity(input.len()))];
        let inputs = [(names::INPUT, input), (names::GRAD_OUTPUT, grad_output)];
        pieces.run(batch, &inputs, &mut outputs).await?;
        let mut parameters = BTreeMap::new();
        for (name, gradient) in &pieces.gradients {
            let mut readback = gradient.readback(self.context().device()).await?;
            self.submit(|encoder| readback.record(encoder))?;
            parameters.insert((*name).to_owned(), self.drive(readback.canonical()).await?);
            self.check()?;
        }
        let [(_, input)] = outputs;
        Ok(ModelGradients { input, parameters })
    }

    /// Samples that run at once within the budget and the device's limits.
    fn samples_at_once(&self, program: &Program) -> Result<usize> {
        let largest = program.sample_sizes().max().unwrap_or(0);
        self.context().profile().check_buffer("one sample", largest)?;
        let fits = self.context().profile().max_buffer / largest.max(1);
        let wanted = program.samples_within(self.sample_budget.unwrap_or(SAMPLE_BUDGET));
        Ok(wanted.min(fits as usize))
    }
}

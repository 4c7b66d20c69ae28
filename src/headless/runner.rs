//! Trains on a device of one's own.

use super::{Gpu, Temporary};
use crate::gpu::{Bindings, Bound, Readback, Tensor, Weights};
use crate::ops::Usage;
use crate::program::Program;
use crate::train::{Recent, Run, Runner};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Holds a training's parameters, states and gradients on a device and runs its programs there. Each run uploads its
/// inputs and reads back its outputs.
#[derive(Debug)]
pub struct GpuRunner<'g> {
    gpu: &'g Gpu,
    weights: Option<Weights>,
    gradients: BTreeMap<String, Tensor>,
    bound: Recent<Ready>,
}

/// A program bound to buffers of its own.
#[derive(Debug)]
struct Ready {
    /// The buffers of inputs and outputs, by name.
    buffers: BTreeMap<String, Temporary>,
    bound: Bound,
    outputs: Outputs,
}

impl Drop for Ready {
    /// In a browser what is only dropped keeps its memory.
    fn drop(&mut self) {
        self.bound.clone().destroy();
        self.outputs.readback.take().into_iter().for_each(Readback::destroy);
    }
}

/// The outputs of a program one after another in one buffer, so that one readback brings them all to the host.
#[derive(Debug)]
struct Outputs {
    /// Each output's name and number of elements.
    names: Vec<(String, u64)>,
    together: Temporary,
    readback: Option<Readback>,
}

impl Outputs {
    async fn new(gpu: &Gpu, program: &Program, batch: u32) -> Result<Self> {
        let names = program.used_as(Usage::Output).map(|buffer| (buffer.name.clone(), buffer.shape.elements(batch)));
        let names: Vec<(String, u64)> = names.collect();
        let all = names.iter().fold(0u64, |all, (_, elements)| all.saturating_add(*elements));
        gpu.context().profile().check_buffer("the outputs", all.saturating_mul(4))?;
        let together = Temporary(gpu.empty(all));
        gpu.check()?;
        let readback = match all {
            0 => None,
            _ => Some(Readback::new(gpu.context().device(), &*together).await?),
        };
        Ok(Self { names, together, readback })
    }

    /// Records the outputs' copies behind a pass.
    fn record(&mut self, buffers: &BTreeMap<String, Temporary>, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        let mut at = 0;
        for (name, elements) in &self.names {
            if let Some(buffer) = buffers.get(name).filter(|_| *elements > 0) {
                encoder.copy_buffer_to_buffer(buffer, 0, &self.together, at, 4 * elements);
            }
            at += 4 * elements;
        }
        self.readback.as_mut().map_or(Ok(()), |readback| readback.record(encoder))
    }

    async fn take(&mut self, gpu: &Gpu) -> Result<BTreeMap<String, Vec<f32>>> {
        let Some(readback) = &mut self.readback else {
            gpu.flush();
            return Ok(BTreeMap::new());
        };
        let all = gpu.drive(readback.values()).await;
        gpu.check()?;
        let (all, mut at) = (all?, 0);
        let mut taken = BTreeMap::new();
        for (name, elements) in &self.names {
            let end = at + *elements as usize;
            taken.insert(name.clone(), all.get(at..end).unwrap_or_default().to_vec());
            at = end;
        }
        Ok(taken)
    }
}

impl<'g> GpuRunner<'g> {
    /// A runner on this GPU.
    #[must_use]
    pub fn new(gpu: &'g Gpu) -> Self {
        Self { gpu, weights: None, gradients: BTreeMap::new(), bound: Recent::default() }
    }

    /// The parameters and states, once they are held.
    fn weights(&self) -> Result<&Weights> {
        self.weights.as_ref().ok_or(Error::Missing { what: "parameters", why: "the runner holds none yet" })
    }

    /// Frees what it holds: in a browser what is only dropped keeps its memory.
    fn release(&mut self) {
        self.bound.clear();
        std::mem::take(&mut self.gradients).into_values().for_each(Tensor::destroy);
        self.weights.take().into_iter().for_each(Weights::destroy);
    }

    async fn ready(&mut self, program: &Arc<Program>, batch: u32) -> Result<Ready> {
        let mut buffers = BTreeMap::new();
        for buffer in program.used_as(Usage::Input).chain(program.used_as(Usage::Output)) {
            self.gpu.context().profile().check_buffer("an input or output", buffer.bytes(batch))?;
            buffers.insert(buffer.name.clone(), Temporary(self.gpu.empty(buffer.shape.elements(batch))));
        }
        self.gpu.check()?;
        for buffer in program.used_as(Usage::Gradient) {
            if !self.gradients.contains_key(&buffer.name) {
                let gradient = self.weights()?.create(buffer).await?;
                self.gradients.insert(buffer.name.clone(), gradient);
            }
        }
        let mut bindings = Bindings::default();
        for (name, buffer) in &buffers {
            bindings = bindings.with(name, &**buffer);
        }
        for buffer in program.used_as(Usage::Gradient) {
            let gradient = self.gradients.get(&buffer.name);
            bindings = bindings.with_some(&buffer.name, gradient);
        }
        let bound = self.weights()?.bind(program, batch, &bindings).await?;
        let outputs = Outputs::new(self.gpu, program, batch).await?;
        Ok(Ready { buffers, bound, outputs })
    }
}

impl Drop for GpuRunner<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

impl Runner for GpuRunner<'_> {
    async fn hold(&mut self, store: &Program) -> Result<()> {
        self.release();
        self.weights = Some(Weights::new(self.gpu.context(), store).await?);
        Ok(())
    }

    async fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let mut upload = self.weights()?.upload(name, values)?;
        while upload.write_next().await? {
            self.gpu.flush();
        }
        self.gpu.flush();
        self.gpu.check()
    }

    async fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.weights()?.get(name).or_else(|| self.gradients.get(name));
        let tensor = tensor.ok_or_else(|| Error::NoBuffer { name: name.to_owned() })?;
        self.gpu.read_tensor(tensor).await
    }

    async fn run(&mut self, run: Run<'_>) -> Result<BTreeMap<String, Vec<f32>>> {
        let Run { program, batch, inputs } = run;
        let mut ready = match self.bound.take(program, batch) {
            Some(ready) => ready,
            None => self.ready(program, batch).await?,
        };
        for buffer in program.used_as(Usage::Input) {
            let given = inputs.iter().find(|(name, _)| *name == buffer.name);
            let (_, values) = given.ok_or_else(|| Error::NotGiven { name: buffer.name.clone() })?;
            if values.len() as u64 != buffer.shape.elements(batch) {
                return Err(buffer.wrong_length(batch, values.len() as u64));
            }
            if let Some(to) = ready.buffers.get(&buffer.name) {
                self.gpu.write(to, values);
            }
        }
        let (bound, outputs, buffers) = (&ready.bound, &mut ready.outputs, &ready.buffers);
        self.gpu.submit(|encoder| {
            bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
            outputs.record(buffers, encoder)
        })?;
        let taken = ready.outputs.take(self.gpu).await;
        self.bound.put(program, batch, ready);
        taken
    }

    fn samples_at_once(&self, program: &Arc<Program>) -> Result<usize> {
        self.gpu.samples_at_once(program)
    }
}

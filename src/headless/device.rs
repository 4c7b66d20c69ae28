//! What models run on: the best GPU, or where there is none the host's own threads.

use super::model::{Job, ModelGradients, NamedGradients, SAMPLE_BUDGET, one_each, part, runs};
use super::runner::GpuRunner;
use super::{Gpu, GpuOptions, adapters, instance, wanted};
use crate::cpu::{self, Executor, Instructions, Threads};
use crate::gpu::Loaded;
use crate::model::{Layer, Model, Sequential, Wanted, names};
use crate::ops::Usage;
use crate::program::Program;
use crate::room::zeroes;
use crate::train::{Run, Runner};
use crate::{Config, Error, Geometry, Result};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// What [`Device::open`] is to open.
#[derive(Debug, Clone, Default)]
pub struct DeviceOptions {
    /// `cpu` for the host's own threads, else the first adapter whose name, backend or driver contains this, in any case.
    /// Without it the environment's `WGPU_ADAPTER_NAME`, else the best GPU, and where there is none (software adapters
    /// don't count) the host's own threads.
    pub adapter: Option<String>,
    /// How many threads to use; without it as many as `RAYON_NUM_THREADS` or the processor says.
    pub threads: Option<NonZeroUsize>,
    /// About the most bytes of samples, and of values computed from them, at once; 1 GiB without it. Larger batches run
    /// in pieces.
    pub sample_budget: Option<u64>,
}

/// What models run on.
#[derive(Debug)]
pub enum Device {
    /// A GPU, or a software adapter that was asked for.
    Gpu(Box<Gpu>),
    /// The host's own threads.
    Cpu(Cpu),
}

/// The host's own threads.
#[derive(Debug)]
pub struct Cpu {
    executor: Executor,
    sample_budget: Option<u64>,
    refused: Option<String>,
}

impl Cpu {
    /// As many threads as asked for, in a pool of its own; where none are asked for and the system gives no more, the calling
    /// thread alone.
    ///
    /// # Errors
    /// [`Error::Threads`] where so many were asked for and the system doesn't give them.
    pub fn new(options: &DeviceOptions) -> Result<Self> {
        let threads = match (Threads::own(Self::threads(options)), options.threads) {
            (Ok(threads), _) => threads,
            (Err(_), None) => Threads::caller(),
            (Err(error), Some(_)) => return Err(error),
        };
        let executor = Executor::new(threads);
        Ok(Self { executor, sample_budget: options.sample_budget, refused: None })
    }

    /// How many threads [`Cpu::new`] asks for.
    #[must_use]
    pub fn threads(options: &DeviceOptions) -> NonZeroUsize {
        let environment = || std::env::var("RAYON_NUM_THREADS").ok()?.parse().ok();
        let processor = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        options.threads.or_else(environment).unwrap_or_else(processor)
    }

    /// The host's threads, in place of a GPU that was refused.
    fn instead_of(options: &DeviceOptions, refused: String) -> Result<Device> {
        Ok(Device::Cpu(Self { refused: Some(refused), ..Self::new(options)? }))
    }

    /// The executor, which knows its threads and instructions.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// The instructions that it computes with.
    #[must_use]
    pub fn instructions(&self) -> Instructions {
        self.executor.instructions()
    }

    /// Why a GPU of this machine wasn't taken, where one was refused: it computes wrongly, or was lost.
    #[must_use]
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

impl Device {
    /// The best there is, or what the options name. A GPU that nobody named must first compute a small layer rightly; one that
    /// doesn't is refused ([`Cpu::refused`]).
    ///
    /// # Errors
    /// [`Error::NoBackend`], [`Error::NoSuchAdapter`] and [`Error::Device`] for an adapter that was named; [`Error::Threads`].
    pub async fn open(options: &DeviceOptions) -> Result<Self> {
        if let Some(adapter) = wanted(options.adapter.as_deref()) {
            if adapter.eq_ignore_ascii_case("cpu") {
                return Ok(Self::Cpu(Cpu::new(options)?));
            }
            let sample_budget = options.sample_budget;
            let options = GpuOptions { adapter: Some(adapter), sample_budget, ..GpuOptions::default() };
            return Ok(Self::Gpu(Box::new(Gpu::with_options(&options).await?)));
        }
        let Some(name) = gpu_name().await else { return Ok(Self::Cpu(Cpu::new(options)?)) };
        let best = GpuOptions { sample_budget: options.sample_budget, ..GpuOptions::default() };
        match Gpu::with_options(&best).await {
            Ok(gpu) => Self::proven(gpu, options).await,
            Err(error) => Cpu::instead_of(options, format!("{name}: {error}")),
        }
    }

    /// The GPU if it computes a small layer correctly, forward and backward; otherwise the host's own threads, which say
    /// why ([`Cpu::refused`]).
    ///
    /// # Errors
    /// [`Error::Threads`].
    pub async fn proven(gpu: Gpu, options: &DeviceOptions) -> Result<Self> {
        match proves(&gpu).await {
            Ok(()) => Ok(Self::Gpu(Box::new(gpu))),
            Err(error) => Cpu::instead_of(options, format!("{}: {error}", gpu.adapter().get_info().name)),
        }
    }

    /// Makes a model ready to run here: a GPU gets its parameters uploaded, the host's threads borrow them.
    ///
    /// # Errors
    /// Those of [`Model::upload`]; on the host's threads those of [`cpu::Weights::set`].
    pub async fn upload<'d, 'm>(&'d self, model: &'m Model) -> Result<OnDevice<'d, 'm>> {
        match self {
            Self::Gpu(gpu) => Ok(OnDevice::Gpu { gpu, loaded: Box::new(gpu.upload_model(model).await?) }),
            Self::Cpu(cpu) => Ok(OnDevice::Cpu(CpuModel::new(cpu, model)?)),
        }
    }
}

impl Device {
    /// A runner that trains on this device, for a [`Trainer`](crate::train::Trainer).
    #[must_use]
    pub fn runner(&self) -> DeviceRunner<'_> {
        match self {
            Self::Gpu(gpu) => DeviceRunner::Gpu(Box::new(GpuRunner::new(gpu))),
            Self::Cpu(cpu) => {
                let runner = cpu::Runner::new(cpu.executor.clone());
                DeviceRunner::Cpu(Box::new(runner.with_sample_budget(cpu.sample_budget.unwrap_or(SAMPLE_BUDGET))))
            }
        }
    }
}

/// Trains on a [`Device`].
#[derive(Debug)]
pub enum DeviceRunner<'d> {
    /// On a GPU.
    Gpu(Box<GpuRunner<'d>>),
    /// On the host's own threads.
    Cpu(Box<cpu::Runner>),
}

impl Runner for DeviceRunner<'_> {
    async fn hold(&mut self, store: &Program) -> Result<()> {
        match self {
            Self::Gpu(runner) => runner.hold(store).await,
            Self::Cpu(runner) => runner.hold(store).await,
        }
    }

    async fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        match self {
            Self::Gpu(runner) => runner.write(name, values).await,
            Self::Cpu(runner) => runner.write(name, values).await,
        }
    }

    async fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        match self {
            Self::Gpu(runner) => runner.read(name).await,
            Self::Cpu(runner) => runner.read(name).await,
        }
    }

    async fn run(&mut self, run: Run<'_>) -> Result<BTreeMap<String, Vec<f32>>> {
        match self {
            Self::Gpu(runner) => runner.run(run).await,
            Self::Cpu(runner) => runner.run(run).await,
        }
    }

    fn samples_at_once(&self, program: &Arc<Program>) -> Result<usize> {
        match self {
            Self::Gpu(runner) => runner.samples_at_once(program),
            Self::Cpu(runner) => runner.samples_at_once(program),
        }
    }
}

/// A model ready to run on a [`Device`].
#[derive(Debug)]
pub enum OnDevice<'d, 'm> {
    /// On a GPU.
    Gpu {
        /// The GPU that has the model.
        gpu: &'d Gpu,
        /// The model with its parameters on the GPU.
        loaded: Box<Loaded>,
    },
    /// On the host's threads.
    Cpu(CpuModel<'d, 'm>),
}

impl OnDevice<'_, '_> {
    /// The output for `[batch][input shape]` of a model of one input and one output.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::Unsupported`] for a model of several inputs or outputs; those of the device.
    pub async fn run(&self, input: &[f32]) -> Result<Vec<f32>> {
        match self {
            Self::Gpu { gpu, loaded } => gpu.run(loaded, input).await,
            Self::Cpu(model) => model.run(input),
        }
    }

    /// All gradients of the loss `Σ output · grad_output` of a model of one input and one output.
    ///
    /// # Errors
    /// As [`OnDevice::run`].
    pub async fn gradients(&self, input: &[f32], grad_output: &[f32]) -> Result<ModelGradients> {
        match self {
            Self::Gpu { gpu, loaded } => gpu.gradients(loaded, input, grad_output).await,
            Self::Cpu(model) => model.gradients(input, grad_output),
        }
    }

    /// The model's outputs, by name, for its inputs, by name: `[batch][input shape]` each.
    ///
    /// # Errors
    /// [`Error::NotGiven`], [`Error::NoBuffer`], [`Error::Length`]; those of the device.
    pub async fn run_named(&self, inputs: &[(&str, &[f32])]) -> Result<BTreeMap<String, Vec<f32>>> {
        match self {
            Self::Gpu { gpu, loaded } => gpu.run_named(loaded, inputs).await,
            Self::Cpu(model) => model.run_named(inputs),
        }
    }

    /// All gradients of the loss `Σ output · grad_output`, the sum over all outputs; inputs and outputs are by name.
    ///
    /// # Errors
    /// As [`OnDevice::run_named`].
    pub async fn gradients_named(
        &self,
        inputs: &[(&str, &[f32])],
        grad_outputs: &[(&str, &[f32])],
    ) -> Result<NamedGradients> {
        match self {
            Self::Gpu { gpu, loaded } => gpu.gradients_named(loaded, inputs, grad_outputs).await,
            Self::Cpu(model) => model.gradients_named(inputs, grad_outputs),
        }
    }
}

/// A model on the host's threads, its parameters borrowed where they are 32-bit floats.
#[derive(Debug)]
pub struct CpuModel<'d, 'm> {
    cpu: &'d Cpu,
    model: &'m Model,
    weights: cpu::Weights<'m>,
}

impl<'d, 'm> CpuModel<'d, 'm> {
    /// # Errors
    /// Those of [`Model::check`] and [`cpu::Weights::set`].
    pub fn new(cpu: &'d Cpu, model: &'m Model) -> Result<Self> {
        model.check()?;
        let program = model.graph.forward();
        let mut weights = cpu::Weights::new();
        for buffer in program.used_as(Usage::Parameter) {
            let values = model.parameters.get(&buffer.name);
            let values = values.ok_or_else(|| Error::NotGiven { name: buffer.name.clone() })?;
            weights.set(&program, &buffer.name, values.as_slice())?;
        }
        Ok(Self { cpu, model, weights })
    }

    /// The output for `[batch][input shape]` of a model of one input and one output.
    ///
    /// # Errors
    /// Those of [`CpuModel::run_named`]; [`Error::Unsupported`] for a model of several inputs or outputs.
    pub fn run(&self, input: &[f32]) -> Result<Vec<f32>> {
        let [name, _] = one_each(&self.model.graph)?;
        Ok(self.run_named(&[(&name, input)])?.into_values().next().unwrap_or_default())
    }

    /// The model's outputs, by name, for its inputs, by name: `[batch][input shape]` each.
    ///
    /// # Errors
    /// [`Error::NotGiven`], [`Error::NoBuffer`] and [`Error::Length`] for inputs; those of [`cpu::Bound::run`].
    pub fn run_named(&self, inputs: &[(&str, &[f32])]) -> Result<BTreeMap<String, Vec<f32>>> {
        let graph = &self.model.graph;
        self.pieces(&graph.forward(), &Job::forward(graph, inputs)?, &mut BTreeMap::new())
    }

    /// All gradients of the loss `Σ output · grad_output` of a model of one input and one output.
    ///
    /// # Errors
    /// As [`CpuModel::run`].
    pub fn gradients(&self, input: &[f32], grad_output: &[f32]) -> Result<ModelGradients> {
        let [from, to] = one_each(&self.model.graph)?;
        Ok(self.gradients_named(&[(&from, input)], &[(&to, grad_output)])?.of_one_input())
    }

    /// All gradients of the loss `Σ output · grad_output`, the sum over all outputs; inputs and outputs are by name.
    ///
    /// # Errors
    /// As [`CpuModel::run_named`].
    pub fn gradients_named(
        &self,
        inputs: &[(&str, &[f32])],
        grad_outputs: &[(&str, &[f32])],
    ) -> Result<NamedGradients> {
        let graph = &self.model.graph;
        let program = graph.backward(Wanted::All);
        let job = Job::backward(graph, &program, inputs, grad_outputs)?;
        let gradients = program.used_as(Usage::Gradient);
        let gradients =
            gradients.map(|buffer| Ok((buffer.name.as_str(), zeroes("gradients", buffer.shape.elements(0))?)));
        let mut gradients: BTreeMap<&str, Vec<f32>> = gradients.collect::<Result<_>>()?;
        let inputs = self.pieces(&program, &job, &mut gradients)?;
        let parameters = gradients.into_iter().map(|(name, values)| (name.to_owned(), values)).collect();
        Ok(NamedGradients { inputs, parameters })
    }

    /// Runs a program over a batch piece by piece. The first piece overwrites gradients, the others add to them.
    fn pieces(
        &self,
        program: &Program,
        job: &Job<'_>,
        gradients: &mut BTreeMap<&str, Vec<f32>>,
    ) -> Result<BTreeMap<String, Vec<f32>>> {
        let batch = job.batch;
        // A backward pass computes its outputs, too, though nobody asked for them here.
        let mut outputs: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
        for buffer in program.used_as(Usage::Output) {
            outputs.insert(&buffer.name, zeroes("outputs", buffer.shape.elements(batch as u32))?);
        }
        let at_once = program.samples_within(self.cpu.sample_budget.unwrap_or(SAMPLE_BUDGET));
        let mut bound: Option<(usize, bool, cpu::Bound)> = None;
        for run in runs(batch, at_once) {
            let (samples, adds) = (run.len(), run.start > 0 && !gradients.is_empty());
            // The previous piece's memory is free before more is asked for.
            let kept = bound.take().filter(|(of, added, _)| (*of, *added) == (samples, adds));
            let mut running = match kept {
                Some((_, _, running)) => running,
                None => {
                    let program = if adds { &program.clone().accumulating() } else { program };
                    self.cpu.executor.bind(program, samples as u32)?
                }
            };
            let read =
                job.inputs.iter().map(|(name, values)| (name.as_str(), &values[part(values.len(), batch, &run)]));
            let read: Vec<(&str, &[f32])> = read.collect();
            let written = outputs.iter_mut().map(|(name, values)| {
                let range = part(values.len(), batch, &run);
                (*name, &mut values[range])
            });
            let added = gradients.iter_mut().map(|(name, values)| (*name, values.as_mut_slice()));
            let mut written: Vec<(&str, &mut [f32])> = written.chain(added).collect();
            running.run(&self.weights, &read, &mut written)?;
            bound = Some((samples, adds, running));
        }
        let taken = |(name, buffer, _): &(String, String, u64)| {
            (name.clone(), outputs.get_mut(buffer.as_str()).map(std::mem::take).unwrap_or_default())
        };
        Ok(job.outputs.iter().map(taken).collect())
    }
}

/// The name of the best adapter, if it isn't software.
async fn gpu_name() -> Option<String> {
    let info = adapters(&instance().ok()?).await.first()?.get_info();
    (info.device_type != wgpu::DeviceType::Cpu).then_some(info.name)
}

/// Whether a GPU computes a small layer as the calling thread does, forward and backward.
async fn proves(gpu: &Gpu) -> Result<()> {
    let geometry = Arc::new(Geometry::new(&Config::new(4, [3, 3]), &[6, 5, 4])?);
    // Small whole numbers: sums are exact, whatever their order.
    let values = |count: u64, step: u64| (0..count).map(|i| ((i * step) % 7) as f32 - 3.0).collect::<Vec<_>>();
    let (inputs, outputs) = (geometry.inputs(), geometry.outputs());
    let parameters = [
        (names::parameter("known", "kernel"), values(geometry.weights(), 5)),
        (names::parameter("known", "bias"), values(geometry.biases(), 3)),
    ];
    let graph = Sequential::new(geometry.input_shape()).add(Layer::new(geometry).named("known")).graph()?;
    let model = Model { graph, parameters: parameters.into() };
    let (x, dy) = (values(2 * inputs, 4), values(2 * outputs, 2));
    let cpu = Cpu { executor: Executor::default(), sample_budget: None, refused: None };
    let known = CpuModel::new(&cpu, &model)?;
    let loaded = model.upload(gpu.context()).await?;
    let same = gpu.run(&loaded, &x).await? == known.run(&x)?
        && gpu.gradients(&loaded, &x, &dy).await? == known.gradients(&x, &dy)?;
    if same { Ok(()) } else { Err(Error::Device("it computes a known layer wrongly".into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_opened() {
        let open = |adapter: &str| {
            let adapter = Some(adapter.to_owned());
            pollster::block_on(Device::open(&DeviceOptions { adapter, ..DeviceOptions::default() }))
        };
        assert!(matches!(open("CPU"), Ok(Device::Cpu(cpu)) if cpu.refused().is_none()));
        assert!(matches!(open("no such adapter"), Err(Error::NoSuchAdapter { .. })));
        let threads = NonZeroUsize::new(3);
        let options = DeviceOptions { adapter: Some("cpu".into()), threads, ..DeviceOptions::default() };
        let Ok(Device::Cpu(cpu)) = pollster::block_on(Device::open(&options)) else { panic!("the host's threads") };
        assert_eq!(cpu.executor().threads().count(), 3);
    }

    /// Any adapter that is there computes rightly the layer by which a GPU proves itself.
    #[test]
    fn an_adapter_proves_itself() {
        let gpu = pollster::block_on(Gpu::new()).expect("tests need an adapter");
        let device = pollster::block_on(Device::proven(gpu, &DeviceOptions::default()));
        assert!(matches!(device, Ok(Device::Gpu(_))), "{device:?}");
    }

    /// The refusal of a lost adapter names it, and the host's threads are used instead.
    #[test]
    fn an_adapter_that_is_lost_is_refused() {
        let gpu = pollster::block_on(Gpu::new()).expect("tests need an adapter");
        let name = gpu.adapter().get_info().name;
        gpu.context().device().destroy();
        let device = pollster::block_on(Device::proven(gpu, &DeviceOptions::default()));
        let Ok(Device::Cpu(cpu)) = &device else { panic!("{device:?}") };
        let why = cpu.refused().expect("it says why");
        assert!(why.starts_with(&name) && why.contains("lost"), "{why}");
    }
}

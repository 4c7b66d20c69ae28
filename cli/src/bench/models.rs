//! Times whole models and training steps, on adapters and on the CPU executor.

use super::check::distance;
use super::clock::Sample;
use super::cpu_layer;
use super::layer;
use super::noise::HostNoise;
use super::prepared::{Described, Prepared, Subject};
use super::record::Key;
use super::scope::scoped;
use super::skips::Skip;
use super::workloads::{Dtype, LeastWork, Pass};
use crate::failure::Failure;
use locally_connected::headless::GpuRunner;
use locally_connected::model::{Model, names};
use locally_connected::ops::{Operation, StepNumbers, Usage};
use locally_connected::program::Program;
use locally_connected::train::{Loss, Optimizer, Run, Runner, Training};
use locally_connected::{Bindings, Bound, Error, Implementation, Weights, cpu, reference, wgpu};
use pollster::block_on;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// A model, and its training by Adam with a mean squared error, whatever its file says.
#[derive(Debug)]
pub(crate) struct ModelWorkload {
    pub(crate) name: String,
    model: Model,
    /// The training, or the reason why the model can't be trained.
    training: Result<Training, Error>,
}

/// The most multiplications and additions for which the reference is run, which takes some seconds.
const MOST_FLOPS: u64 = 2_000_000_000;

impl ModelWorkload {
    pub(crate) fn new(name: String, model: Model) -> Self {
        let training = Training::new(&model.graph, Optimizer::adam(), Loss::MeanSquaredError);
        Self { name, model, training }
    }

    /// The program of a pass. A training step also changes the parameters.
    ///
    /// # Errors
    /// If the model can't be trained, or the pass is a layer's.
    fn program(&self, pass: Pass) -> Result<Program, Error> {
        match pass {
            Pass::Model => Ok(self.model.graph.forward()),
            Pass::TrainStep => self.training.as_ref().map(Training::step).map_err(Clone::clone),
            Pass::Forward | Pass::Backward | Pass::Both => {
                Err(Error::Missing { what: "a pass of a model", why: "forward, backward and both are a layer's" })
            }
        }
    }

    /// The buffers that outlive the program: parameters and, for a training step, states.
    fn store(&self, program: &Program, pass: Pass) -> Program {
        match (&self.training, pass) {
            (Ok(training), Pass::TrainStep) => training.store(),
            _ => Program { buffers: program.used_as(Usage::Parameter).cloned().collect(), operations: Vec::new() },
        }
    }

    /// The values of all inputs.
    fn inputs(&self, program: &Program, batch: u32, values: &HostNoise) -> BTreeMap<String, Vec<f32>> {
        let steps = self.training.as_ref().map(|training| (training.numbers(0, batch as usize, 0), training.steps()));
        let of = |name: &str, elements: u64| {
            let step = steps.as_ref().ok().and_then(|(numbers, steps)| {
                let (_, weight) = steps.iter().find(|(step, _)| step == name)?;
                let per_sample = (weight / f64::from(batch)) as f32;
                Some(StepNumbers { per_sample, ..*numbers }.to_floats().to_vec())
            });
            match step {
                Some(numbers) => numbers,
                None if name.starts_with(names::SAMPLE_WEIGHT) => vec![1.0; elements as usize],
                None => values.values(elements),
            }
        };
        let inputs = program.used_as(Usage::Input);
        inputs.map(|input| (input.name.clone(), of(&input.name, input.shape.elements(batch)))).collect()
    }

    /// The least bytes that one of these passes moves in one direction, and the most that one moves in all.
    pub(crate) fn moves(&self, passes: &[Pass], batches: &[u32]) -> (u64, u64) {
        let programs = passes.iter().filter_map(|&pass| self.program(pass).ok());
        let mut all = (u64::MAX, 0);
        for program in programs {
            for &batch in batches {
                let LeastWork { bytes, written, .. } = work(&program, batch);
                all = (all.0.min(written).min(bytes - written), all.1.max(bytes));
            }
        }
        all
    }

    /// A case of a model. If the layers have several implementations, the first one is named; the CPU executor has
    /// none.
    fn described(
        &self,
        (pass, batch): (Pass, u32),
        program: &Program,
        (implementation, kernels): (Option<Implementation>, Vec<String>),
    ) -> Described {
        let (workload, dtype, auto) = (self.name.clone(), Dtype::F32, implementation.is_some());
        let key = Key { workload, pass, implementation, auto, batch, dtype, setup: None };
        Described { rows: vec![(key, work(program, batch))], kernels }
    }

    /// The error of a pass compared with the reference: for a model that of the first sample's outputs, for a training
    /// step that of the losses and of the gradients as the optimizer keeps them. None if the reference would take too
    /// long.
    fn max_error<R: Runner>(
        &self,
        pass: Pass,
        batch: u32,
        values: &HostNoise,
        mut runner: R,
    ) -> Result<Option<f64>, Error> {
        let program = self.program(pass)?;
        let compared = if pass == Pass::Model { 1 } else { batch };
        if work(&program, compared).flops > MOST_FLOPS {
            return Ok(None);
        }
        let inputs = self.inputs(&program, batch, values);
        let program = Arc::new(program);
        let (found, states) = block_on(async {
            runner.hold(&self.store(&program, pass)).await?;
            for (name, values) in self.parameters(&program) {
                runner.write(name, values).await?;
            }
            let given: Vec<(&str, &[f32])> = inputs.iter().map(|(name, values)| (name.as_str(), &values[..])).collect();
            let found = runner.run(Run { program: &program, batch, inputs: &given }).await?;
            let mut states = BTreeMap::new();
            for name in self.moments(&program) {
                states.insert(name.clone(), runner.read(&name).await?);
            }
            Ok::<_, Error>((found, states))
        })?;
        // Where samples don't depend on each other, checking the first one is enough.
        let mut given: reference::Values = BTreeMap::new();
        for input in program.used_as(Usage::Input) {
            let values = inputs.get(&input.name).map(Vec::as_slice).unwrap_or_default();
            let part = &values[..values.len().min(input.shape.elements(compared) as usize)];
            given.insert(input.name.clone(), part.iter().map(|&value| value.into()).collect());
        }
        for (name, values) in self.parameters(&program) {
            given.insert(name.to_owned(), values.iter().map(|&value| value.into()).collect());
        }
        let expected = reference::run(&program, compared, &given)?;
        let mut worst = 0.0f64;
        for (name, found) in found.iter().chain(&states) {
            let Some(expected) = expected.get(name) else { continue };
            worst = worst.max(distance(&found[..found.len().min(expected.len())], expected));
        }
        Ok(Some(worst))
    }

    /// The parameters that a program reads.
    fn parameters<'p>(&'p self, program: &'p Program) -> impl Iterator<Item = (&'p str, &'p [f32])> {
        let read = program.used_as(Usage::Parameter);
        read.filter_map(|buffer| Some((buffer.name.as_str(), self.model.parameters.get(&buffer.name)?.as_slice())))
    }

    /// The states that equal the gradients, times a factor, after one step: the first one that the optimizer keeps of
    /// each parameter.
    fn moments(&self, program: &Program) -> Vec<String> {
        let Ok(training) = &self.training else { return Vec::new() };
        let Some(slot) = training.optimizer().rule.slots().first() else { return Vec::new() };
        let ending = format!("/{slot}");
        let states = program.used_as(Usage::State).map(|state| state.name.clone());
        states.filter(|name| name.ends_with(&ending)).collect()
    }
}

/// The least work of a program: inputs, parameters and states read once, outputs and updated buffers written once.
/// Values between its operations don't count, since it might be one operation.
fn work(program: &Program, batch: u32) -> LeastWork {
    let changed: Vec<usize> =
        program.operations.iter().flat_map(Operation::updates).map(|buffer| buffer.index()).collect();
    let (mut read, mut written) = (0, 0);
    for (at, buffer) in program.buffers.iter().enumerate() {
        let bytes = buffer.bytes(batch);
        match buffer.usage {
            Usage::Input | Usage::Parameter | Usage::State => read += bytes,
            Usage::Output => written += bytes,
            Usage::Gradient | Usage::Scratch => {}
        }
        written += if changed.contains(&at) { bytes } else { 0 };
    }
    let of_layer = |operation: &Operation| match operation {
        Operation::LocalForward(_) | Operation::LocalGradInput(_) | Operation::LocalGradWeights(_) => {
            operation.layer().map_or(0, |layer| 2 * u64::from(batch) * layer.connected_weights())
        }
        _ => 0,
    };
    LeastWork { bytes: read + written, written, flops: program.operations.iter().map(of_layer).sum() }
}

/// A model on an adapter.
pub(super) struct OnGpu<'a> {
    pub(super) bench: layer::Bench<'a>,
    pub(super) workload: &'a ModelWorkload,
}

/// A pass, with all that it needs to run.
struct Loaded {
    pass: Pass,
    bound: Bound,
    /// Kept as long as the pass runs.
    _weights: Weights,
}

struct ReadyOnGpu<'l, 'a> {
    model: &'l OnGpu<'a>,
    cases: Vec<Loaded>,
    described: Vec<Described>,
    batch: u32,
}

impl OnGpu<'_> {
    fn load(&self, pass: Pass, batch: u32) -> Result<(Loaded, Described), Error> {
        let layer::Bench { gpu, noise, selection, .. } = self.bench;
        let program = self.workload.program(pass)?;
        let mut weights = block_on(Weights::new(gpu.context(), &self.workload.store(&program, pass)))?;
        weights.set_options(self.bench.options(0));
        for (name, values) in self.workload.parameters(&program) {
            let mut upload = weights.upload(name, values)?;
            while block_on(upload.write_next())? {
                gpu.submit(|_| ());
                // A lost device is reported when something is timed.
                let _ = self.bench.clock.wait();
            }
        }
        let inputs = self.workload.inputs(&program, batch, &noise.host);
        let used = || program.used_as(Usage::Input).chain(program.used_as(Usage::Output));
        let profile = gpu.context().profile();
        if let Some(buffer) = used().find(|buffer| buffer.bytes(batch) > profile.max_buffer) {
            let (what, needed, limit) = (buffer.name.clone(), buffer.bytes(batch), profile.max_buffer);
            return Err(Error::Limit { what, needed, unit: "bytes", limit, name: "max_buffer_size" });
        }
        let bytes = used().map(|buffer| buffer.bytes(batch)).sum();
        let buffers: BTreeMap<&str, wgpu::Buffer> = scoped(gpu, bytes, || {
            let made = used().map(|buffer| match inputs.get(&buffer.name) {
                Some(values) => (buffer.name.as_str(), gpu.upload(values)),
                None => (buffer.name.as_str(), gpu.empty(buffer.shape.elements(batch))),
            });
            made.collect()
        })?;
        let mut gradients = BTreeMap::new();
        for buffer in program.used_as(Usage::Gradient) {
            gradients.insert(buffer.name.clone(), block_on(weights.create(buffer))?);
        }
        let bindings = buffers.iter().fold(Bindings::default(), |all, (name, buffer)| all.with(name, buffer));
        let bindings = gradients.iter().fold(bindings, |all, (name, gradient)| all.with(name, gradient));
        let bound = block_on(weights.bind(&program, batch, &bindings))?;
        let kernels: Vec<String> = bound.plan().dispatches().map(|dispatch| dispatch.variant.name()).collect();
        // A model without a choice of implementations uses loop.
        let chosen = bound.plan().plans.iter().find_map(|plan| plan.implementation);
        let implementation = Some(chosen.unwrap_or(Implementation::Loop));
        if let Some(kernel) = kernels.iter().find(|kernel| selection.without.contains(kernel)) {
            return Err(Error::Unsupported { what: kernel.clone(), with: "--without, which leaves it out".into() });
        }
        let described = self.workload.described((pass, batch), &program, (implementation, kernels));
        Ok((Loaded { pass, bound, _weights: weights }, described))
    }
}

impl Subject for OnGpu<'_> {
    fn prepare(&mut self, batch: u32, skipped: &mut Vec<Skip>) -> Result<Box<dyn Prepared + '_>, Failure> {
        let (mut cases, mut described) = (Vec::new(), Vec::new());
        for &pass in &self.bench.selection.passes {
            match self.bench.clock.keep_awake(|| self.load(pass, batch)) {
                Ok((case, of_case)) => {
                    cases.push(case);
                    described.push(of_case);
                }
                Err(Error::DeviceLost(why)) => return Err(Error::DeviceLost(why).into()),
                Err(error) => skipped.push(skip(pass, batch, &error)),
            }
        }
        Ok(Box::new(ReadyOnGpu { model: self, cases, described, batch }))
    }
}

fn skip(pass: Pass, batch: u32, error: &Error) -> Skip {
    Skip { how: String::new(), pass: Some(pass), batch, why: error.to_string() }
}

impl Prepared for ReadyOnGpu<'_, '_> {
    fn cases(&self) -> &[Described] {
        &self.described
    }

    fn time(&mut self, case: usize, times: u32) -> Result<Sample, Failure> {
        self.model.bench.clock.time_each(times, |pass| self.cases[case].bound.record(pass))
    }

    fn max_error(&mut self, case: usize) -> Result<Option<f64>, Failure> {
        let layer::Bench { gpu, noise, .. } = self.model.bench;
        let pass = self.cases[case].pass;
        Ok(self.model.workload.max_error(pass, self.batch, &noise.host, GpuRunner::new(gpu))?)
    }
}

/// A model on the CPU executor.
pub(super) struct OnCpu<'a> {
    pub(super) bench: cpu_layer::Bench<'a>,
    pub(super) workload: &'a ModelWorkload,
}

/// A pass, with all that it needs to run.
struct Held {
    pass: Pass,
    program: Arc<Program>,
    runner: cpu::Runner,
    inputs: BTreeMap<String, Vec<f32>>,
}

struct ReadyOnCpu<'l, 'a> {
    model: &'l OnCpu<'a>,
    cases: Vec<Held>,
    described: Vec<Described>,
    batch: u32,
}

impl OnCpu<'_> {
    fn runner(&self) -> cpu::Runner {
        cpu::Runner::new(self.bench.cpu.executor().clone())
    }

    fn hold(&self, pass: Pass, batch: u32) -> Result<(Held, Described), Error> {
        let program = self.workload.program(pass)?;
        let mut runner = self.runner();
        block_on(runner.hold(&self.workload.store(&program, pass)))?;
        for (name, values) in self.workload.parameters(&program) {
            block_on(runner.write(name, values))?;
        }
        let inputs = self.workload.inputs(&program, batch, self.bench.values);
        let described = self.workload.described((pass, batch), &program, (None, Vec::new()));
        let mut held = Held { pass, program: Arc::new(program), runner, inputs };
        held.run(batch)?;
        Ok((held, described))
    }
}

impl Held {
    fn run(&mut self, batch: u32) -> Result<(), Error> {
        let inputs: Vec<(&str, &[f32])> =
            self.inputs.iter().map(|(name, values)| (name.as_str(), &values[..])).collect();
        block_on(self.runner.run(Run { program: &self.program, batch, inputs: &inputs })).map(drop)
    }
}

impl Subject for OnCpu<'_> {
    fn prepare(&mut self, batch: u32, skipped: &mut Vec<Skip>) -> Result<Box<dyn Prepared + '_>, Failure> {
        let (mut cases, mut described) = (Vec::new(), Vec::new());
        for &pass in &self.bench.selection.passes {
            match self.hold(pass, batch) {
                Ok((case, of_case)) => {
                    cases.push(case);
                    described.push(of_case);
                }
                Err(error) => skipped.push(skip(pass, batch, &error)),
            }
        }
        Ok(Box::new(ReadyOnCpu { model: self, cases, described, batch }))
    }
}

impl Prepared for ReadyOnCpu<'_, '_> {
    fn cases(&self) -> &[Described] {
        &self.described
    }

    fn time(&mut self, case: usize, times: u32) -> Result<Sample, Failure> {
        self.model.bench.caches.clear();
        let began = Instant::now();
        for _ in 0..times {
            self.cases[case].run(self.batch)?;
        }
        Ok(Sample { wall: began.elapsed().as_secs_f64() * 1e3 / f64::from(times.max(1)), gpu: None })
    }

    fn max_error(&mut self, case: usize) -> Result<Option<f64>, Failure> {
        let OnCpu { bench, workload } = self.model;
        Ok(workload.max_error(self.cases[case].pass, self.batch, bench.values, self.model.runner())?)
    }
}

//! Times the passes of a locally connected layer on an adapter, those of one batch together.

use super::check;
use super::clock::{Clock, Sample};
use super::measure::How;
use super::noise::Noise;
use super::prepared::{Described, Prepared, Subject};
use super::record::Key;
use super::scope::scoped;
use super::setup::Setup;
use super::skips::Skip;
use super::workloads::{Dtype, Pass, Workload, work};
use crate::args::asked;
use crate::failure::Failure;
use locally_connected::geometry::Geometry;
use locally_connected::headless::Gpu;
use locally_connected::model::{layer_backward, layer_forward};
use locally_connected::plan::{Planner, ProgramPlan};
use locally_connected::{
    Backward, Bound, Error, Forward, Gradients, Implementation, LocallyConnected, PlanOptions, Tensor, wgpu,
};
use pollster::block_on;
use std::sync::Arc;

/// What to measure of each workload.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// Each once; `None`, the planner's choice, comes first.
    pub(crate) implementations: Vec<Option<Implementation>>,
    /// At least one.
    pub(crate) setups: Vec<Setup>,
    /// Kernels that must not run.
    pub(crate) without: Vec<String>,
    pub(crate) dtypes: Vec<Dtype>,
    pub(crate) passes: Vec<Pass>,
    pub(crate) how: How,
}

/// What all measurements on an adapter share.
#[derive(Clone, Copy)]
pub(crate) struct Bench<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) clock: &'a Clock,
    pub(crate) selection: &'a Selection,
    pub(crate) noise: &'a Noise,
    /// The most bytes that all buffers together may take, if that is known.
    pub(crate) memory: Option<u64>,
}

impl Bench<'_> {
    pub(super) fn options(&self, setup: usize) -> PlanOptions {
        self.selection.setups[setup].options(self.gpu.context().profile().strategy)
    }
}

/// A way to run a layer.
struct Candidate {
    implementation: Option<Implementation>,
    dtype: Dtype,
    geometry: Arc<Geometry>,
    /// The number of its setup in the selection.
    setup: usize,
}

/// A layer with its weights on the device, used by all candidates with this implementation and type.
struct Built {
    implementation: Option<Implementation>,
    dtype: Dtype,
    layer: LocallyConnected,
}

/// A case that gives one row, or several: setups that make the same plan are measured once.
struct Case {
    candidates: Vec<usize>,
    pass: Pass,
    plans: Vec<ProgramPlan>,
    bound: Vec<Bound>,
}

impl Case {
    /// The implementation of each operation that has several.
    fn implementations(&self) -> impl Iterator<Item = Implementation> {
        self.plans.iter().flat_map(|plan| &plan.plans).filter_map(|plan| plan.implementation)
    }

    fn kernels(&self) -> impl Iterator<Item = locally_connected::kernels::Variant> {
        self.plans.iter().flat_map(ProgramPlan::dispatches).map(|dispatch| dispatch.variant)
    }
}

/// The buffers that all cases of a batch share. The output is also its own gradient: the loss is `½ Σ y²`.
struct Operands {
    x: wgpu::Buffer,
    y: wgpu::Buffer,
    dx: Option<wgpu::Buffer>,
    dw: Option<Tensor>,
    db: Option<wgpu::Buffer>,
}

/// A workload on the device.
pub(crate) struct Layer<'a> {
    bench: Bench<'a>,
    workload: &'a Workload,
    candidates: Vec<Candidate>,
    built: Vec<Built>,
}

/// The cases of one batch, with all that they need to run.
struct Ready<'l, 'a> {
    layer: &'l Layer<'a>,
    cases: Vec<Case>,
    described: Vec<Described>,
    /// None without cases.
    operands: Option<Operands>,
    batch: u32,
}

impl Subject for Layer<'_> {
    fn prepare(&mut self, batch: u32, skipped: &mut Vec<Skip>) -> Result<Box<dyn Prepared + '_>, Failure> {
        let (cases, operands) = self.bench.clock.keep_awake(|| self.make(batch, skipped))?;
        let described = cases.iter().map(|case| self.describe(case, batch)).collect();
        Ok(Box::new(Ready { layer: self, cases, described, operands, batch }))
    }
}

impl Prepared for Ready<'_, '_> {
    fn cases(&self) -> &[Described] {
        &self.described
    }

    fn time(&mut self, case: usize, times: u32) -> Result<Sample, Failure> {
        self.layer
            .bench
            .clock
            .time_each(times, |pass| self.cases[case].bound.iter().for_each(|bound| bound.record(pass)))
    }

    fn max_error(&mut self, case: usize) -> Result<Option<f64>, Failure> {
        let (Some(operands), case) = (&self.operands, &self.cases[case]) else { return Ok(None) };
        let Candidate { geometry, dtype, .. } = &self.layer.candidates[case.candidates[0]];
        let Bench { gpu, noise, .. } = self.layer.bench;
        let check = check::Layer { geometry, dtype: *dtype, batch: self.batch, values: &noise.host };
        let mut worst = 0.0f64;
        let mut bound = case.bound.iter();
        let run = |bound: Option<&Bound>| {
            // The check needs a gradient that it knows, and the output holds what the pass before has left.
            noise.fill(gpu, &operands.y, u64::from(self.batch) * geometry.outputs());
            if let Some(bound) = bound {
                gpu.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&Default::default())));
            }
        };
        if case.pass.has_forward() {
            run(bound.next());
            let found = check::of_gpu(gpu, |_, element| check::in_buffer(&operands.y, element));
            worst = worst.max(check.worst(&[check::Result::Output], found)?);
        }
        if case.pass.has_backward() {
            run(bound.next());
            let found = check::of_gpu(gpu, |result, element| match result {
                check::Result::Output => None,
                check::Result::GradInput => check::in_buffer(operands.dx.as_ref()?, element),
                check::Result::GradWeights => check::in_tensor(geometry, operands.dw.as_ref()?, element),
                check::Result::GradBias => check::in_buffer(operands.db.as_ref()?, element),
            });
            worst = worst.max(check.worst(&check::Result::GRADIENTS, found)?);
        }
        Ok(Some(worst))
    }
}

impl<'a> Layer<'a> {
    /// # Errors
    /// Those of [`Geometry::new`].
    pub(crate) fn new(bench: Bench<'a>, workload: &'a Workload) -> Result<Self, Error> {
        let mut candidates = Vec::new();
        for &dtype in &bench.selection.dtypes {
            for &implementation in &bench.selection.implementations {
                let geometry = Arc::new(workload.geometry(implementation, dtype)?);
                let candidate = |setup| Candidate { implementation, dtype, geometry: geometry.clone(), setup };
                candidates.extend((0..bench.selection.setups.len()).map(candidate));
            }
        }
        Ok(Self { bench, workload, candidates, built: Vec::new() })
    }

    /// Makes the cases of one batch, with all that they need to run.
    fn make(&mut self, batch: u32, skipped: &mut Vec<Skip>) -> Result<(Vec<Case>, Option<Operands>), Failure> {
        let cases = self.plan(batch, skipped);
        let mut ready = Vec::new();
        if cases.is_empty() {
            return Ok((ready, None));
        }
        let operands = match self.fits(&cases, batch).and_then(|()| self.operands(&cases, batch)) {
            Ok(operands) => operands,
            Err(error) => {
                skipped.push(Skip { how: String::new(), pass: None, batch, why: error.to_string() });
                return Ok((ready, None));
            }
        };
        for mut case in cases {
            match self.bind(&mut case, &operands, batch) {
                Ok(()) => ready.push(case),
                Err(Error::DeviceLost(why)) => return Err(Error::DeviceLost(why).into()),
                Err(error) => skipped.push(self.skip(case.candidates[0], case.pass, batch, error.to_string())),
            }
        }
        Ok((ready, Some(operands)))
    }

    fn skip(&self, candidate: usize, pass: Pass, batch: u32, why: String) -> Skip {
        let Candidate { implementation, dtype, setup, .. } = &self.candidates[candidate];
        let setup =
            self.bench.selection.setups[*setup].name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let how = format!("{} {}{setup}", asked(*implementation), dtype.name());
        Skip { how, pass: Some(pass), batch, why }
    }

    /// The cases for which there is a plan. What the planner chooses isn't measured a second time by name.
    fn plan(&self, batch: u32, skipped: &mut Vec<Skip>) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for &pass in &self.bench.selection.passes {
            for (index, candidate) in self.candidates.iter().enumerate() {
                let case = match self.resolve(index, pass, batch) {
                    Ok(case) => case,
                    Err(error) => {
                        skipped.push(self.skip(index, pass, batch, error.to_string()));
                        continue;
                    }
                };
                // A kernel's name, and that of the variant.
                let names = |kernel: locally_connected::kernels::Variant| [kernel.info().name.into(), kernel.name()];
                let left_out = |name: &String| self.bench.selection.without.contains(name);
                let without = case.kernels().flat_map(names).find(left_out);
                if let Some(kernel) = without {
                    skipped.push(self.skip(index, pass, batch, format!("{kernel} is left out")));
                    continue;
                }
                let alike = |other: &&mut Case| {
                    let dtype = self.candidates[other.candidates[0]].dtype;
                    (other.pass, dtype) == (pass, candidate.dtype) && other.implementations().eq(case.implementations())
                };
                // The first of several setups with the same plans stands for all.
                let of_setup =
                    |other: &Case| other.candidates.iter().any(|&v| self.candidates[v].setup == candidate.setup);
                if cases.iter_mut().filter(alike).any(|other| of_setup(other)) {
                    continue;
                }
                match cases.iter_mut().filter(alike).find(|other| other.plans == case.plans) {
                    Some(same) => same.candidates.push(index),
                    None => cases.push(case),
                }
            }
        }
        cases
    }

    /// The case of a candidate, with its plans.
    fn resolve(&self, index: usize, pass: Pass, batch: u32) -> Result<Case, Error> {
        let Candidate { geometry: layer, setup, .. } = &self.candidates[index];
        let profile = self.bench.gpu.context().profile();
        let planner = Planner::new(profile).with_options(self.bench.options(*setup));
        let mut plans = Vec::new();
        if pass.has_forward() {
            plans.push(planner.program(&layer_forward(layer, false), batch)?);
        }
        if pass.has_backward() {
            plans.push(planner.program(&layer_backward(layer, Gradients::ALL), batch)?);
        }
        Ok(Case { candidates: vec![index], pass, plans, bound: Vec::new() })
    }

    /// Checks that all buffers of the cases fit in memory at once.
    fn fits(&self, cases: &[Case], batch: u32) -> Result<(), Error> {
        let Some(geometry) = cases.first().map(|case| &self.candidates[case.candidates[0]].geometry) else {
            return Ok(());
        };
        let backward = cases.iter().any(|case| case.pass.has_backward());
        let (x, y) = (4 * u64::from(batch) * geometry.inputs(), 4 * u64::from(batch) * geometry.outputs());
        let limit = self.bench.gpu.context().profile().max_buffer;
        for (what, needed) in [("the input", x), ("the output", y)] {
            if needed > limit {
                let (what, name) = (what.into(), "max_buffer_size");
                return Err(Error::Limit { what, needed, unit: "bytes", limit, name });
            }
        }
        let weights = |dtype: Dtype| dtype.bytes() * geometry.weights() + 4 * geometry.biases();
        // Each layer once, even if it is there already.
        let mut layers: Vec<_> = self.built.iter().map(|built| (built.implementation, built.dtype)).collect();
        for case in cases {
            let key = self.key(case.candidates[0]);
            if !layers.contains(&key) {
                layers.push(key);
            }
        }
        let scratch = cases.iter().flat_map(|case| &case.plans).map(|plan| plan.memory.scratch).sum::<u64>();
        let needed = scratch
            + layers.iter().map(|(_, dtype)| weights(*dtype)).sum::<u64>()
            + x
            + y
            // The gradients, and the weights in f32 while they are uploaded.
            + if backward { x + weights(Dtype::F32) } else { 0 }
            + weights(Dtype::F32);
        match self.bench.memory {
            Some(budget) if needed > budget => Err(Error::OverBudget {
                what: "weights, samples, gradients and scratch together".into(),
                needed,
                budget,
            }),
            _ => Ok(()),
        }
    }

    fn operands(&mut self, cases: &[Case], batch: u32) -> Result<Operands, Error> {
        for case in cases {
            self.build(case.candidates[0])?;
        }
        let bench = self.bench;
        let Some((geometry, layer)) = cases.first().and_then(|case| {
            let candidate = case.candidates[0];
            Some((&self.candidates[candidate].geometry, self.layer(candidate)?))
        }) else {
            return Err(Error::Missing { what: "a case", why: "there is nothing to measure" });
        };
        let backward = cases.iter().any(|case| case.pass.has_backward());
        let (x, y) = (u64::from(batch) * geometry.inputs(), u64::from(batch) * geometry.outputs());
        let gpu = bench.gpu;
        let (inputs, outputs, dx, db) = scoped(gpu, 8 * (x + y), || {
            let dx = backward.then(|| gpu.empty(x));
            let db = (backward && geometry.biases() > 0).then(|| gpu.empty(geometry.biases()));
            (gpu.empty(x), gpu.empty(y), dx, db)
        })?;
        let dw = if backward { Some(block_on(layer.create_weights_gradient())?) } else { None };
        bench.noise.fill(gpu, &inputs, x);
        bench.noise.fill(gpu, &outputs, y);
        Ok(Operands { x: inputs, y: outputs, dx, dw, db })
    }

    fn key(&self, candidate: usize) -> (Option<Implementation>, Dtype) {
        let Candidate { implementation, dtype, .. } = self.candidates[candidate];
        (implementation, dtype)
    }

    fn position(&self, candidate: usize) -> Option<usize> {
        let key = self.key(candidate);
        self.built.iter().position(|built| (built.implementation, built.dtype) == key)
    }

    fn layer(&self, candidate: usize) -> Option<&LocallyConnected> {
        self.position(candidate).map(|at| &self.built[at].layer)
    }

    /// Puts a candidate's weights on the device, if they aren't there yet.
    fn build(&mut self, index: usize) -> Result<(), Error> {
        if self.position(index).is_some() {
            return Ok(());
        }
        let geometry = &self.candidates[index].geometry;
        let bench = self.bench;
        let layer = block_on(LocallyConnected::with_geometry(bench.gpu.context(), Geometry::clone(geometry)))?;
        block_on(layer.write_canonical(&bench.noise.host.values(geometry.weights())))?;
        if geometry.biases() > 0 {
            block_on(layer.write_bias(&bench.noise.host.values(geometry.biases())))?;
        }
        // This frees the upload's staging memory.
        bench.gpu.submit(|_| ());
        // A lost device is reported when something is timed.
        let _ = bench.clock.wait();
        let (implementation, dtype) = self.key(index);
        self.built.push(Built { implementation, dtype, layer });
        Ok(())
    }

    fn bind(&mut self, case: &mut Case, operands: &Operands, batch: u32) -> Result<(), Error> {
        let options = self.bench.options(self.candidates[case.candidates[0]].setup);
        let Some(at) = self.position(case.candidates[0]) else {
            return Err(Error::Missing { what: "a layer", why: "the case runs it" });
        };
        let layer = &mut self.built[at].layer;
        layer.set_options(options);
        let Operands { x, y, dx, dw, db } = operands;
        if case.pass.has_forward() {
            let forward = Forward { batch, input: x, output: y, pre_activation: None };
            case.bound.push(block_on(layer.bind_forward(forward))?);
        }
        if case.pass.has_backward() {
            let backward = Backward {
                batch,
                input: Some(x),
                output: None,
                pre_activation: None,
                grad_output: y,
                grad_input: dx.as_ref(),
                grad_weights: dw.as_ref(),
                grad_bias: db.as_ref(),
                accumulate: false,
            };
            case.bound.push(block_on(layer.bind_backward(backward))?);
        }
        Ok(())
    }

    fn describe(&self, case: &Case, batch: u32) -> Described {
        let row = |&index: &usize| {
            let candidate = &self.candidates[index];
            let key = Key {
                workload: self.workload.name.clone(),
                pass: case.pass,
                // If the planner chose several, the row names the first operation's.
                implementation: case.implementations().next(),
                auto: candidate.implementation.is_none(),
                batch,
                dtype: candidate.dtype,
                setup: self.bench.selection.setups[candidate.setup].name.clone(),
            };
            (key, work(&candidate.geometry, case.pass, batch, candidate.dtype))
        };
        let rows = case.candidates.iter().map(row).collect();
        Described { rows, kernels: case.kernels().map(|kernel| kernel.name()).collect() }
    }
}

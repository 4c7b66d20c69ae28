//! Times the passes of a locally connected layer on the CPU executor.

use super::check;
use super::clock::Sample;
use super::cpu::Caches;
use super::layer::Selection;
use super::noise::HostNoise;
use super::prepared::{Described, Prepared, Subject};
use super::record::Key;
use super::skips::Skip;
use super::workloads::{Dtype, Pass, Workload, work};
use crate::failure::Failure;
use crate::memory;
use locally_connected::geometry::Geometry;
use locally_connected::headless::Cpu;
use locally_connected::model::{Gradients, layer_backward, layer_forward, layer_names as names};
use locally_connected::{Error, cpu};
use std::sync::Arc;
use std::time::Instant;

/// What all measurements on the CPU executor share.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) selection: &'a Selection,
    pub(super) values: &'a HostNoise,
    pub(super) caches: &'a Caches,
}

/// A workload, and its layer for each type of weights.
pub(super) struct Layer<'a> {
    bench: Bench<'a>,
    workload: &'a Workload,
    built: Vec<Built>,
}

/// A layer with its parameters.
struct Built {
    dtype: Dtype,
    geometry: Arc<Geometry>,
    weights: cpu::Weights<'static>,
}

/// A pass that is ready to run.
struct Case {
    pass: Pass,
    /// The number of its layer among those that were built.
    built: usize,
    bound: Vec<cpu::Bound>,
}

/// Operands of all passes of a batch. As on adapters, the output is also its own gradient.
struct Operands {
    x: Vec<f32>,
    y: Vec<f32>,
    dx: Vec<f32>,
    dw: Vec<f32>,
    db: Vec<f32>,
}

/// The cases of a batch, with all that they need to run.
struct Ready<'l, 'a> {
    layer: &'l Layer<'a>,
    cases: Vec<Case>,
    described: Vec<Described>,
    operands: Operands,
    batch: u32,
}

impl<'a> Layer<'a> {
    pub(super) fn new(bench: Bench<'a>, workload: &'a Workload) -> Self {
        Self { bench, workload, built: Vec::new() }
    }

    /// Makes the layer for a type of weights, once.
    fn build(&mut self, dtype: Dtype) -> Result<usize, Error> {
        if let Some(at) = self.built.iter().position(|built| built.dtype == dtype) {
            return Ok(at);
        }
        let geometry = Arc::new(self.workload.geometry(None, dtype)?);
        let program = layer_forward(&geometry, false);
        let mut weights = cpu::Weights::new();
        weights.set(&program, names::WEIGHTS, self.bench.values.values(geometry.weights()))?;
        weights.set(&program, names::BIAS, self.bench.values.values(geometry.biases()))?;
        self.built.push(Built { dtype, geometry, weights });
        Ok(self.built.len() - 1)
    }

    /// The passes of the layer for a type of weights; those that can't run are added to `skipped`.
    fn cases(&mut self, dtype: Dtype, batch: u32, skipped: &mut Vec<Skip>) -> Result<Vec<Case>, Failure> {
        let geometry = self.workload.geometry(None, dtype)?;
        let needed = 4 * (2 * geometry.weights() + u64::from(batch) * (2 * geometry.inputs() + geometry.outputs()));
        let skip = |pass, why: String| Skip { how: dtype.name().to_owned(), pass, batch, why };
        if memory::available().is_some_and(|available| needed > available) {
            skipped.push(skip(None, "weights, samples and gradients need more memory than is free".into()));
            return Ok(Vec::new());
        }
        let built = self.build(dtype)?;
        let layer = &self.built[built].geometry;
        let (forward, backward) = (layer_forward(layer, false), layer_backward(layer, Gradients::ALL));
        let mut cases = Vec::new();
        for &pass in &self.bench.selection.passes {
            let programs = [pass.has_forward().then_some(&forward), pass.has_backward().then_some(&backward)];
            let bound = programs.into_iter().flatten().map(|program| self.bench.cpu.executor().bind(program, batch));
            match bound.collect() {
                Ok(bound) => cases.push(Case { pass, built, bound }),
                Err(error) => skipped.push(skip(Some(pass), Error::to_string(&error))),
            }
        }
        Ok(cases)
    }

    fn operands(&self, batch: u32) -> Operands {
        let Some(Built { geometry, .. }) = self.built.first() else {
            return Operands { x: Vec::new(), y: Vec::new(), dx: Vec::new(), dw: Vec::new(), db: Vec::new() };
        };
        let samples = |elements: u64| self.bench.values.values(u64::from(batch) * elements);
        Operands {
            x: samples(geometry.inputs()),
            y: samples(geometry.outputs()),
            dx: samples(geometry.inputs()),
            dw: vec![0.0; geometry.weights() as usize],
            db: vec![0.0; geometry.biases() as usize],
        }
    }
}

impl Subject for Layer<'_> {
    fn prepare(&mut self, batch: u32, skipped: &mut Vec<Skip>) -> Result<Box<dyn Prepared + '_>, Failure> {
        let mut cases = Vec::new();
        for dtype in &self.bench.selection.dtypes {
            cases.extend(self.cases(*dtype, batch, skipped)?);
        }
        let describe = |case: &Case| {
            let Built { dtype, geometry, .. } = &self.built[case.built];
            let (dtype, pass, workload) = (*dtype, case.pass, self.workload.name.clone());
            let key = Key { workload, pass, implementation: None, auto: false, batch, dtype, setup: None };
            Described { rows: vec![(key, work(geometry, pass, batch, dtype))], kernels: Vec::new() }
        };
        let described = cases.iter().map(describe).collect();
        let operands = self.operands(batch);
        Ok(Box::new(Ready { layer: self, cases, described, operands, batch }))
    }
}

impl Case {
    /// Runs the pass once.
    fn run(&mut self, weights: &cpu::Weights<'_>, operands: &mut Operands) -> Result<(), Error> {
        let Operands { x, y, dx, dw, db } = operands;
        let mut bound = self.bound.iter_mut();
        if self.pass.has_forward()
            && let Some(forward) = bound.next()
        {
            forward.run(weights, &[(names::INPUT, x)], &mut [(names::OUTPUT, y)])?;
        }
        if let Some(backward) = bound.next() {
            let inputs: [(&str, &[f32]); 2] = [(names::INPUT, x), (names::GRAD_OUTPUT, y)];
            let outputs: &mut [(&str, &mut [f32])] =
                &mut [(names::GRAD_INPUT, dx), (names::GRAD_WEIGHTS, dw), (names::GRAD_BIAS, db)];
            backward.run(weights, &inputs, outputs)?;
        }
        Ok(())
    }
}

impl Prepared for Ready<'_, '_> {
    fn cases(&self) -> &[Described] {
        &self.described
    }

    fn time(&mut self, case: usize, times: u32) -> Result<Sample, Failure> {
        self.layer.bench.caches.clear();
        let case = &mut self.cases[case];
        let weights = &self.layer.built[case.built].weights;
        let began = Instant::now();
        for _ in 0..times {
            case.run(weights, &mut self.operands)?;
        }
        let wall = began.elapsed().as_secs_f64() * 1e3 / f64::from(times.max(1));
        Ok(Sample { wall, gpu: None })
    }

    fn max_error(&mut self, case: usize) -> Result<Option<f64>, Failure> {
        let (case, batch) = (&mut self.cases[case], self.batch);
        let Built { dtype, geometry, weights } = &self.layer.built[case.built];
        let values = self.layer.bench.values;
        let check = check::Layer { geometry, dtype: *dtype, batch, values };
        let mut results = Vec::new();
        // The check knows this gradient of the output, unless the same run computes the output.
        let given = values.values(u64::from(batch) * geometry.outputs());
        if case.pass.has_forward() {
            results.push(check::Result::Output);
        }
        if case.pass.has_backward() {
            results.extend(check::Result::GRADIENTS);
        }
        self.operands.y.clone_from(&given);
        case.run(weights, &mut self.operands)?;
        let output = self.operands.y.clone();
        if case.pass == Pass::Both
            && let Some(backward) = case.bound.pop()
        {
            // Runs the backward pass by itself, with the gradient that the check knows.
            let mut alone = Case { pass: Pass::Backward, built: case.built, bound: vec![backward] };
            self.operands.y.clone_from(&given);
            alone.run(weights, &mut self.operands)?;
            case.bound.append(&mut alone.bound);
        }
        let Operands { dx, dw, db, .. } = &self.operands;
        let found: check::Found<'_> = Box::new(|result, elements| {
            let values = match result {
                check::Result::Output => &output,
                check::Result::GradInput => dx,
                check::Result::GradWeights => dw,
                check::Result::GradBias => db,
            };
            Ok(elements.iter().filter_map(|&element| values.get(element as usize)).copied().collect())
        });
        check.worst(&results, found).map(Some)
    }
}

//! Times the passes of a workload, all of one batch in turns so that noise meets all alike.

use super::ceiling::Ceiling;
use super::clock::{Clock, Sample, spreads};
use super::noise::Noise;
use super::record::{Key, Row};
use super::scoped;
use super::skips::Skip;
use super::workloads::{Dtype, Pass, Workload, work};
use crate::failure::Failure;
use locally_connected::geometry::Geometry;
use locally_connected::headless::Gpu;
use locally_connected::kernel::Tables;
use locally_connected::plan::{Gradients, Planner, chunks};
use locally_connected::{
    Backward, Bound, Error, Forward, Implementation, KernelBuffers, LocallyConnected, PlanOptions, wgpu,
};
use pollster::block_on;
use std::time::Instant;

/// Fewest samples of a row, unless one takes so long that [`MOST_SECONDS`] are over before.
const LEAST_SAMPLES: usize = 5;
/// Longest time that the samples of a row take in all, unless more is asked for.
const MOST_SECONDS: f64 = 10.0;
/// A first run slower than this, in milliseconds, is not followed by a second one that doesn't count either.
const SLOW: f64 = 1000.0;

/// What is measured of each workload.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Without doubles; [`Implementation::Auto`] first.
    pub(crate) implementations: Vec<Implementation>,
    pub(crate) options: PlanOptions,
    pub(crate) dtypes: Vec<Dtype>,
    pub(crate) passes: Vec<Pass>,
    /// Least seconds of samples of each row.
    pub(crate) seconds: f64,
}

/// Everything that the measurements share.
pub(crate) struct Bench<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) clock: &'a Clock,
    pub(crate) ceiling: Ceiling,
    pub(crate) plan: &'a Plan,
    pub(crate) noise: &'a Noise,
    /// Bytes that buffers may take in all, where that is known.
    pub(crate) memory: Option<u64>,
}

/// A way to run a layer, with its weights on the device once something needs them.
struct Variant {
    implementation: Implementation,
    dtype: Dtype,
    geometry: Geometry,
    layer: Option<LocallyConnected>,
}

/// A row to be.
struct Case {
    variant: usize,
    pass: Pass,
    /// Of each plan; never [`Implementation::Auto`].
    implementations: Vec<Implementation>,
    scratch: u64,
    bound: Vec<Bound>,
    samples: Vec<Sample>,
    seconds: f64,
}

/// The buffers that all cases of a batch share. The gradient of the output is the output: the loss is `½ Σ y²`.
struct Operands {
    x: wgpu::Buffer,
    y: wgpu::Buffer,
    dx: Option<wgpu::Buffer>,
    dw: Option<KernelBuffers>,
    db: Option<wgpu::Buffer>,
}

/// A workload on the device.
pub(crate) struct Subject<'a> {
    bench: &'a Bench<'a>,
    workload: &'a Workload,
    variants: Vec<Variant>,
}

impl<'a> Subject<'a> {
    /// # Errors
    /// Those of [`Geometry::new`].
    pub(crate) fn new(bench: &'a Bench<'a>, workload: &'a Workload) -> Result<Self, Error> {
        let mut variants = Vec::new();
        for &dtype in &bench.plan.dtypes {
            for &implementation in &bench.plan.implementations {
                let geometry = workload.geometry(implementation, dtype)?;
                variants.push(Variant { implementation, dtype, geometry, layer: None });
            }
        }
        Ok(Self { bench, workload, variants })
    }

    /// The rows of one batch; what can't run goes to `skipped`.
    pub(crate) fn batch(&mut self, batch: u32, skipped: &mut Vec<Skip>) -> Result<Vec<Row>, Failure> {
        let cases = self.plan(batch, skipped);
        if cases.is_empty() {
            return Ok(Vec::new());
        }
        let operands = match self.fits(&cases, batch).and_then(|()| self.operands(&cases, batch)) {
            Ok(operands) => operands,
            Err(error) => {
                skipped.push(Skip { how: String::new(), pass: None, batch, why: error.to_string() });
                return Ok(Vec::new());
            }
        };
        let mut ready = Vec::new();
        for mut case in cases {
            match self.bind(&mut case, &operands, batch) {
                Ok(()) => ready.push(case),
                Err(Error::DeviceLost(why)) => return Err(Error::DeviceLost(why).into()),
                Err(error) => skipped.push(self.skip(case.variant, case.pass, batch, &error)),
            }
        }
        self.measure(&mut ready)?;
        Ok(ready.iter().filter_map(|case| self.row(case, batch)).collect())
    }

    fn skip(&self, variant: usize, pass: Pass, batch: u32, error: &Error) -> Skip {
        let Variant { implementation, dtype, .. } = &self.variants[variant];
        let how = format!("{} {}", implementation.name(), dtype.name());
        Skip { how, pass: Some(pass), batch, why: error.to_string() }
    }

    /// The cases that the planner has a plan for. What `auto` resolves to is not measured twice.
    fn plan(&self, batch: u32, skipped: &mut Vec<Skip>) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for &pass in &self.bench.plan.passes {
            for (index, variant) in self.variants.iter().enumerate() {
                let case = match self.resolve(index, pass, batch) {
                    Ok(case) => case,
                    Err(error) => {
                        skipped.push(self.skip(index, pass, batch, &error));
                        continue;
                    }
                };
                let same = |other: &Case| {
                    let dtype = self.variants[other.variant].dtype;
                    (other.pass, &other.implementations, dtype) == (pass, &case.implementations, variant.dtype)
                };
                if !cases.iter().any(same) {
                    cases.push(case);
                }
            }
        }
        cases
    }

    /// A case by its plans.
    fn resolve(&self, index: usize, pass: Pass, batch: u32) -> Result<Case, Error> {
        let profile = self.bench.gpu.context().profile();
        let Variant { geometry, implementation, .. } = &self.variants[index];
        let (tables, chunks) = (Tables::new(geometry), chunks(geometry, profile)?);
        let options = self.bench.plan.options;
        let planner = Planner { geometry, tables: &tables, chunks: &chunks, profile, options, tuned: None };
        let mut plans = Vec::new();
        if pass.has_forward() {
            plans.push(planner.forward(batch, *implementation, false)?);
        }
        if pass.has_backward() {
            plans.push(planner.backward(batch, *implementation, Gradients::ALL)?);
        }
        Ok(Case {
            variant: index,
            pass,
            implementations: plans.iter().map(|plan| plan.implementation).collect(),
            scratch: plans.iter().map(locally_connected::plan::Plan::scratch_bytes).sum(),
            bound: Vec::new(),
            samples: Vec::new(),
            seconds: 0.0,
        })
    }

    /// Whether all buffers of the cases can be there at once.
    fn fits(&self, cases: &[Case], batch: u32) -> Result<(), Error> {
        let Some(geometry) = cases.first().map(|case| &self.variants[case.variant].geometry) else { return Ok(()) };
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
        let needed = cases.iter().map(|case| case.scratch).sum::<u64>()
            + self
                .variants
                .iter()
                .enumerate()
                .filter(|(index, variant)| variant.layer.is_some() || cases.iter().any(|case| case.variant == *index))
                .map(|(_, variant)| weights(variant.dtype))
                .sum::<u64>()
            + x
            + y
            // The gradients, and for a moment the weights on their way to the device.
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
            self.build(case.variant)?;
        }
        let bench = self.bench;
        let Some((geometry, layer)) = cases.first().and_then(|case| {
            let variant = &self.variants[case.variant];
            Some((&variant.geometry, variant.layer.as_ref()?))
        }) else {
            return Err(Error::Missing { what: "a case", why: "there is nothing to measure" });
        };
        let backward = cases.iter().any(|case| case.pass.has_backward());
        let (x, y) = (u64::from(batch) * geometry.inputs(), u64::from(batch) * geometry.outputs());
        let gpu = bench.gpu;
        let (inputs, outputs, dx, db) = scoped(gpu, || {
            let dx = backward.then(|| gpu.empty(x));
            let db = (backward && geometry.biases() > 0).then(|| gpu.empty(geometry.biases()));
            (gpu.empty(x), gpu.empty(y), dx, db)
        })?;
        let dw = if backward { Some(block_on(layer.create_kernel_gradient())?) } else { None };
        bench.noise.fill(gpu, &inputs, x);
        bench.noise.fill(gpu, &outputs, y);
        Ok(Operands { x: inputs, y: outputs, dx, dw, db })
    }

    /// Puts a variant's weights on the device, once.
    fn build(&mut self, index: usize) -> Result<(), Error> {
        let variant = &mut self.variants[index];
        if variant.layer.is_some() {
            return Ok(());
        }
        let mut layer = block_on(LocallyConnected::with_geometry(self.bench.gpu.context(), variant.geometry.clone()))?;
        layer.set_options(self.bench.plan.options);
        layer.write_canonical(&self.bench.noise.values(variant.geometry.weights()))?;
        if variant.geometry.biases() > 0 {
            layer.write_bias(&self.bench.noise.values(variant.geometry.biases()))?;
        }
        // The upload's staging memory is free again after this.
        self.bench.gpu.submit(|_| ());
        // A device that is lost says so again when it is first timed.
        let _ = self.bench.clock.wait();
        variant.layer = Some(layer);
        Ok(())
    }

    fn bind(&self, case: &mut Case, operands: &Operands, batch: u32) -> Result<(), Error> {
        let Some(layer) = &self.variants[case.variant].layer else {
            return Err(Error::Missing { what: "a layer", why: "the case runs it" });
        };
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
                grad_kernel: dw.as_ref(),
                grad_bias: db.as_ref(),
            };
            case.bound.push(block_on(layer.bind_backward(backward))?);
        }
        Ok(())
    }

    /// Takes samples of all cases in turns until each has enough.
    fn measure(&self, cases: &mut [Case]) -> Result<(), Failure> {
        let time = |case: &Case| self.bench.clock.time(|pass| case.bound.iter().for_each(|bound| bound.record(pass)));
        for case in cases.iter() {
            // The first run of a pipeline may compile, and touches memory for the first time.
            if time(case)?.wall < SLOW {
                time(case)?;
            }
        }
        let most = MOST_SECONDS.max(self.bench.plan.seconds);
        loop {
            let mut done = true;
            for case in cases.iter_mut() {
                let enough = case.samples.len() >= LEAST_SAMPLES && case.seconds >= self.bench.plan.seconds;
                if enough || (!case.samples.is_empty() && case.seconds >= most) {
                    continue;
                }
                let start = Instant::now();
                let sample = time(case)?;
                case.samples.push(sample);
                case.seconds += start.elapsed().as_secs_f64();
                done = false;
            }
            if done {
                return Ok(());
            }
        }
    }

    fn row(&self, case: &Case, batch: u32) -> Option<Row> {
        let variant = &self.variants[case.variant];
        let (wall, gpu) = spreads(&case.samples)?;
        let work = work(&variant.geometry, case.pass, batch, variant.dtype);
        let key = Key {
            workload: &self.workload.name,
            pass: case.pass,
            // Where `auto` takes two for both passes, the forward pass's stands for them.
            implementation: *case.implementations.first()?,
            auto: variant.implementation == Implementation::Auto,
            batch,
            dtype: variant.dtype,
        };
        Some(Row::new(key, (wall, gpu), work, &self.bench.ceiling))
    }
}

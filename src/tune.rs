//! Measured choices between the implementations, and between the forms of loop's kernels. Nothing here runs unless it is
//! called.

use crate::config::Implementation;
use crate::geometry::Geometry;
use crate::gpu::{Bindings, Bound, Context, Making, Tensor, Weights, check_there, scoped};
use crate::model::layer_names as names;
use crate::model::{Gradients, layer_forward, transposed_backward, transposed_forward};
use crate::ops::{Operation, Usage};
use crate::plan::{Form, PlanOptions, ProgramPlan, TuneKey, TuneTable, TunedChoice, TunedOperation};
use crate::program::Program;
use crate::{Error, Result};
use futures_intrusive::channel::shared::oneshot_channel;
use std::sync::Arc;
use web_time::Instant;

/// What a device can do at most: `locally bench --save-ceilings` measures it, or its maker says.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Roof {
    /// Bytes that it moves in a second.
    pub bytes_per_second: f64,
    /// Multiplications and additions of 32-bit floats in a second.
    pub flops_per_second: f64,
}

impl Roof {
    /// The least seconds in which so much is moved and computed.
    #[must_use]
    pub fn seconds(&self, bytes: u64, flops: u64) -> f64 {
        (bytes as f64 / self.bytes_per_second).max(flops as f64 / self.flops_per_second)
    }
}

/// How [`tune`] searches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TuneOptions {
    /// Runs of each choice that count; 1 at least.
    pub repetitions: usize,
    /// With it the search for an operation ends at the first choice that reaches [`TuneOptions::ENOUGH`] of it: no other can be much faster. The
    /// planner's own choice is tried first. Without it all are measured.
    pub roof: Option<Roof>,
}

impl TuneOptions {
    /// The share of the roof that is near enough to it.
    pub const ENOUGH: f64 = 0.9;
}

impl Default for TuneOptions {
    /// Five repetitions, and no roof.
    fn default() -> Self {
        Self { repetitions: 5, roof: None }
    }
}

/// What [`tune`] found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tuned {
    /// The fastest choice of each operation.
    pub table: TuneTable,
    /// All that was measured.
    pub measured: Vec<Measurement>,
    /// What was not, for each operation whose search ended early.
    pub ended: Vec<TuneEnd>,
}

/// The early end of a search, and what it saved.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TuneEnd {
    /// Which operation.
    pub operation: TunedOperation,
    /// The share of the roof that ended the search.
    pub of_roof: f64,
    /// The choices that were neither compiled nor run.
    pub spared: Vec<TunedChoice>,
}

/// What [`tune`] measured of one choice.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Measurement {
    /// How it was executed.
    pub choice: TunedChoice,
    /// Which operation.
    pub operation: TunedOperation,
    /// Median time from submit to completion, in seconds.
    pub seconds: f64,
}

/// The program whose first operation is this one of the layer's.
fn program(operation: TunedOperation, layer: &Arc<Geometry>) -> Program {
    match operation {
        TunedOperation::Forward => layer_forward(layer, false),
        // They are what a transposed layer does.
        TunedOperation::GradInput => transposed_forward(layer),
        TunedOperation::GradWeights => {
            transposed_backward(layer, Gradients { input: false, weights: true, bias: false })
        }
    }
}

/// A way of running an operation.
struct Candidate {
    choice: TunedChoice,
    operation: TunedOperation,
    program: Program,
    plan: ProgramPlan,
    /// Once it is to be run.
    bound: Option<Bound>,
    seconds: Vec<f64>,
}

impl Candidate {
    /// The middle of its times; none where it was not run.
    fn median(&self) -> Option<f64> {
        let mut seconds = self.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied()
    }
}

/// Runs every implementation that is possible for this layer and batch, loop in every form that makes a difference, in turns, and
/// gives the fastest of each operation with all that was measured; or, with a [roof](TuneOptions::roof), as many as it takes until one
/// is near enough to it. It allocates operands and gradients and submits to the context's queue; on native platforms the host polls its
/// device meanwhile.
///
/// # Errors
/// [`Error::Limit`] where nothing is possible; [`Error::OutOfMemory`]; [`Error::DeviceLost`].
pub async fn tune(context: &Context, geometry: &Geometry, batch: u32, options: TuneOptions) -> Result<Tuned> {
    let mut search = Search::new(context, geometry, batch).await?;
    let mut candidates = search.candidates(geometry)?;
    let mut early = Vec::new();
    if let Some(roof) = options.roof {
        for operation in TunedOperation::ALL {
            early.extend(search.until_enough(&mut candidates, operation, (roof, options.repetitions.max(1))).await?);
        }
    }
    let ended = |candidate: &Candidate| early.iter().any(|end: &TuneEnd| end.operation == candidate.operation);
    for candidate in candidates.iter_mut().filter(|candidate| !ended(candidate)) {
        search.bind(candidate).await?;
        // Those of the search weren't taken in turns.
        candidate.seconds.clear();
    }
    // The first round warms up; turns let a device's changing speed hit all alike.
    for round in 0..=options.repetitions.max(1) {
        for candidate in candidates.iter_mut().filter(|candidate| !ended(candidate)) {
            let seconds = search.run(candidate).await?;
            if round > 0 {
                candidate.seconds.push(seconds);
            }
        }
    }
    let measured: Vec<Measurement> = candidates
        .iter()
        .filter_map(|candidate| {
            let (choice, operation) = (candidate.choice, candidate.operation);
            candidate.median().map(|seconds| Measurement { choice, operation, seconds })
        })
        .collect();
    let mut table = TuneTable::default();
    let layer = Arc::new(geometry.clone());
    for operation in TunedOperation::ALL {
        let of_operation = measured.iter().filter(|measurement| measurement.operation == operation);
        let best = of_operation.min_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let key = program(operation, &layer)
            .operations
            .first()
            .and_then(|first: &Operation| TuneKey::new(context.profile(), first, batch));
        if let (Some(best), Some(key)) = (best, key) {
            table.insert(key, best.choice);
        }
    }
    Ok(Tuned { table, measured, ended: early })
}

/// What all candidates are run with.
struct Search<'c> {
    context: &'c Context,
    batch: u32,
    weights: Weights,
    gradient: Tensor,
    /// x, y, dx and dy.
    operands: [wgpu::Buffer; 4],
    /// Multiplications and additions of an operation.
    flops: u64,
}

impl<'c> Search<'c> {
    async fn new(context: &'c Context, geometry: &Geometry, batch: u32) -> Result<Self> {
        let device = context.device();
        let buffer = |elements: u64| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("locally-connected tune"),
                size: 4 * elements.max(1),
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        let (inputs, outputs) = (u64::from(batch) * geometry.inputs(), u64::from(batch) * geometry.outputs());
        let making = Making::new("the operands", 8 * (inputs + outputs));
        let (operands, caught) =
            scoped(device, making, || [buffer(inputs), buffer(outputs), buffer(inputs), buffer(outputs)]);
        caught.await?;
        let weights = Weights::new(context, &layer_forward(&Arc::new(geometry.clone()), false)).await?;
        let gradient = weights.create_gradient(names::WEIGHTS).await?;
        let flops = 2 * u64::from(batch) * geometry.connected_weights();
        Ok(Self { context, batch, weights, gradient, operands, flops })
    }

    /// All that are possible and differ, of each operation the planner's own choice first.
    fn candidates(&mut self, geometry: &Geometry) -> Result<Vec<Candidate>> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut refused = None;
        let own = Arc::new(geometry.clone());
        for operation in TunedOperation::ALL {
            self.weights.set_options(PlanOptions::default());
            let own = self.weights.planner().program(&program(operation, &own), self.batch).ok();
            let first = candidates.len();
            for implementation in Implementation::ALL {
                let layer = Arc::new(geometry.with_implementation(implementation));
                let forms = match implementation {
                    Implementation::Loop => Form::ALL.map(Some).to_vec(),
                    _ => vec![None],
                };
                for form in forms {
                    let program = program(operation, &layer);
                    self.weights.set_options(PlanOptions { form, ..PlanOptions::default() });
                    match self.weights.planner().program(&program, self.batch) {
                        // A form that has no kernel for the layer gives the plan of another.
                        Ok(plan) if candidates.iter().any(|other| other.plan == plan) => {}
                        Ok(plan) => {
                            let choice = TunedChoice { implementation, form };
                            let at = if Some(&plan) == own.as_ref() { first } else { candidates.len() };
                            let (bound, seconds) = (None, Vec::new());
                            candidates.insert(at, Candidate { choice, operation, program, plan, bound, seconds });
                        }
                        Err(error @ (Error::Limit { .. } | Error::OverBudget { .. } | Error::Unsupported { .. })) => {
                            refused = Some(error);
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        match refused {
            Some(error) if candidates.is_empty() => Err(error),
            _ => Ok(candidates),
        }
    }

    async fn bind(&mut self, candidate: &mut Candidate) -> Result<()> {
        if candidate.bound.is_some() {
            return Ok(());
        }
        let [x, y, dx, dy] = &self.operands;
        let bindings = match candidate.operation {
            TunedOperation::Forward => Bindings::default().with(names::INPUT, x).with(names::OUTPUT, y),
            TunedOperation::GradInput => Bindings::default().with(names::INPUT, dy).with(names::OUTPUT, dx),
            TunedOperation::GradWeights => {
                let operands = Bindings::default().with(names::GRAD_OUTPUT, x).with(names::INPUT, dy);
                operands.with(names::GRAD_WEIGHTS, &self.gradient)
            }
        };
        self.weights.set_options(PlanOptions { form: candidate.choice.form, ..PlanOptions::default() });
        candidate.bound = Some(self.weights.bind(&candidate.program, self.batch, &bindings).await?);
        Ok(())
    }

    /// Runs the choices of an operation one after the other until one is near enough to the roof; none where none is.
    async fn until_enough(
        &mut self,
        candidates: &mut [Candidate],
        operation: TunedOperation,
        (roof, repetitions): (Roof, usize),
    ) -> Result<Option<TuneEnd>> {
        let mut of_operation: Vec<_> = candidates.iter_mut().filter(|found| found.operation == operation).collect();
        for at in 0..of_operation.len() {
            let candidate = &mut of_operation[at];
            self.bind(candidate).await?;
            // What is between operations is nobody's: the least that any choice moves.
            let buffers = candidate.program.buffers.iter().filter(|buffer| buffer.usage != Usage::Scratch);
            let least = roof.seconds(buffers.map(|buffer| buffer.bytes(self.batch)).sum(), self.flops);
            // The first run compiles and touches its memory.
            self.run(candidate).await?;
            for _ in 0..repetitions {
                let seconds = self.run(candidate).await?;
                candidate.seconds.push(seconds);
            }
            let of_roof = candidate.median().map_or(0.0, |median| least / median);
            if of_roof >= TuneOptions::ENOUGH {
                let spared = of_operation[at + 1..].iter().map(|candidate| candidate.choice).collect();
                return Ok(Some(TuneEnd { operation, of_roof, spared }));
            }
        }
        Ok(None)
    }

    /// Seconds of one run, from submit to completion.
    async fn run(&self, candidate: &Candidate) -> Result<f64> {
        let Some(bound) = &candidate.bound else {
            return Err(Error::Missing { what: "a measured operation", why: "it was not bound" });
        };
        let device = self.context.device();
        let began = Instant::now();
        let (sender, done) = oneshot_channel();
        let ((), caught) = scoped(device, Making::new("a measured operation", 0), || {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
            encoder.on_submitted_work_done(move || {
                // A receiver that is gone no longer wants to know.
                let _ = sender.send(());
            });
            self.context.queue().submit([encoder.finish()]);
        });
        let completed = done.receive().await.is_some();
        let seconds = began.elapsed().as_secs_f64();
        caught.await?;
        // What is submitted to a lost device completes at once.
        check_there(device, "a measured operation").await?;
        if completed { Ok(seconds) } else { Err(Error::NotSubmitted) }
    }
}

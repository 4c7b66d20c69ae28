//! Measures which implementation, and which form of loop's kernels, is fastest. Nothing here runs unless it is called.

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

/// The most that a device can do: as `locally bench --save-ceilings` measures it, or as its maker says.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Roof {
    /// Bytes that it moves a second.
    pub bytes_per_second: f64,
    /// Multiplications and additions of 32-bit floats a second.
    pub flops_per_second: f64,
}

impl Roof {
    /// The least seconds that this much moving and computing takes.
    #[must_use]
    pub fn seconds(&self, bytes: u64, flops: u64) -> f64 {
        (bytes as f64 / self.bytes_per_second).max(flops as f64 / self.flops_per_second)
    }
}

/// How [`tune`] searches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TuneOptions {
    /// How many runs of each choice count; at least 1.
    pub repetitions: usize,
    /// With a roof, the search for an operation ends with the first choice that reaches [`TuneOptions::ENOUGH`] of it,
    /// since no other can be much faster. The planner's own choice is tried first. Without a roof all choices are
    /// measured.
    pub roof: Option<Roof>,
}

impl TuneOptions {
    /// The share of the roof that is enough.
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
    /// The fastest choice for each operation.
    pub table: TuneTable,
    /// All measurements.
    pub measured: Vec<Measurement>,
    /// For each operation whose search ended early, what wasn't measured.
    pub ended: Vec<TuneEnd>,
}

/// A search that ended early, and what it saved.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TuneEnd {
    /// Which operation.
    pub operation: TunedOperation,
    /// The share of the roof that the last choice reached.
    pub of_roof: f64,
    /// The choices that were neither compiled nor run.
    pub spared: Vec<TunedChoice>,
}

/// The measurement of one choice.
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

/// The program whose first operation is the layer's operation of this kind.
fn program(operation: TunedOperation, layer: &Arc<Geometry>) -> Program {
    match operation {
        TunedOperation::Forward => layer_forward(layer, false),
        // A transposed layer's forward pass is this operation.
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
    /// The bound program, once it runs.
    bound: Option<Bound>,
    seconds: Vec<f64>,
}

impl Candidate {
    /// The median of its times; none if it wasn't run.
    fn median(&self) -> Option<f64> {
        let mut seconds = self.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied()
    }
}

/// Runs every implementation that is possible for this layer and batch, and loop in every form that makes a difference,
/// in turns. Gives the fastest choice for each operation, and all measurements. With a [roof](TuneOptions::roof) it
/// ends as soon as one choice is near enough to that. It allocates operands and gradients and submits to the context's
/// queue; on native platforms the host polls its device meanwhile.
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
        // Times from the search don't count, since they weren't taken in turns.
        candidate.seconds.clear();
    }
    // The first round warms up. Taking turns lets changes of the device's speed affect all choices alike.
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

/// What all candidates run with.
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

    /// All choices that are possible and differ; for each operation the planner's own choice comes first.
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
                        // If the layer has no kernel of this form, the plan is another form's.
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

    /// Runs an operation's choices one after another until one is near enough to the roof; none if none is.
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
            // Memory between operations doesn't count: a roof is about the least that any choice moves.
            let buffers = candidate.program.buffers.iter().filter(|buffer| buffer.usage != Usage::Scratch);
            let least = roof.seconds(buffers.map(|buffer| buffer.bytes(self.batch)).sum(), self.flops);
            // The first run compiles and touches the memory for the first time.
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
                // The receiver may be gone, and then nobody waits for this.
                let _ = sender.send(());
            });
            self.context.queue().submit([encoder.finish()]);
        });
        let completed = done.receive().await.is_some();
        let seconds = began.elapsed().as_secs_f64();
        caught.await?;
        // On a lost device everything completes at once.
        check_there(device, "a measured operation").await?;
        if completed { Ok(seconds) } else { Err(Error::NotSubmitted) }
    }
}

//! Measured choices between the implementations, and between the forms of loop's kernels. Nothing here runs unless it is
//! called.

use crate::config::Implementation;
use crate::geometry::Geometry;
use crate::gpu::{Bindings, Bound, Context, Making, Weights, check_there, scoped};
use crate::model::layer_names as names;
use crate::model::{Gradients, layer_forward, transposed_backward, transposed_forward};
use crate::ops::Operation;
use crate::plan::{Form, PlanOptions, TuneKey, TuneTable, TunedChoice, TunedOperation};
use crate::program::Program;
use crate::{Error, Result};
use futures_intrusive::channel::shared::oneshot_channel;
use std::sync::Arc;
use web_time::Instant;

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

/// A way of running an operation, bound, and how long it took.
struct Candidate {
    choice: TunedChoice,
    operation: TunedOperation,
    bound: Bound,
    seconds: Vec<f64>,
}

/// Runs every implementation that is possible for this layer and batch, loop in every form that makes a difference,
/// `repetitions` times, in turns, and gives the fastest of each operation with all that was measured. It allocates
/// operands and gradients and submits to the context's queue; on native platforms the host polls its device meanwhile.
///
/// # Errors
/// [`Error::Limit`] where nothing is possible; [`Error::OutOfMemory`]; [`Error::DeviceLost`].
pub async fn tune(
    context: &Context,
    geometry: &Geometry,
    batch: u32,
    repetitions: usize,
) -> Result<(TuneTable, Vec<Measurement>)> {
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
    let [x, y, dx, dy] = &operands;
    let mut weights = Weights::new(context, &layer_forward(&Arc::new(geometry.clone()), false)).await?;
    let dw = weights.create_gradient(names::WEIGHTS).await?;
    let bindings = |operation| match operation {
        TunedOperation::Forward => Bindings::default().with(names::INPUT, x).with(names::OUTPUT, y),
        TunedOperation::GradInput => Bindings::default().with(names::INPUT, dy).with(names::OUTPUT, dx),
        TunedOperation::GradWeights => {
            let operands = Bindings::default().with(names::GRAD_OUTPUT, x).with(names::INPUT, dy);
            operands.with(names::GRAD_WEIGHTS, &dw)
        }
    };

    let mut candidates: Vec<Candidate> = Vec::new();
    let mut refused = None;
    for implementation in Implementation::ALL {
        let layer = Arc::new(geometry.with_implementation(implementation));
        let forms = match implementation {
            Implementation::Loop => Form::ALL.map(Some).to_vec(),
            _ => vec![None],
        };
        for form in forms {
            weights.set_options(PlanOptions { form, ..PlanOptions::default() });
            for operation in TunedOperation::ALL {
                let bound = weights.bind(&program(operation, &layer), batch, &bindings(operation)).await;
                let same = |other: &Candidate, bound: &Bound| other.bound.plan() == bound.plan();
                match bound {
                    // A form that has no kernel for the layer gives the plan of another.
                    Ok(bound) if candidates.iter().any(|other| same(other, &bound)) => {}
                    Ok(bound) => {
                        let choice = TunedChoice { implementation, form };
                        candidates.push(Candidate { choice, operation, bound, seconds: Vec::new() });
                    }
                    Err(error @ (Error::Limit { .. } | Error::OverBudget { .. } | Error::Unsupported { .. })) => {
                        refused = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    if let (true, Some(error)) = (candidates.is_empty(), refused) {
        return Err(error);
    }
    // The first round warms up; turns let a device's changing speed hit all alike.
    for round in 0..=repetitions.max(1) {
        for candidate in &mut candidates {
            let began = Instant::now();
            let (sender, done) = oneshot_channel();
            let ((), caught) = scoped(device, Making::new("a measured operation", 0), || {
                let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                candidate.bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
                encoder.on_submitted_work_done(move || {
                    // A receiver that is gone no longer wants to know.
                    let _ = sender.send(());
                });
                context.queue().submit([encoder.finish()]);
            });
            let completed = done.receive().await.is_some();
            let seconds = began.elapsed().as_secs_f64();
            caught.await?;
            // What is submitted to a lost device completes at once.
            check_there(device, "a measured operation").await?;
            if !completed {
                return Err(Error::NotSubmitted);
            }
            if round > 0 {
                candidate.seconds.push(seconds);
            }
        }
    }
    let measured: Vec<Measurement> = candidates
        .into_iter()
        .map(|Candidate { choice, operation, mut seconds, .. }| {
            seconds.sort_by(f64::total_cmp);
            Measurement { choice, operation, seconds: seconds[seconds.len() / 2] }
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
    Ok((table, measured))
}

//! Measured choices between the implementations, and between the forms of loop's kernels. Nothing here runs unless it is
//! called.

use crate::config::Implementation;
use crate::geometry::Geometry;
use crate::gpu::{Backward, Bound, Context, Forward, LocallyConnected, scoped};
use crate::plan::{Choice, Form, Pass, PlanOptions, TuneKey, TuneTable};
use crate::{Error, Result};
use futures_intrusive::channel::shared::oneshot_channel;
use web_time::Instant;

/// What [`tune`] measured of one choice.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Measurement {
    /// How it was executed.
    pub choice: Choice,
    /// Which pass.
    pub pass: Pass,
    /// Median time from submit to completion, in seconds.
    pub seconds: f64,
}

/// Runs every implementation that is possible for this layer and batch, loop in every form that makes a difference,
/// `repetitions` times, in turns, and gives the fastest of each pass with all that was measured. It allocates operands
/// and gradients and submits to the context's queue; on native platforms the host polls its device meanwhile.
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
    let (operands, caught) = scoped(device, || {
        [buffer(inputs), buffer(outputs), buffer(outputs), buffer(outputs), buffer(inputs), buffer(geometry.biases())]
    });
    caught.await?;
    let [x, y, z, dy, dx, db] = &operands;

    let mut candidates: Vec<(Choice, Pass, Bound, Vec<f64>)> = Vec::new();
    let mut refused = None;
    for implementation in Implementation::ALL {
        let mut layer = LocallyConnected::with_geometry(context, geometry.with_implementation(implementation)).await?;
        let dw = layer.create_kernel_gradient().await?;
        let forms = match implementation {
            Implementation::Loop => Form::ALL.map(Some).to_vec(),
            _ => vec![None],
        };
        for form in forms {
            layer.set_options(PlanOptions { form, ..PlanOptions::default() });
            let forward = Forward { batch, input: x, output: y, pre_activation: None };
            let backward = Backward {
                batch,
                input: Some(x),
                output: Some(y),
                pre_activation: Some(z),
                grad_output: dy,
                grad_input: Some(dx),
                grad_kernel: Some(&dw),
                grad_bias: (geometry.biases() > 0).then_some(db),
            };
            let forward = layer.bind_forward(forward).await;
            let backward = layer.bind_backward(backward).await;
            for (pass, bound) in [(Pass::Forward, forward), (Pass::Backward, backward)] {
                match bound {
                    // A form that has no kernel for the layer gives the plan of another.
                    Ok(bound) if candidates.iter().any(|(_, _, other, _)| other.plan() == bound.plan()) => {}
                    Ok(bound) => candidates.push((Choice { implementation, form }, pass, bound, Vec::new())),
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
        for (_, _, bound, times) in &mut candidates {
            let began = Instant::now();
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
            let (sender, done) = oneshot_channel();
            encoder.on_submitted_work_done(move || {
                // A receiver that is gone no longer wants to know.
                let _ = sender.send(());
            });
            context.queue().submit([encoder.finish()]);
            if done.receive().await.is_none() {
                return Err(Error::DeviceLost("a measured pass never completed".into()));
            }
            if round > 0 {
                times.push(began.elapsed().as_secs_f64());
            }
        }
    }
    let measured: Vec<Measurement> = candidates
        .into_iter()
        .map(|(choice, pass, _, mut times)| {
            times.sort_by(f64::total_cmp);
            Measurement { choice, pass, seconds: times[times.len() / 2] }
        })
        .collect();
    let mut table = TuneTable::default();
    for pass in [Pass::Forward, Pass::Backward] {
        let of_pass = measured.iter().filter(|measurement| measurement.pass == pass);
        if let Some(best) = of_pass.min_by(|a, b| a.seconds.total_cmp(&b.seconds)) {
            table.insert(TuneKey::new(context.profile(), geometry, batch, pass), best.choice);
        }
    }
    Ok((table, measured))
}

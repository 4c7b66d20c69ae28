//! Runs a program.

use super::{GradStatistics, JudgedValues, Statistics, UpdateOperands};
use super::{activate, activate_grad, grad_bias, local_forward, local_grad_input, local_grad_weights};
use super::{clip_scale, orthogonal, orthogonal_grad, penalty_grad, total};
use super::{concatenate, pool, pool_grad, rearrange, rearrange_grad, reduce, reduce_grad};
use super::{constrain, group_squares, moving_average, non_negative, radial, update};
use crate::ops::{BufferId, Change, Judged, Operation, StepNumbers, Usage};
use crate::program::Program;
use crate::{Error, Result};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Values of a program's buffers, by name.
pub type Values = BTreeMap<String, Vec<f64>>;

/// Runs `program` on `batch` samples, with the inputs, parameters and states in `given`, and with the gradients that it
/// adds to. Gives all that it wrote: results, values between operations, and updated parameters and states. States that
/// aren't given are zero.
///
/// # Errors
/// Those of [`Program::check`]; [`Error::Length`] if a given value has another length; [`Error::NotGiven`] if a value
/// is missing.
pub fn run(program: &Program, batch: u32, given: &Values) -> Result<Values> {
    program.check()?;
    let mut memory: Vec<Cow<'_, [f64]>> = vec![Cow::default(); program.buffers.len()];
    let needed = program.buffers.iter().zip(&mut memory).zip(program.given());
    for ((buffer, values), _) in needed.filter(|(_, given)| *given) {
        let Some(found) = given.get(&buffer.name) else {
            if buffer.usage == Usage::State {
                *values = vec![0.0; buffer.shape.elements(batch) as usize].into();
                continue;
            }
            return Err(Error::NotGiven { name: buffer.name.clone() });
        };
        if found.len() as u64 != buffer.shape.elements(batch) {
            return Err(buffer.wrong_length(batch, found.len() as u64));
        }
        *values = Cow::Borrowed(found);
    }
    for operation in &program.operations {
        let of = |id: BufferId| &*memory[id.index()];
        let judged = |judged: &Judged| JudgedValues {
            prediction: of(judged.prediction),
            target: of(judged.target),
            sample_weight: judged.sample_weight.map(of),
        };
        let written = match operation {
            Operation::LocalForward(o) => {
                let sums = local_forward(&o.layer, of(o.input), of(o.weights), o.bias.map_or(&[], of));
                activate(&sums, o.activation, 1)
            }
            Operation::LocalGradInput(o) => local_grad_input(&o.layer, of(o.weights), of(o.grad_output)),
            Operation::LocalGradWeights(o) => local_grad_weights(&o.layer, of(o.input), of(o.grad_output)),
            Operation::GradBias(o) => grad_bias(&o.layer, of(o.grad_output)),
            Operation::Activate(o) => activate(of(o.input), o.activation, o.row as usize),
            Operation::ActivateGrad(o) => activate_grad(of(o.saved), of(o.grad_output), o.activation, o.row as usize),
            Operation::Transpose(o) => transpose(of(o.input), o.rows as usize, o.columns as usize),
            Operation::Pool(o) => pool(o, of(o.input)),
            Operation::PoolGrad(o) => pool_grad(o, o.input.map_or(&[], of), of(o.grad_output)),
            Operation::Reduce(o) => reduce(o, of(o.input)),
            Operation::ReduceGrad(o) => reduce_grad(o, o.input.map_or(&[], of), of(o.grad_output)),
            Operation::Rearrange(o) => rearrange(&o.axes, of(o.input)),
            Operation::RearrangeGrad(o) => rearrange_grad(&o.axes, of(o.grad_output)),
            Operation::Concatenate(o) => {
                let inputs = o.inputs.iter().map(|part| (of(part.input), part.columns as usize));
                concatenate(&inputs.collect::<Vec<_>>())
            }
            Operation::Combine(o) => super::combine(o, of(o.a.buffer), of(o.b.buffer), batch as usize),
            Operation::CombineGrad(o) => super::combine_grad(o, of(o.a.buffer), of(o.b.buffer), of(o.grad_output)),
            Operation::Sum(o) => super::sum(o, of(o.input), batch as usize),
            Operation::NormFactor(o) => super::norm_factor(o, of(o.variance), o.gamma.map(of)),
            Operation::Normalise(o) => {
                let by = Statistics { mean: of(o.mean), factor: of(o.factor), beta: o.beta.map(of) };
                super::normalise(o, of(o.input), by)
            }
            Operation::LayerNorm(o) => super::layer_norm(o, of(o.input), o.gamma.map(of), o.beta.map(of)),
            Operation::LayerNormGrad(o) => super::layer_norm_grad(o, of(o.input), o.gamma.map(of), of(o.grad_output)),
            Operation::Update(o) => {
                let scale = o.scale.map(|scale| of(scale)[0]);
                let changed = changed(&o.change, of(o.gradient), scale, of);
                put(&mut memory, &o.change, changed)
            }
            Operation::LocalUpdate(o) => {
                let gradient = local_grad_weights(&o.layer, of(o.input), of(o.grad_output));
                let changed = changed(&o.change, &gradient, None, of);
                put(&mut memory, &o.change, changed)
            }
            Operation::MovingAverage(o) => moving_average(o, of(o.value), of(o.average), batch),
            Operation::PenaltyGrad(o) => penalty_grad(o, of(o.of), o.step.map(|step| numbers(of(step)))),
            Operation::Total(o) => vec![total(o, of(o.input), o.step.map(|step| numbers(of(step))))],
            Operation::ClipScale(o) => vec![clip_scale(o, of(o.squares)[0])],
            Operation::Orthogonal(o) => vec![orthogonal(o, of(o.input))],
            Operation::OrthogonalGrad(o) => orthogonal_grad(o, of(o.input)),
            Operation::GroupSquares(o) => group_squares(o, of(o.parameter)),
            Operation::Constrain(o) => constrain(o, of(o.parameter), of(o.squares)),
            Operation::NonNegative(o) => non_negative(of(o.parameter)),
            Operation::Radial(o) => radial(o, of(o.parameter)),
            Operation::Variance(o) => super::variance(o, of(o.input), of(o.mean), batch as usize),
            Operation::NormaliseGrad(o) => {
                let by = GradStatistics { mean: of(o.mean), slope: of(o.slope), factor: of(o.factor) };
                super::normalise_grad(o, of(o.normalised), of(o.grad_output), by)
            }
            Operation::Loss(o) => super::loss(o, judged(&o.of)),
            Operation::LossGrad(o) => super::loss_grad(o, judged(&o.of), numbers(of(o.step))),
            Operation::Hits(o) => super::hits(o, judged(&o.of)),
            Operation::Random(o) => super::random(o, of(o.input), numbers(of(o.step))),
            Operation::RandomGrad(o) => super::random_grad(o, of(o.grad_output), numbers(of(o.step))),
        };
        let buffer = &mut memory[operation.writes().index()];
        if operation.accumulates() {
            buffer.to_mut().iter_mut().zip(written).for_each(|(sum, more)| *sum += more);
        } else {
            *buffer = Cow::Owned(written);
        }
    }
    let updated: BTreeSet<BufferId> = program.operations.iter().flat_map(Operation::updates).collect();
    let written = program.buffers.iter().zip((0..).map(BufferId)).zip(memory);
    let written = written.filter_map(|((buffer, id), values)| {
        let given = matches!(buffer.usage, Usage::Input | Usage::Parameter | Usage::State);
        (!given || updated.contains(&id)).then_some((buffer, values))
    });
    Ok(written.map(|(buffer, values)| (buffer.name.clone(), values.into_owned())).collect())
}

/// A parameter and its states.
type Changed = (Vec<f64>, Vec<Vec<f64>>);

/// The parameter and its states after an update by a gradient.
fn changed<'a>(o: &Change, gradient: &[f64], scale: Option<f64>, of: impl Fn(BufferId) -> &'a [f64]) -> Changed {
    let states: Vec<&[f64]> = o.state.iter().map(|id| of(*id)).collect();
    let (parameter, step) = (of(o.parameter), numbers(of(o.step)));
    update(o, UpdateOperands { gradient, parameter, states: &states, step, scale })
}

/// Stores the states, and gives the parameter.
fn put(memory: &mut [Cow<'_, [f64]>], o: &Change, (parameter, states): Changed) -> Vec<f64> {
    for (id, values) in o.state.iter().zip(states) {
        memory[id.index()] = values.into();
    }
    parameter
}

/// The numbers of a step, from its buffer.
fn numbers(values: &[f64]) -> StepNumbers {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    StepNumbers::from_floats(&values)
}

/// Transposes each sample from `[rows][columns]` to `[columns][rows]`.
#[must_use]
pub fn transpose(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let column = |sample: &[f64], column| sample.iter().skip(column).step_by(columns).copied().collect::<Vec<_>>();
    let samples = values.chunks_exact((rows * columns).max(1));
    samples.flat_map(|sample| (0..columns).flat_map(move |c| column(sample, c))).collect()
}

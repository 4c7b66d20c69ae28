//! A program bound for a batch: its memory, what its layers look up, and its runs.

use super::change::{Changed, Changing, MOST_STATES};
use super::local::{self, Layer};
use super::memory::{Given, Layout, Memory};
use super::prepared::{Preparation, Prepared, is_staged};
use super::shared::Shared;
use super::team::{Means, Team};
use super::total::Matrix;
use super::weights::Store;
use super::{activate, combine, constrain, loss, normalise, pool, random, rearrange, reduce, total, transpose, update};
use crate::Result;
use crate::config::Bias;
use crate::geometry::Geometry;
use crate::ops::{BufferId, Judged, LocalForward, LocalGradInput, Operation, StepNumbers};
use crate::program::Program;
use crate::room::zeroes;

/// A program for a batch of one size, with all the memory that its runs need.
///
/// ```
/// # fn main() -> locally_connected::Result<()> {
/// use locally_connected::model::{Layer, Sequential, names};
/// use locally_connected::{Config, cpu};
///
/// let graph = Sequential::new([5, 1]).add(Layer::new(Config::new(2, [3])).named("local")).graph()?;
/// let (program, weights, bias) = (graph.forward(), vec![1.0; 3 * 3 * 2], vec![0.5; 3 * 2]);
///
/// let mut store = cpu::Weights::new();
/// store.set(&program, "local/kernel", &weights)?;
/// store.set(&program, "local/bias", &bias)?;
/// let mut bound = cpu::Executor::default().bind(&program, 1)?;
/// let mut output = [0.0; 6];
/// bound.run(&store, &[(names::INPUT, &[1.0, 2.0, 3.0, 4.0, 5.0])], &mut [(names::OUTPUT, &mut output)])?;
/// assert_eq!(output, [6.5, 6.5, 9.5, 9.5, 12.5, 12.5]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Bound {
    operations: Vec<Operation>,
    /// What each operation needs besides its operands.
    prepared: Vec<Prepared>,
    layout: Layout,
    staging: Staging,
    team: Team,
    /// A guess of the nanoseconds that the longest operation takes.
    longest: u64,
    batch: u32,
}

/// Room for operands of channels_first layers in channels_last, and for parts of sums.
#[derive(Debug, Default)]
struct Staging {
    input: Vec<f32>,
    output: Vec<f32>,
    bias: Vec<f32>,
    parts: Vec<f64>,
}

impl Bound {
    pub(super) fn new(means: Means, program: &Program, batch: u32) -> Result<Self> {
        program.check()?;
        let Preparation { operations: prepared, needs, longest, staged, parts } = Preparation::new(program, batch)?;
        let [input, output, bias] = staged.map(|elements| zeroes("scratch", elements));
        Ok(Self {
            operations: program.operations.clone(),
            prepared,
            layout: Layout::new(program, batch)?,
            staging: Staging { input: input?, output: output?, bias: bias?, parts: zeroes("scratch", parts)? },
            team: Team::new(means, needs)?,
            longest,
            batch,
        })
    }

    /// The samples of a run.
    #[must_use]
    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// Bytes of its own memory: values between operations, and operands of channels_first layers in channels_last.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let Staging { input, output, bias, parts } = &self.staging;
        let staged = 4 * (input.len() + output.len() + bias.len()) + 8 * parts.len();
        self.layout.bytes() + staged as u64 + self.team.bytes()
    }

    /// Runs all operations: reads the parameters from `weights` and the program's inputs from `inputs`, by their names,
    /// and writes its outputs and gradients to `outputs`, by their names. Nothing is allocated: operands of
    /// channels_first layers are transposed into the program's own memory, and 16-bit weights are widened piece by
    /// piece.
    ///
    /// A program that updates parameters takes the store as `&mut weights`. Its first run makes missing states, filled
    /// with zeroes, and copies parameters that were borrowed or are shared.
    ///
    /// Lengths are those of [`Shape::elements`](crate::ops::Shape::elements) for the batch. Names that the program
    /// doesn't have are ignored.
    ///
    /// # Errors
    /// [`Error::NotGiven`](crate::Error::NotGiven) for an operand that isn't there and [`Error::Length`](crate::Error::Length) for
    /// one of another length; [`Error::Unsupported`](crate::Error::Unsupported) for weights of another type than their layer
    /// asks for; [`Error::Program`](crate::Error::Program) where the program updates parameters and the store is only borrowed.
    /// Nothing is written then.
    pub fn run<'w, 'p: 'w>(
        &mut self,
        weights: impl Into<Store<'w, 'p>>,
        inputs: &[(&str, &[f32])],
        outputs: &mut [(&str, &mut [f32])],
    ) -> Result<()> {
        let mut given = Given { weights: weights.into(), inputs, outputs };
        self.layout.resolve(&mut given)?;
        let Self { operations, prepared, layout, staging, team, longest, batch } = self;
        let mut memory = layout.memory(given);
        team.enter(*longest, || {
            for (operation, prepared) in operations.iter().zip(prepared) {
                let id = operation.writes();
                let mut taken = memory.take(id);
                let mut states: [Vec<f32>; MOST_STATES] = std::array::from_fn(|at| {
                    prepared.states.get(at).map_or_else(Vec::new, |state| memory.take_updated(*state))
                });
                let written = Written {
                    values: memory.written(id, &mut taken),
                    states: &mut states[..prepared.states.len().min(MOST_STATES)],
                };
                let run = Run { team, memory: &memory, staging, batch: *batch as usize };
                run.operation(operation, prepared, written);
                memory.put(id, taken);
                for (state, values) in prepared.states.iter().zip(states) {
                    memory.put_updated(*state, values);
                }
            }
        });
        Ok(())
    }
}

/// What an operation writes or changes.
struct Written<'w> {
    values: &'w mut [f32],
    states: &'w mut [Vec<f32>],
}

/// What an operation runs with.
struct Run<'a, 'r, 's, 'n, 'v> {
    team: &'a Team,
    memory: &'a Memory<'r, 's, 'n, 'v>,
    staging: &'a mut Staging,
    batch: usize,
}

impl Run<'_, '_, '_, '_, '_> {
    /// The numbers of a step.
    fn numbers(&self, step: BufferId) -> StepNumbers {
        StepNumbers::from_floats(self.memory.read(step))
    }

    fn operation(self, operation: &Operation, prepared: &Prepared, written: Written<'_>) {
        let (team, memory) = (self.team, self.memory);
        let Written { values: written, states } = written;
        match (operation, prepared.layer.as_deref()) {
            (Operation::LocalForward(o), Some(layer)) => self.forward(layer, o, written),
            (Operation::LocalGradInput(o), Some(layer)) => self.grad_input(layer, o, written),
            (Operation::LocalGradWeights(o), Some(layer)) => {
                let kept = local::Kept { values: Shared::new(written), accumulate: o.accumulate };
                self.grad_weights(layer, [o.input, o.grad_output], local::Gradient::Kept(kept));
            }
            (Operation::LocalUpdate(o), Some(layer)) => {
                let changing = Changing::new(&o.change, self.numbers(o.change.step), None);
                let changes = local::Gradient::Changes(Changed::new(changing, written, states));
                self.grad_weights(layer, [o.input, o.grad_output], changes);
            }
            (Operation::GradBias(o), _) => local::grad_bias(team, o, memory.read(o.grad_output), written),
            (Operation::Activate(o), _) => activate::activate(team, o, memory.read(o.input), written),
            (Operation::ActivateGrad(o), _) => {
                let operands = [o.saved, o.grad_output].map(|id| memory.read(id));
                activate::activate_grad(team, o, operands, written);
            }
            (Operation::Transpose(o), _) => {
                transpose::transpose(team, [o.rows as usize, o.columns as usize], memory.read(o.input), written);
            }
            (Operation::Pool(o), _) => pool::pool(team, o, memory.read(o.input), written),
            (Operation::PoolGrad(o), _) => {
                let operands = [o.input.map_or(&[][..], |input| memory.read(input)), memory.read(o.grad_output)];
                pool::pool_grad(team, o, operands, written);
            }
            (Operation::Reduce(o), _) => reduce::reduce(team, o, memory.read(o.input), written),
            (Operation::ReduceGrad(o), _) => {
                let operands = [o.input.map_or(&[][..], |input| memory.read(input)), memory.read(o.grad_output)];
                reduce::reduce_grad(team, o, operands, written);
            }
            (Operation::Rearrange(o), _) => rearrange::rearrange(team, &o.axes, memory.read(o.input), written),
            (Operation::RearrangeGrad(o), _) => {
                rearrange::rearrange_grad(team, &o.axes, memory.read(o.grad_output), written);
            }
            (Operation::Concatenate(o), _) => {
                let (mut first, all) = (0, o.columns() as usize);
                for part in &o.inputs {
                    let columns = rearrange::SomeColumns { first, count: part.columns as usize, all };
                    rearrange::concatenate(team, columns, memory.read(part.input), written);
                    first += columns.count;
                }
            }
            (Operation::Combine(o), _) => {
                combine::combine(team, o, [o.a, o.b].map(|part| memory.read(part.buffer)), written);
            }
            (Operation::CombineGrad(o), _) => {
                let operands = [o.a.buffer, o.b.buffer, o.grad_output].map(|id| memory.read(id));
                combine::combine_grad(team, o, operands, written);
            }
            (Operation::Sum(o), _) => combine::sum(team, o, memory.read(o.input), written),
            (Operation::NormFactor(o), _) => {
                let gamma = o.gamma.map(|gamma| memory.read(gamma));
                normalise::norm_factor(o, memory.read(o.variance), gamma, written);
            }
            (Operation::Normalise(o), _) => {
                let [input, mean, factor] = [o.input, o.mean, o.factor].map(|id| memory.read(id));
                let beta = o.beta.map(|beta| memory.read(beta));
                normalise::normalise(team, o, normalise::Normalised { input, mean, factor, beta }, written);
            }
            (Operation::LayerNorm(o), _) => {
                let (input, [gamma, beta]) =
                    (memory.read(o.input), [o.gamma, o.beta].map(|id| id.map(|id| memory.read(id))));
                normalise::layer_norm(team, o, normalise::LayerNormalised { input, gamma, beta }, written);
            }
            (Operation::LayerNormGrad(o), _) => {
                let [input, grad_output] = [o.input, o.grad_output].map(|id| memory.read(id));
                let gamma = o.gamma.map(|gamma| memory.read(gamma));
                normalise::layer_norm_grad(team, o, normalise::LayerNormGrads { input, gamma, grad_output }, written);
            }
            (Operation::Update(o), _) => {
                let scale = o.scale.and_then(|scale| memory.read(scale).first().copied());
                let changing = Changing::new(&o.change, self.numbers(o.change.step), scale);
                update::update(team, Changed::new(changing, written, states), memory.read(o.gradient));
            }
            (Operation::MovingAverage(o), _) => {
                update::Pair { team, read: memory.read(o.value), written }.moving_average(o, self.batch as u32);
            }
            (Operation::PenaltyGrad(o), _) => {
                let share = o.step.map_or(1.0, |step| self.numbers(step).per_sample);
                update::Pair { team, read: memory.read(o.of), written }.penalty_grad(o, share);
            }
            (Operation::Total(o), _) => {
                let share = f64::from(o.step.map_or(1.0, |step| self.numbers(step).per_sample)) * f64::from(o.factor);
                let sum = total::total(team, o.of, memory.read(o.input), &mut self.staging.parts);
                total::put(sum * share, o.accumulate, written);
            }
            (Operation::ClipScale(o), _) => {
                let squares = memory.read(o.squares);
                written.iter_mut().zip(squares).for_each(|(to, squares)| *to = total::clip_scale(o, *squares));
            }
            (Operation::Orthogonal(o), _) => {
                let (of, accumulate, values) = (o.vectors(), o.accumulate, memory.read(o.input));
                let matrix = Matrix { of, share: of.share(o.factor), accumulate, values };
                total::put(total::orthogonal(team, matrix, &mut self.staging.parts), accumulate, written);
            }
            (Operation::OrthogonalGrad(o), _) => {
                let (of, accumulate, values) = (o.vectors(), o.accumulate, memory.read(o.input));
                let matrix = Matrix { of, share: of.share(o.factor), accumulate, values };
                total::orthogonal_grad(team, matrix, &mut self.staging.parts, written);
            }
            (Operation::GroupSquares(o), _) => {
                let Some(members) = &prepared.members else { return };
                let (filters, by_filter) = (o.shape.filters() as usize, o.groups.by_filter());
                let rows = constrain::Rows { members, filters, by_filter };
                constrain::square_parts(team, rows, memory.read(o.parameter), &mut self.staging.parts);
                constrain::group_squares(rows, &self.staging.parts, written);
            }
            (Operation::Constrain(o), _) => constrain::constrain(team, o, memory.read(o.squares), written),
            (Operation::NonNegative(_), _) => update::non_negative(team, written),
            (Operation::Radial(o), _) => constrain::radial(team, o, written),
            (Operation::Variance(o), _) => {
                combine::variance(team, o, [o.input, o.mean].map(|id| memory.read(id)), written);
            }
            (Operation::NormaliseGrad(o), _) => {
                let [mean, slope, factor] = [o.mean, o.slope, o.factor].map(|id| memory.read(id));
                let [normalised, grad_output] = [o.normalised, o.grad_output].map(|id| memory.read(id));
                let by = normalise::NormalisedGrads { normalised, grad_output, mean, slope, factor };
                normalise::normalise_grad(team, o, by, written);
            }
            (Operation::Loss(o), _) => loss::loss(team, o, self.judged(&o.of, 1.0), written),
            (Operation::LossGrad(o), _) => {
                loss::loss_grad(team, o, self.judged(&o.of, self.numbers(o.step).per_sample), written);
            }
            (Operation::Hits(o), _) => loss::hits(team, o, self.judged(&o.of, 1.0), written),
            (Operation::Random(o), _) => {
                let (draw, effect) = (self.numbers(o.step).draw, o.noise.kind.effect(false));
                random::random(team, random::Drawn { noise: &o.noise, draw, effect }, memory.read(o.input), written);
            }
            (Operation::RandomGrad(o), _) => {
                let (draw, effect) = (self.numbers(o.step).draw, o.noise.kind.effect(true));
                let drawn = random::Drawn { noise: &o.noise, draw, effect };
                random::random(team, drawn, memory.read(o.grad_output), written);
            }
            // Every operation of a layer has one.
            (Operation::LocalForward(_) | Operation::LocalGradInput(_), None) => {}
            (Operation::LocalGradWeights(_) | Operation::LocalUpdate(_), None) => {}
        }
    }

    fn judged(&self, of: &Judged, share: f32) -> loss::Operands<'_> {
        loss::Operands {
            prediction: self.memory.read(of.prediction),
            target: self.memory.read(of.target),
            weight: of.sample_weight.map(|weight| self.memory.read(weight)),
            share,
        }
    }

    fn forward(self, layer: &Layer, o: &LocalForward, written: &mut [f32]) {
        let Self { team, memory, staging, batch } = self;
        let (input, weights, activation) = (memory.read(o.input), memory.view(o.weights), o.activation);
        let bias = o.bias.map(|bias| memory.read(bias));
        let sizes = Sizes::of(&layer.geometry);
        if !is_staged(&layer.geometry) {
            let operands = local::ForwardOperands { batch, input, weights, bias, activation };
            return local::forward(team, layer, operands, written);
        }
        let input = sizes.input_last(team, input, &mut staging.input);
        let per_location = layer.geometry.config().bias == Bias::PerLocation;
        let bias = bias.map(|bias| if per_location { sizes.output_last(team, bias, &mut staging.bias) } else { bias });
        let output = &mut staging.output[..written.len()];
        local::forward(team, layer, local::ForwardOperands { batch, input, weights, bias, activation }, output);
        transpose::transpose(team, [sizes.locations, sizes.filters], output, written);
    }

    fn grad_input(self, layer: &Layer, o: &LocalGradInput, written: &mut [f32]) {
        let Self { team, memory, staging, batch } = self;
        let (weights, grad_output) = (memory.view(o.weights), memory.read(o.grad_output));
        if !is_staged(&layer.geometry) {
            return local::grad_input(team, layer, local::GradInputOperands { batch, weights, grad_output }, written);
        }
        let sizes = Sizes::of(&layer.geometry);
        let grad_output = sizes.output_last(team, grad_output, &mut staging.output);
        let grad_input = &mut staging.input[..written.len()];
        local::grad_input(team, layer, local::GradInputOperands { batch, weights, grad_output }, grad_input);
        transpose::transpose(team, [sizes.positions, sizes.channels], grad_input, written);
    }

    fn grad_weights(self, layer: &Layer, operands: [BufferId; 2], gradient: local::Gradient<'_>) {
        let Self { team, memory, staging, batch } = self;
        let [mut input, mut grad_output] = operands.map(|id| memory.read(id));
        if is_staged(&layer.geometry) {
            let sizes = Sizes::of(&layer.geometry);
            input = sizes.input_last(team, input, &mut staging.input);
            grad_output = sizes.output_last(team, grad_output, &mut staging.output);
        }
        let operands = local::GradWeightsOperands { batch, input, grad_output };
        local::grad_weights(team, layer, operands, gradient);
    }
}

/// Elements of a layer's inputs and outputs, as matrices of positions and channels.
struct Sizes {
    positions: usize,
    channels: usize,
    locations: usize,
    filters: usize,
}

impl Sizes {
    fn of(layer: &Geometry) -> Self {
        Self {
            positions: layer.positions() as usize,
            channels: layer.channels() as usize,
            locations: layer.locations() as usize,
            filters: layer.filters() as usize,
        }
    }

    /// The inputs in channels_last: transposed into `room`, or where they are.
    fn input_last<'a>(&self, team: &Team, values: &[f32], room: &'a mut [f32]) -> &'a [f32] {
        let room = &mut room[..values.len()];
        transpose::transpose(team, [self.channels, self.positions], values, room);
        room
    }

    /// The outputs' values in channels_last: transposed into `room`, or where they are.
    fn output_last<'a>(&self, team: &Team, values: &[f32], room: &'a mut [f32]) -> &'a [f32] {
        let room = &mut room[..values.len()];
        transpose::transpose(team, [self.filters, self.locations], values, room);
        room
    }
}

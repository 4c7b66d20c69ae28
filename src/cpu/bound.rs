//! A program made ready for a batch: its memory, what its layers look up, and its runs.

use super::instructions::Instructions;
use super::local::{self, Layer};
use super::memory::{Given, Layout, Memory, zeroes};
use super::team::{Needs, Team};
use super::threads::Threads;
use super::weights::Weights;
use super::{activate, combine, normalise, pool, rearrange, reduce, transpose};
use crate::Result;
use crate::config::{Activation, Bias, DataFormat};
use crate::geometry::Geometry;
use crate::ops::{BufferId, Operation};
use crate::program::Program;
use std::sync::Arc;

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
    /// For each operation its layer, where it has one.
    layers: Vec<Option<Arc<Layer>>>,
    layout: Layout,
    staging: Staging,
    team: Team,
    /// A guess of what a run takes.
    nanoseconds: u64,
    batch: u32,
}

/// Where operands of layers in channels_first lie in channels_last.
#[derive(Debug, Default)]
struct Staging {
    input: Vec<f32>,
    output: Vec<f32>,
    bias: Vec<f32>,
}

impl Bound {
    pub(super) fn new(threads: Threads, instructions: Instructions, program: &Program, batch: u32) -> Result<Self> {
        program.check()?;
        let mut layers: Vec<Option<Arc<Layer>>> = Vec::new();
        let (mut needs, mut nanoseconds, mut staged) = (Needs::default(), 0u64, [0u64; 3]);
        for operation in &program.operations {
            let layer = operation.layer().map(|geometry| {
                // A program that was read has each operation's layer for itself.
                let same = |layer: &&Arc<Layer>| Arc::ptr_eq(&layer.geometry, geometry) || layer.geometry == *geometry;
                let known = layers.iter().flatten().find(same);
                known.cloned().unwrap_or_else(|| Arc::new(Layer::new(geometry)))
            });
            if let Some(layer) = &layer {
                needs = needs.most(layer.needs());
                let geometry = &layer.geometry;
                if is_staged(geometry) {
                    let samples = |elements: u64| elements.saturating_mul(batch.into());
                    let sizes = [samples(geometry.inputs()), samples(geometry.outputs()), geometry.biases()];
                    staged = std::array::from_fn(|i| staged[i].max(sizes[i]));
                }
            }
            let written = program.buffer(operation.writes()).map_or(0, |buffer| buffer.shape.elements(batch));
            let products = layer.as_ref().map_or(0, |layer| layer.geometry.connected_weights());
            let products = products / 4 + products / 32 * u64::from(batch);
            nanoseconds = nanoseconds.saturating_add(written).saturating_add(products);
            layers.push(layer);
        }
        let [input, output, bias] = staged.map(zeroes);
        Ok(Self {
            operations: program.operations.clone(),
            layers,
            layout: Layout::new(program, batch)?,
            staging: Staging { input: input?, output: output?, bias: bias? },
            team: Team::new(threads, instructions, needs)?,
            nanoseconds,
            batch,
        })
    }

    /// The samples of a run.
    #[must_use]
    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// Bytes of its own memory: values between operations, and those of layers in channels_first in the other order.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let Staging { input, output, bias } = &self.staging;
        self.layout.bytes() + 4 * (input.len() + output.len() + bias.len()) as u64 + self.team.bytes()
    }

    /// Runs all operations: reads the parameters from `weights` and the program's inputs from `inputs`, by their names, and writes
    /// its outputs and gradients to `outputs`, by theirs. Nothing is allocated; operands of layers in channels_first are
    /// transposed into memory of its own, and 16-bit weights widened piece by piece.
    ///
    /// Lengths are those of [`Shape::elements`](crate::ops::Shape::elements) for the batch; what the program has no buffer for
    /// is ignored.
    ///
    /// # Errors
    /// [`Error::NotGiven`](crate::Error::NotGiven) for an operand that isn't there and [`Error::Length`](crate::Error::Length) for
    /// one of another length; [`Error::Unsupported`](crate::Error::Unsupported) for weights of another type than their layer
    /// asks for. Nothing is written then.
    pub fn run(
        &mut self,
        weights: &Weights<'_>,
        inputs: &[(&str, &[f32])],
        outputs: &mut [(&str, &mut [f32])],
    ) -> Result<()> {
        let given = Given { weights, inputs, outputs };
        self.layout.resolve(&given)?;
        let Self { operations, layers, layout, staging, team, nanoseconds, batch } = self;
        let mut memory = layout.memory(given);
        team.enter(*nanoseconds, || {
            for (operation, layer) in operations.iter().zip(layers) {
                let id = operation.writes();
                let mut taken = memory.take(id);
                let written = memory.written(id, &mut taken);
                let run = Run { team, memory: &memory, staging, batch: *batch as usize };
                run.operation(operation, layer.as_deref(), written);
                memory.put(id, taken);
            }
        });
        Ok(())
    }
}

/// Whether a layer's operands have another order in channels_last.
fn is_staged(layer: &Geometry) -> bool {
    layer.config().data_format == DataFormat::ChannelsFirst
        && (layer.channels() > 1 && layer.positions() > 1 || layer.filters() > 1 && layer.locations() > 1)
}

/// What an operation runs with.
struct Run<'a, 'r, 'n, 'v> {
    team: &'a Team,
    memory: &'a Memory<'r, 'n, 'v>,
    staging: &'a mut Staging,
    batch: usize,
}

impl Run<'_, '_, '_, '_> {
    fn operation(self, operation: &Operation, layer: Option<&Layer>, written: &mut [f32]) {
        let (team, memory) = (self.team, self.memory);
        match (operation, layer) {
            (Operation::LocalForward(o), Some(layer)) => {
                self.forward(layer, (o.input, o.weights, o.bias), o.activation, written);
            }
            (Operation::LocalGradInput(o), Some(layer)) => self.grad_input(layer, (o.weights, o.grad_output), written),
            (Operation::LocalGradWeights(o), Some(layer)) => {
                self.grad_weights(layer, (o.input, o.grad_output), o.accumulate, written);
            }
            (Operation::GradBias(o), _) => {
                local::grad_bias(team, &o.layer, memory.read(o.grad_output), o.accumulate, written)
            }
            (Operation::Activate(o), _) => {
                activate::activate(team, o.activation, o.row as usize, memory.read(o.input), written);
            }
            (Operation::ActivateGrad(o), _) => {
                let operands = (memory.read(o.saved), memory.read(o.grad_output));
                activate::activate_grad(team, o.activation, o.row as usize, operands, written);
            }
            (Operation::Transpose(o), _) => {
                transpose::transpose(team, [o.rows as usize, o.columns as usize], memory.read(o.input), written);
            }
            (Operation::Pool(o), _) => pool::pool(team, o.kind, &o.windows, memory.read(o.input), written),
            (Operation::PoolGrad(o), _) => {
                let operands = (o.input.map_or(&[][..], |input| memory.read(input)), memory.read(o.grad_output));
                pool::pool_grad(team, (o.kind, o.ties), &o.windows, operands, written);
            }
            (Operation::Reduce(o), _) => reduce::reduce(team, o.kind, o.along, memory.read(o.input), written),
            (Operation::ReduceGrad(o), _) => {
                let operands = (o.input.map_or(&[][..], |input| memory.read(input)), memory.read(o.grad_output));
                reduce::reduce_grad(team, o.kind, o.along, operands, written);
            }
            (Operation::Rearrange(o), _) => rearrange::rearrange(team, &o.axes, memory.read(o.input), written),
            (Operation::RearrangeGrad(o), _) => {
                rearrange::rearrange_grad(team, &o.axes, memory.read(o.grad_output), written);
            }
            (Operation::Concatenate(o), _) => {
                let (mut first, all) = (0, o.columns());
                for part in &o.inputs {
                    rearrange::concatenate(team, part, (first, all), memory.read(part.input), written);
                    first += part.columns;
                }
            }
            (Operation::Combine(o), _) => {
                combine::combine(team, o, [o.a, o.b].map(|part| memory.read(part.buffer)), written);
            }
            (Operation::CombineGrad(o), _) => {
                let operands = [o.a, o.b].map(|part| memory.read(part.buffer));
                combine::combine_grad(team, o, operands, memory.read(o.grad_output), written);
            }
            (Operation::Sum(o), _) => combine::sum(team, o, memory.read(o.input), self.batch, written),
            (Operation::NormFactor(o), _) => {
                let gamma = o.gamma.map(|gamma| memory.read(gamma));
                normalise::norm_factor(o, memory.read(o.variance), gamma, written);
            }
            (Operation::Normalise(o), _) => {
                let (mean, factor) = (memory.read(o.mean), memory.read(o.factor));
                let by = normalise::Channels { mean, factor, beta: o.beta.map(|beta| memory.read(beta)) };
                normalise::normalise(team, o, memory.read(o.input), by, written);
            }
            (Operation::LayerNorm(o), _) => {
                let scale_shift = (o.gamma.map(|gamma| memory.read(gamma)), o.beta.map(|beta| memory.read(beta)));
                normalise::layer_norm(team, o, memory.read(o.input), scale_shift, written);
            }
            (Operation::LayerNormGrad(o), _) => {
                let (operands, gamma) = ((memory.read(o.input), memory.read(o.grad_output)), o.gamma);
                normalise::layer_norm_grad(team, o, operands, gamma.map(|gamma| memory.read(gamma)), written);
            }
            // Every operation of a layer has one.
            (Operation::LocalForward(_) | Operation::LocalGradInput(_) | Operation::LocalGradWeights(_), None) => {}
        }
    }

    fn forward(
        self,
        layer: &Layer,
        (input, weights, bias): (BufferId, BufferId, Option<BufferId>),
        activation: Activation,
        written: &mut [f32],
    ) {
        let Self { team, memory, staging, batch } = self;
        let (input, weights) = (memory.read(input), memory.view(weights));
        let bias = bias.map(|bias| memory.read(bias));
        let sizes = Sizes::of(&layer.geometry);
        if !is_staged(&layer.geometry) {
            let operands = local::ForwardOperands { batch, input, weights, bias };
            return local::forward(team, layer, operands, activation, written);
        }
        let input = sizes.input_last(team, input, &mut staging.input);
        let per_location = layer.geometry.config().bias == Bias::PerLocation;
        let bias = bias.map(|bias| if per_location { sizes.output_last(team, bias, &mut staging.bias) } else { bias });
        let output = &mut staging.output[..written.len()];
        local::forward(team, layer, local::ForwardOperands { batch, input, weights, bias }, activation, output);
        transpose::transpose(team, [sizes.locations, sizes.filters], output, written);
    }

    fn grad_input(self, layer: &Layer, (weights, grad_output): (BufferId, BufferId), written: &mut [f32]) {
        let Self { team, memory, staging, batch } = self;
        let (weights, grad_output) = (memory.view(weights), memory.read(grad_output));
        if !is_staged(&layer.geometry) {
            return local::grad_input(team, layer, local::GradInputOperands { batch, weights, grad_output }, written);
        }
        let sizes = Sizes::of(&layer.geometry);
        let grad_output = sizes.output_last(team, grad_output, &mut staging.output);
        let grad_input = &mut staging.input[..written.len()];
        local::grad_input(team, layer, local::GradInputOperands { batch, weights, grad_output }, grad_input);
        transpose::transpose(team, [sizes.positions, sizes.channels], grad_input, written);
    }

    fn grad_weights(
        self,
        layer: &Layer,
        (input, grad_output): (BufferId, BufferId),
        accumulate: bool,
        written: &mut [f32],
    ) {
        let Self { team, memory, staging, batch } = self;
        let (mut input, mut grad_output) = (memory.read(input), memory.read(grad_output));
        if is_staged(&layer.geometry) {
            let sizes = Sizes::of(&layer.geometry);
            input = sizes.input_last(team, input, &mut staging.input);
            grad_output = sizes.output_last(team, grad_output, &mut staging.output);
        }
        let operands = local::GradWeightsOperands { batch, input, grad_output };
        local::grad_weights(team, layer, operands, accumulate, written);
    }
}

/// The sides of a layer's inputs and outputs.
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

    /// Inputs in channels_last.
    fn input_last<'a>(&self, team: &Team, values: &[f32], room: &'a mut [f32]) -> &'a [f32] {
        let room = &mut room[..values.len()];
        transpose::transpose(team, [self.channels, self.positions], values, room);
        room
    }

    /// Outputs in channels_last.
    fn output_last<'a>(&self, team: &Team, values: &[f32], room: &'a mut [f32]) -> &'a [f32] {
        let room = &mut room[..values.len()];
        transpose::transpose(team, [self.filters, self.locations], values, room);
        room
    }
}

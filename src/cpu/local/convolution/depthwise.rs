//! Depthwise convolutions with one filter for each channel. Vectors go along channels, since a group's one filter would
//! fill only one number of them. So weights are reordered to `[taps][channels]`.

use super::room::CHANNELS;
use super::rows::AllRows;
use crate::config::{Activation, Bias};
use crate::cpu::functions;
use crate::cpu::local::gradient::Kept;
use crate::cpu::local::layer::Layer;
use crate::cpu::local::readers::Reader;
use crate::cpu::local::tile::{self, Begin, Sums, Terms, load};
use crate::cpu::local::windows::{BLOCK, Run};
use crate::cpu::local::{ForwardOperands, GradInputOperands, GradWeightsOperands};
use crate::cpu::shared::Shared;
use crate::cpu::team::{Room, Span, Team};
use crate::cpu::weights::View;
use crate::geometry::Geometry;
use pulp::{Simd, WithSimd};

/// `[channels][taps]` to `[taps][channels]`.
fn by_tap<'a>(layer: &Geometry, weights: View<'_>, room: &'a mut [f32]) -> &'a [f32] {
    let (taps, channels) = (layer.taps() as usize, layer.channels() as usize);
    let (all, own) = room.split_at_mut(taps * channels);
    for channel in 0..channels {
        for (to, weight) in
            all[channel..].iter_mut().step_by(channels).zip(weights.from(channel * taps).wide(taps, &mut own[..taps]))
        {
            *to = *weight;
        }
    }
    all
}

/// `output = activation(weights · window of input + bias)`.
pub(super) fn forward(team: &Team, layer: &Layer, operands: ForwardOperands<'_>, output: &mut [f32]) {
    let rows = AllRows::new(layer, 0, operands.batch);
    let products = rows.of_piece() * layer.geometry.taps() as usize * layer.geometry.channels() as usize;
    let output = Shared::new(output);
    team.each(rows.count(), 20 + products as u64 / 16, |span| Forward { team, layer, operands, output, span, rows });
}

struct Forward<'a> {
    team: &'a Team,
    layer: &'a Layer,
    operands: ForwardOperands<'a>,
    output: Shared<'a>,
    span: Span,
    rows: AllRows<'a>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, operands, output, .. } = self;
        let (channels, taps) = (layer.geometry.channels() as usize, layer.geometry.taps() as usize);
        let mut room = self.team.room();
        let weights = by_tap(&layer.geometry, operands.weights, &mut room.floats);
        for index in self.span.first..self.span.end {
            let Some(rows) = self.rows.piece(index) else { continue };
            let begin = match (operands.bias, layer.geometry.config().bias) {
                (Some(bias), Bias::PerFilter) => Begin::Row(bias),
                (Some(bias), Bias::PerLocation) => {
                    rows.put_bias(bias, output, 0..channels);
                    Begin::Held
                }
                _ => Begin::Zero,
            };
            let mut sums = Sums {
                values: output,
                first: rows.output,
                stride: rows.output_step,
                rows: rows.count,
                columns: channels,
                begin,
            };
            let mut runs = rows.runs(layer, 0, 0..taps);
            let mut is_due = true;
            loop {
                let (mut block, mut count) = (BLOCK, 0);
                for (to, run) in block.iter_mut().zip(&mut runs) {
                    *to = run;
                    count += 1;
                }
                if count == 0 && !is_due {
                    break;
                }
                let values = &operands.input[rows.input..];
                let terms = ByChannel { values, step: rows.input_step, weights, channels, met: &block[..count] };
                tile::all(simd, sums, &terms);
                (sums.begin, is_due) = (Begin::Held, false);
            }
            if operands.activation != Activation::Linear {
                for row in 0..rows.count {
                    // SAFETY: pieces of rows are apart, and this one's tiles are done.
                    let values = unsafe { output.part(rows.output + row * rows.output_step, channels) };
                    functions::activate(values, operands.activation);
                }
            }
        }
    }
}

/// What is multiplied by a weight of each channel, in the order of the sums: a tap's inputs, or a reader's gradient.
trait Met {
    /// Where the first channel's value is in a row of values.
    fn place(&self) -> usize;
    /// The tap whose weights are used.
    fn tap(&self) -> usize;
}

impl Met for Run {
    #[inline(always)]
    fn place(&self) -> usize {
        self.input
    }

    #[inline(always)]
    fn tap(&self) -> usize {
        self.row
    }
}

impl Met for Reader {
    #[inline(always)]
    fn place(&self) -> usize {
        self.output
    }

    /// The first channel has one weight for each tap.
    #[inline(always)]
    fn tap(&self) -> usize {
        self.weight
    }
}

/// Values multiplied by weights, channel by channel.
struct ByChannel<'a, M> {
    values: &'a [f32],
    /// The distance from one row's values to the next row's.
    step: usize,
    weights: &'a [f32],
    channels: usize,
    met: &'a [M],
}

impl<S: Simd, M: Met> Terms<S> for ByChannel<'_, M> {
    #[inline(always)]
    fn add<const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
        &self,
        simd: S,
        [row, column]: [usize; 2],
        sums: &mut [[S::f32s; VECTORS]; ROWS],
    ) {
        let width = (VECTORS * S::F32_LANES).min(self.channels - column);
        for met in self.met {
            let weights = &self.weights[met.tap() * self.channels + column..][..width];
            let weights = load::<S, VECTORS, TAIL>(simd, weights);
            for (m, sums) in sums.iter_mut().enumerate() {
                let values = &self.values[(row + m) * self.step + met.place() + column..][..width];
                for ((sum, value), weight) in sums.iter_mut().zip(load::<S, VECTORS, TAIL>(simd, values)).zip(weights) {
                    *sum = simd.mul_add_e_f32s(value, weight, *sum);
                }
            }
        }
    }
}

/// The gradient of each input: a sum over the locations that read it, of weights times gradients.
pub(in crate::cpu::local) fn grad_input(
    team: &Team,
    layer: &Layer,
    operands: GradInputOperands<'_>,
    grad_input: &mut [f32],
) {
    let geometry = &layer.geometry;
    let products = operands.batch * geometry.taps() as usize * geometry.channels() as usize;
    let grad_input = Shared::new(grad_input);
    team.each(geometry.positions() as usize, 20 + products as u64 / 16, |span| GradInput {
        team,
        layer,
        operands,
        grad_input,
        span,
    });
}

struct GradInput<'a> {
    team: &'a Team,
    layer: &'a Layer,
    operands: GradInputOperands<'a>,
    grad_input: Shared<'a>,
    span: Span,
}

impl WithSimd for GradInput<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, operands, .. } = self;
        let geometry = &*layer.geometry;
        let channels = geometry.channels() as usize;
        let mut room = self.team.room();
        let Room { floats, readers, .. } = &mut *room;
        let weights = by_tap(geometry, operands.weights, floats);
        for position in self.span.first..self.span.end {
            layer.readers.list(geometry, position, readers);
            let sums = Sums {
                values: self.grad_input,
                first: position * channels,
                stride: geometry.inputs() as usize,
                rows: operands.batch,
                columns: channels,
                begin: Begin::Zero,
            };
            let step = geometry.outputs() as usize;
            let terms = ByChannel { values: operands.grad_output, step, weights, channels, met: readers };
            tile::all(simd, sums, &terms);
        }
    }
}

/// The gradient of each weight: a sum over samples and locations.
pub(super) fn grad_weights(team: &Team, layer: &Layer, operands: GradWeightsOperands<'_>, kept: Kept<'_>) {
    let geometry = &layer.geometry;
    let rows = AllRows::new(layer, 0, operands.batch);
    let together = CHANNELS.min(geometry.channels() as usize);
    let products = rows.count() * rows.of_piece() * geometry.taps() as usize * together;
    let pieces = (geometry.channels() as usize).div_ceil(together);
    team.each(pieces, 20 + products as u64 / 16, |span| GradWeights { team, layer, operands, kept, span, rows });
}

struct GradWeights<'a> {
    team: &'a Team,
    layer: &'a Layer,
    operands: GradWeightsOperands<'a>,
    kept: Kept<'a>,
    span: Span,
    rows: AllRows<'a>,
}

impl WithSimd for GradWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, operands, .. } = self;
        let (channels, taps) = (layer.geometry.channels() as usize, layer.geometry.taps() as usize);
        let mut room = self.team.room();
        for piece in self.span.first..self.span.end {
            let first = piece * CHANNELS;
            let columns = CHANNELS.min(channels - first);
            let own = &mut room.floats[..taps * columns];
            own.fill(0.0);
            let values = Shared::new(own);
            for rows in (0..self.rows.count()).filter_map(|index| self.rows.piece(index)) {
                for run in rows.runs(layer, 0, 0..taps) {
                    let (row, begin) = (run.row * columns, Begin::Apart);
                    let sums = Sums { values, first: row, stride: columns, rows: 1, columns, begin };
                    let terms = Pairs {
                        count: rows.count,
                        input: &operands.input[rows.input + run.input + first..],
                        input_step: rows.input_step,
                        grad_output: &operands.grad_output[rows.output + first..],
                        output_step: rows.output_step,
                        columns,
                    };
                    tile::all(simd, sums, &terms);
                }
            }
            // SAFETY: pieces of channels are apart.
            let written = unsafe { self.kept.values.part(first * taps, columns * taps) };
            for (written, channel) in written.chunks_exact_mut(taps).zip(0..) {
                for (written, sum) in written.iter_mut().zip(room.floats[channel..].iter().step_by(columns)) {
                    *written = if self.kept.accumulate { *written + sum } else { *sum };
                }
            }
        }
    }
}

/// Inputs and gradients that are multiplied, channel by channel.
struct Pairs<'a> {
    count: usize,
    input: &'a [f32],
    input_step: usize,
    grad_output: &'a [f32],
    output_step: usize,
    columns: usize,
}

impl<S: Simd> Terms<S> for Pairs<'_> {
    #[inline(always)]
    fn add<const ROWS: usize, const VECTORS: usize, const TAIL: bool>(
        &self,
        simd: S,
        [_, column]: [usize; 2],
        sums: &mut [[S::f32s; VECTORS]; ROWS],
    ) {
        let width = (VECTORS * S::F32_LANES).min(self.columns - column);
        for at in 0..self.count {
            let inputs = load::<S, VECTORS, TAIL>(simd, &self.input[at * self.input_step + column..][..width]);
            let grads = load::<S, VECTORS, TAIL>(simd, &self.grad_output[at * self.output_step + column..][..width]);
            // The sums are of one tap, so there is one row of them.
            for sums in sums.iter_mut() {
                for ((sum, input), grad) in sums.iter_mut().zip(inputs).zip(grads) {
                    *sum = simd.mul_add_e_f32s(input, grad, *sum);
                }
            }
        }
    }
}

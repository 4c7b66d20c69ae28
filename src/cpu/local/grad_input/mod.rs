//! `LocalGradInput`: each input's gradient is a sum over the cells that read it, of weights times gradients by the
//! output.
//!
//! With several samples, vectors go along samples (`by_samples`): weights are read in order, one number for all
//! samples. With few samples, vectors go along filters (`by_filters`), and their parts are added in the end.

mod by_filters;
mod by_samples;
mod room;

pub(super) use room::floats;

use super::convolution;
use super::layer::Layer;
use super::narrow::{self, Narrow};
use super::operands::GradInputOperands as Operands;
use crate::cpu::team::Team;
use crate::cpu::weights::View;

/// With this many samples, vectors go along samples.
const SAMPLES: usize = 8;

/// Each input element's gradient, `[batch][inputs]` in channels_last.
pub(in crate::cpu) fn grad_input(team: &Team, layer: &Layer, operands: Operands<'_>, grad_input: &mut [f32]) {
    if let Some((one, batch)) = layer.as_one_location(operands.batch) {
        return self::grad_input(team, one, Operands { batch, ..operands }, grad_input);
    }
    if convolution::is_depthwise(&layer.geometry) {
        return convolution::depthwise_grad_input(team, layer, operands, grad_input);
    }
    // An outer axis of one position may have a longer window, whose other taps are clipped or wrap around, or one that misses the position.
    let one_axis = layer.geometry.axes().is_none_or(|[outer @ .., _]| {
        outer.iter().all(|a| [a.input, a.output, a.taps] == [1; 3] && a.connected() == 1)
    });
    if let (Some(narrow), View::F32(weights), true) = (Narrow::of(layer, operands.batch), operands.weights, one_axis) {
        return narrow::grad_input(team, narrow, (weights, operands.grad_output), grad_input);
    }
    match layer.geometry.axes() {
        Some([.., inner]) if operands.batch >= SAMPLES => {
            by_samples::grad_input(team, by_samples::Windowed { layer, inner }, operands, grad_input);
        }
        _ => by_filters::grad_input(team, layer, operands, grad_input),
    }
}

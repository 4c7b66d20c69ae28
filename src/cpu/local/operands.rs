//! What the operations of layers read.

use crate::config::Activation;
use crate::cpu::weights::View;

/// Operands `[batch][inputs]` and results `[batch][outputs]`, both in channels_last. The bias lies as an output sample
/// does, or has one number for each filter.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct ForwardOperands<'a> {
    pub(in crate::cpu) batch: usize,
    pub(in crate::cpu) input: &'a [f32],
    pub(in crate::cpu) weights: View<'a>,
    pub(in crate::cpu) bias: Option<&'a [f32]>,
    pub(in crate::cpu) activation: Activation,
}

/// The gradient by the output, `[batch][outputs]` in channels_last, and the weights.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct GradInputOperands<'a> {
    pub(in crate::cpu) batch: usize,
    pub(in crate::cpu) weights: View<'a>,
    pub(in crate::cpu) grad_output: &'a [f32],
}

/// `[batch][inputs]` and `[batch][outputs]` in channels_last.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct GradWeightsOperands<'a> {
    pub(in crate::cpu) batch: usize,
    pub(in crate::cpu) input: &'a [f32],
    pub(in crate::cpu) grad_output: &'a [f32],
}

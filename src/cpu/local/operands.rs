//! What the operations read, and what becomes of their sums.

use crate::config::Activation;
use crate::cpu::weights::View;

/// `[batch][inputs]` to `[batch][outputs]`, both in channels_last; the bias lies as a sample of the output does, or is one of
/// filters.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct ForwardOperands<'a> {
    pub(in crate::cpu) batch: usize,
    pub(in crate::cpu) input: &'a [f32],
    pub(in crate::cpu) weights: View<'a>,
    pub(in crate::cpu) bias: Option<&'a [f32]>,
    pub(in crate::cpu) activation: Activation,
}

/// `[batch][outputs]` in channels_last.
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

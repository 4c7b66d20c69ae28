//! Operations element by element or row by row.

use super::{BufferId, Describe, Operand};
use crate::config::Activation;

/// `output = activation(input)`. An activation over rows goes along rows of `row` elements.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Activate {
    /// Any activation.
    pub activation: Activation,
    /// Elements of a sample.
    pub elements: u64,
    /// Elements of a row: the last axis.
    pub row: u64,
    /// `[batch][elements]`.
    pub input: BufferId,
    /// `[batch][elements]`, after the activation.
    pub output: BufferId,
}

/// `grad_input = grad_output · activation'`, the derivative from what [`Activation::saved`] says.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ActivateGrad {
    /// Any activation but [`Activation::Linear`].
    pub activation: Activation,
    /// Elements of a sample.
    pub elements: u64,
    /// Elements of a row: the last axis.
    pub row: u64,
    /// `[batch][elements]`: the activation's output, or its input if the output isn't enough.
    pub saved: BufferId,
    /// `[batch][elements]`.
    pub grad_output: BufferId,
    /// `[batch][elements]`, before the activation.
    pub grad_input: BufferId,
}

/// Transposes each sample from `[rows][columns]` to `[columns][rows]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Transpose {
    /// Rows of an input sample.
    pub rows: u64,
    /// Columns of an input sample.
    pub columns: u64,
    /// `[batch][rows][columns]`.
    pub input: BufferId,
    /// `[batch][columns][rows]`.
    pub output: BufferId,
}

/// What is wrong if a sample isn't a whole number of rows, or has none.
pub(super) fn rows_fault(elements: u64, row: u64) -> Option<&'static str> {
    if elements == 0 {
        return Some("a sample has no elements");
    }
    (row == 0 || !elements.is_multiple_of(row)).then_some("a sample isn't made of its rows")
}

impl Describe for Activate {
    fn name(&self) -> &'static str {
        "activate"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.input]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        [self.input, self.output].map(|id| Operand::samples(id, self.elements)).into()
    }

    fn fault(&self) -> Option<&'static str> {
        rows_fault(self.elements, self.row)
    }
}

impl Describe for ActivateGrad {
    fn name(&self) -> &'static str {
        "activate_grad"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.saved, self.grad_output]
    }

    fn writes(&self) -> BufferId {
        self.grad_input
    }

    fn operands(&self) -> Vec<Operand> {
        [self.saved, self.grad_output, self.grad_input].map(|id| Operand::samples(id, self.elements)).into()
    }

    fn fault(&self) -> Option<&'static str> {
        let nothing = (self.activation == Activation::Linear).then_some("it has nothing to derive");
        rows_fault(self.elements, self.row).or(nothing)
    }
}

impl Describe for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.input]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let elements = self.rows.saturating_mul(self.columns);
        [self.input, self.output].map(|id| Operand::samples(id, elements)).into()
    }

    fn fault(&self) -> Option<&'static str> {
        (self.rows == 0 || self.columns == 0).then_some("it has no rows or no columns")
    }
}

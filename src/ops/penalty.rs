//! Penalties on parameters and activations, their gradients, and sums over whole buffers, such as the norms that
//! gradients are clipped by.

use super::describe::accumulates;
use super::{BufferId, Describe, Operand, Shape};
use crate::config::OrthogonalMode;

/// `output = l1·sign(of) + 2·l2·of`, the gradient of Keras's `l1·Σ|of| + l2·Σof²`. With a step, for penalties on
/// activities, it is multiplied by the step's `per_sample`. The sign of 0 is 0.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PenaltyGrad {
    /// The factor of `Σ|of|`.
    pub l1: f32,
    /// The factor of `Σof²`.
    pub l2: f32,
    /// The shape of `of` and of `output`.
    pub shape: Shape,
    /// What is penalised: a parameter, or the samples of an activity.
    pub of: BufferId,
    /// [`StepNumbers`](super::StepNumbers), of which it reads `per_sample`.
    pub step: Option<BufferId>,
    /// The gradient.
    pub output: BufferId,
    /// Adds to the values in `output`, for example to the gradient of a loss.
    pub accumulate: bool,
}

/// What [`Total`] sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Term {
    /// The values.
    Value,
    /// Their magnitudes.
    Magnitude,
    /// Their squares.
    Square,
}

/// `output = factor·Σ term(input)` over a whole buffer, in parts of at most 4,096 terms that are added in their order.
/// With a step, the sum is multiplied by the step's `per_sample`.
///
/// It gives values of penalties, sums of losses, and the squared norms that gradients are clipped by.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Total {
    /// What is summed.
    pub of: Term,
    /// The factor of the sum.
    pub factor: f32,
    /// The shape of `input`.
    pub shape: Shape,
    /// Any buffer of 32-bit floats.
    pub input: BufferId,
    /// [`StepNumbers`](super::StepNumbers), of which it reads `per_sample`.
    pub step: Option<BufferId>,
    /// `[1]`.
    pub output: BufferId,
    /// Adds to the value in `output`.
    pub accumulate: bool,
}

/// The factor by which a gradient's norm becomes at most `limit`, as with Keras's `clipnorm`: `limit / max(√squares,
/// limit)`. For the norm of all gradients (`global_clipnorm`) it is NaN if the norm isn't finite: TensorFlow's two
/// functions differ in that.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClipScale {
    /// The largest norm, above 0.
    pub limit: f32,
    /// Whether the norm is that of all gradients.
    pub global: bool,
    /// `[1]`: the sum of the squares of the gradients.
    pub squares: BufferId,
    /// `[1]`.
    pub output: BufferId,
}

/// How far a matrix's rows or columns are from orthogonal, as in Keras's `OrthogonalRegularizer`: `factor` times the
/// mean magnitude of the products of two different ones, each divided by its norm.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Orthogonal {
    /// The factor of the mean.
    pub factor: f32,
    /// Whether rows or columns are to be orthogonal.
    pub mode: OrthogonalMode,
    /// Rows of the matrix.
    pub rows: u64,
    /// Columns of the matrix.
    pub columns: u64,
    /// The shape of `input`, of `rows · columns` elements.
    pub shape: Shape,
    /// `[rows][columns]`.
    pub input: BufferId,
    /// `[1]`.
    pub output: BufferId,
    /// Adds to the value in `output`.
    pub accumulate: bool,
}

/// The gradient of [`Orthogonal`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OrthogonalGrad {
    /// The factor of the mean.
    pub factor: f32,
    /// Whether rows or columns are to be orthogonal.
    pub mode: OrthogonalMode,
    /// Rows of the matrix.
    pub rows: u64,
    /// Columns of the matrix.
    pub columns: u64,
    /// The shape of `input` and of `grad`, of `rows · columns` elements.
    pub shape: Shape,
    /// `[rows][columns]`.
    pub input: BufferId,
    /// `[rows][columns]`.
    pub grad: BufferId,
    /// Adds to the values in `grad`.
    pub accumulate: bool,
}

/// The vectors of a matrix that should be orthogonal: element `c` of vector `i` is number `i·vector + c·element`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vectors {
    pub(crate) count: u64,
    pub(crate) length: u64,
    pub(crate) vector: u64,
    pub(crate) element: u64,
}

impl Vectors {
    fn new(mode: OrthogonalMode, rows: u64, columns: u64) -> Self {
        match mode {
            OrthogonalMode::Rows => Self { count: rows, length: columns, vector: columns, element: 1 },
            OrthogonalMode::Columns => Self { count: columns, length: rows, vector: 1, element: columns },
        }
    }

    /// The factor of each product's magnitude; each pair counts twice.
    pub(crate) fn share(&self, factor: f32) -> f64 {
        f64::from(factor) / (self.count as f64 * (self.count as f64 - 1.0))
    }

    fn fault(&self, shape: &Shape) -> Option<&'static str> {
        if self.count < 2 || self.length == 0 {
            return Some("orthogonal are two vectors at least");
        }
        let elements = self.count.checked_mul(self.length);
        (elements != Some(shape.elements(1)) || matches!(shape, Shape::Samples(_)))
            .then_some("its matrix has another number of elements")
    }
}

impl Orthogonal {
    pub(crate) fn vectors(&self) -> Vectors {
        Vectors::new(self.mode, self.rows, self.columns)
    }
}

impl OrthogonalGrad {
    pub(crate) fn vectors(&self) -> Vectors {
        Vectors::new(self.mode, self.rows, self.columns)
    }
}

impl Describe for PenaltyGrad {
    fn name(&self) -> &'static str {
        "penalty_grad"
    }

    fn reads(&self) -> Vec<BufferId> {
        [self.of].into_iter().chain(self.step).collect()
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let both = [self.of, self.output].map(|id| Operand::of(id, self.shape.clone()));
        both.into_iter().chain(self.step.map(Operand::step)).collect()
    }

    accumulates!();
}

impl Describe for Total {
    fn name(&self) -> &'static str {
        "total"
    }

    fn reads(&self) -> Vec<BufferId> {
        [self.input].into_iter().chain(self.step).collect()
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let both = [Operand::of(self.input, self.shape.clone()), Operand::of(self.output, Shape::Fixed(1))];
        both.into_iter().chain(self.step.map(Operand::step)).collect()
    }

    accumulates!();
}

impl Describe for ClipScale {
    fn name(&self) -> &'static str {
        "clip_scale"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.squares]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        [self.squares, self.output].map(|id| Operand::of(id, Shape::Fixed(1))).into()
    }

    fn fault(&self) -> Option<&'static str> {
        let above = self.limit > 0.0 && self.limit.is_finite();
        (!above).then_some("no norm is limited to that")
    }
}

impl Describe for Orthogonal {
    fn name(&self) -> &'static str {
        "orthogonal"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.input]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        vec![Operand::of(self.input, self.shape.clone()), Operand::of(self.output, Shape::Fixed(1))]
    }

    fn fault(&self) -> Option<&'static str> {
        self.vectors().fault(&self.shape)
    }

    accumulates!();
}

impl Describe for OrthogonalGrad {
    fn name(&self) -> &'static str {
        "orthogonal_grad"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.input]
    }

    fn writes(&self) -> BufferId {
        self.grad
    }

    fn operands(&self) -> Vec<Operand> {
        [self.input, self.grad].map(|id| Operand::of(id, self.shape.clone())).into()
    }

    fn fault(&self) -> Option<&'static str> {
        self.vectors().fault(&self.shape)
    }

    accumulates!();
}

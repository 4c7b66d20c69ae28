//! Losses, their gradients and accuracy, by Keras 2.15's formulas.
//!
//! A prediction is rows of classes: the classes are its last axis in every data format, the rows are all axes before
//! it. Keras takes a loss along the last axis, then the mean over rows and samples. Here each sample has its own loss,
//! and whoever runs the program adds them.

use super::{BufferId, Describe, Operand};

/// The loss of a prediction `p` and a target `t`. Formulas and clipping are those of Keras 2.15's modules `losses` and
/// `backend`, with ε = 10⁻⁷.
///
/// Smoothed targets are `t·(1 − s) + s/2` (binary) and `t·(1 − s) + s/classes` (categorical), where s is
/// `label_smoothing`.
///
/// **Logits** aren't clipped. If a softmax or sigmoid gives the prediction, Keras takes the value before it as logits.
/// Whoever makes a program decides which of the two `p` is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum LossKind {
    /// The mean of `(p − t)²`.
    MeanSquaredError,
    /// The mean of `|p − t|`; its slope is 0 where they are equal.
    MeanAbsoluteError,
    /// The mean of `(p − t)²/2` where `|p − t| ≤ delta`, else of `delta·|p − t| − delta²/2`.
    Huber {
        /// Where the loss becomes linear; Keras's default is 1.
        delta: f32,
    },
    /// The mean of `−(t·log(p + ε) + (1 − t)·log(1 − p + ε))`, where p is clipped to \[ε, 1 − ε\] and has slope 0
    /// outside. For logits the mean of `max(p, 0) − p·t + log(1 + e^−|p|)`.
    BinaryCrossentropy {
        /// Whether `p` is before the sigmoid.
        from_logits: bool,
        /// From 0 to 1.
        label_smoothing: f32,
    },
    /// `−Σ t·log(p / Σp)`, where `p / Σp` is clipped to \[ε, 1 − ε\]. For logits `−Σ t·log softmax(p)`, for whose
    /// gradient TensorFlow takes `softmax(p) − t` even if t doesn't add up to 1.
    CategoricalCrossentropy {
        /// Whether `p` is before the softmax.
        from_logits: bool,
        /// From 0 to 1.
        label_smoothing: f32,
    },
    /// `−log softmax(log p)` at the target's class, where p is clipped to \[ε, 1 − ε\]. For logits `−log softmax(p)`.
    /// Targets are class numbers, rounded towards 0; a number that is no class gives NaN, as in TensorFlow on GPUs.
    SparseCategoricalCrossentropy {
        /// Whether `p` is before the softmax.
        from_logits: bool,
    },
}

/// Keras's accuracies: which predictions are right.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum HitsKind {
    /// Each element is right if its target is 1 and the prediction is above the threshold, or its target is 0 and the
    /// prediction isn't.
    Binary {
        /// The threshold; Keras's default is 0.5.
        threshold: f32,
    },
    /// A row is right if its largest prediction is at the place of its largest target. Of several equal ones the first
    /// counts, and NaN counts as smaller than all else.
    Categorical,
    /// A row is right if its largest prediction is at the place that its target says.
    Sparse,
}

/// A prediction and its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Judged {
    /// Rows of a sample: the product of all axes of the prediction but the last.
    pub rows: u64,
    /// Elements of a row: the last axis.
    pub classes: u64,
    /// `[batch][rows][classes]`.
    pub prediction: BufferId,
    /// The same shape, or `[batch][rows]` if targets are class numbers.
    pub target: BufferId,
    /// `[batch]`: the factor of each sample's value.
    pub sample_weight: Option<BufferId>,
}

/// `output = weight · mean over rows of the loss`, for each sample.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Loss {
    /// The formula.
    pub kind: LossKind,
    /// The prediction, its target and the samples' weights.
    pub of: Judged,
    /// `[batch]`.
    pub output: BufferId,
}

/// The gradient of `per_sample · Σ` of the samples' losses, by the prediction or, for losses of logits, by the logits.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LossGrad {
    /// The formula.
    pub kind: LossKind,
    /// The prediction, its target and the samples' weights.
    pub of: Judged,
    /// The step's numbers ([`StepNumbers`](super::StepNumbers)), of which it reads `per_sample`, 1 / batch.
    pub step: BufferId,
    /// `[batch][rows][classes]`.
    pub grad: BufferId,
}

/// `output = weight · right predictions / (rows, or rows · classes)`, for each sample.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Hits {
    /// Which predictions are right.
    pub kind: HitsKind,
    /// The prediction, its target and the samples' weights.
    pub of: Judged,
    /// `[batch]`.
    pub output: BufferId,
}

/// How targets are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Targets {
    /// One for each element of the prediction.
    Values,
    /// One for each row.
    Classes,
}

/// 32-bit floats represent class numbers up to this exactly.
const MOST_CLASSES: u64 = 1 << 24;

impl LossKind {
    /// How its targets are given.
    pub(crate) const fn targets(self) -> Targets {
        match self {
            Self::SparseCategoricalCrossentropy { .. } => Targets::Classes,
            _ => Targets::Values,
        }
    }

    /// The two numbers by which targets are smoothed: `t · first + second`.
    pub(crate) fn smoothing(self, classes: u64) -> [f64; 2] {
        let by = |smoothing: f32, share: f64| [1.0 - f64::from(smoothing), f64::from(smoothing) / share];
        match self {
            Self::BinaryCrossentropy { label_smoothing, .. } => by(label_smoothing, 2.0),
            Self::CategoricalCrossentropy { label_smoothing, .. } => by(label_smoothing, classes as f64),
            _ => [1.0, 0.0],
        }
    }

    fn fault(self) -> Option<&'static str> {
        match self {
            Self::Huber { delta } if delta.is_nan() => Some("its delta is not a number"),
            Self::BinaryCrossentropy { label_smoothing, .. }
            | Self::CategoricalCrossentropy { label_smoothing, .. }
                if !(0.0..=1.0).contains(&label_smoothing) =>
            {
                Some("its label smoothing is not from 0 to 1")
            }
            _ => None,
        }
    }
}

impl HitsKind {
    /// How its targets are given.
    pub(crate) const fn targets(self) -> Targets {
        if matches!(self, Self::Sparse) { Targets::Classes } else { Targets::Values }
    }
}

impl Judged {
    /// Elements of a sample's prediction.
    pub(crate) const fn elements(&self) -> u64 {
        self.rows.saturating_mul(self.classes)
    }

    /// Elements of a sample's targets.
    pub(crate) const fn targets(&self, lie: Targets) -> u64 {
        match lie {
            Targets::Values => self.elements(),
            Targets::Classes => self.rows,
        }
    }

    fn reads(&self) -> Vec<BufferId> {
        [self.prediction, self.target].into_iter().chain(self.sample_weight).collect()
    }

    fn operands(&self, lie: Targets) -> Vec<Operand> {
        let (prediction, target) = ((self.prediction, self.elements()), (self.target, self.targets(lie)));
        let weight = self.sample_weight.map(|weight| (weight, 1));
        [prediction, target].into_iter().chain(weight).map(|(id, elements)| Operand::samples(id, elements)).collect()
    }

    fn fault(&self, lie: Targets) -> Option<&'static str> {
        if self.rows == 0 || self.classes == 0 {
            return Some("it has no rows or no classes");
        }
        if self.elements() > u32::MAX.into() {
            return Some("a sample has more than 2³² elements");
        }
        (lie == Targets::Classes && self.classes > MOST_CLASSES).then_some("it has more than 2²⁴ classes")
    }
}

impl Describe for Loss {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn reads(&self) -> Vec<BufferId> {
        self.of.reads()
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let output = Operand::samples(self.output, 1);
        self.of.operands(self.kind.targets()).into_iter().chain([output]).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        self.of.fault(self.kind.targets()).or(self.kind.fault())
    }
}

impl Describe for LossGrad {
    fn name(&self) -> &'static str {
        "loss_grad"
    }

    fn reads(&self) -> Vec<BufferId> {
        self.of.reads().into_iter().chain([self.step]).collect()
    }

    fn writes(&self) -> BufferId {
        self.grad
    }

    fn operands(&self) -> Vec<Operand> {
        let own = [Operand::step(self.step), Operand::samples(self.grad, self.of.elements())];
        self.of.operands(self.kind.targets()).into_iter().chain(own).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        self.of.fault(self.kind.targets()).or(self.kind.fault())
    }
}

impl Describe for Hits {
    fn name(&self) -> &'static str {
        "hits"
    }

    fn reads(&self) -> Vec<BufferId> {
        self.of.reads()
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let output = Operand::samples(self.output, 1);
        self.of.operands(self.kind.targets()).into_iter().chain([output]).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        self.of.fault(self.kind.targets())
    }
}

//! Losses, their gradients and accuracy: what a training step makes of predictions and targets, in Keras 2.15's formulas.
//!
//! A prediction is rows of classes: its last axis, in every data format, and all axes before it. Keras takes a loss along the last
//! axis and then the mean over rows and samples; here each sample has its own, and whoever runs the program adds them.

use super::{BufferId, Describe, Operand};

/// What a loss is of a prediction `p` and a target `t`. The formulas and their clipping are Keras 2.15's, of
/// its modules `losses` and `backend`, ε being 10⁻⁷.
///
/// Smoothed targets are `t·(1 − s) + s/2` (binary) and `t·(1 − s) + s/classes` (categorical), s being `label_smoothing`.
///
/// **Logits** are taken as they are: Keras looks behind a softmax or sigmoid that gives the prediction and takes what is before
/// it, unclipped. Whoever makes a program decides which of the two `p` is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum LossKind {
    /// The mean of `(p − t)²`.
    MeanSquaredError,
    /// The mean of `|p − t|`; its slope is 0 where they are equal.
    MeanAbsoluteError,
    /// The mean of `(p − t)²/2` where `|p − t| ≤ delta`, else of `delta·|p − t| − delta²/2`.
    Huber {
        /// Where it becomes linear; Keras's is 1.
        delta: f32,
    },
    /// The mean of `−(t·log(p + ε) + (1 − t)·log(1 − p + ε))`, p clipped to \[ε, 1 − ε\], outside of which its slope is 0; of logits that of
    /// `max(p, 0) − p·t + log(1 + e^−|p|)`.
    BinaryCrossentropy {
        /// Whether `p` is before the sigmoid.
        from_logits: bool,
        /// From 0 to 1.
        label_smoothing: f32,
    },
    /// `−Σ t·log(p / Σp)`, `p / Σp` clipped to \[ε, 1 − ε\]; of logits `−Σ t·log softmax(p)`, whose gradient TensorFlow takes to be
    /// `softmax(p) − t`, also where t doesn't add up to 1.
    CategoricalCrossentropy {
        /// Whether `p` is before the softmax.
        from_logits: bool,
        /// From 0 to 1.
        label_smoothing: f32,
    },
    /// `−log softmax(log p)` at the target's class, p clipped to \[ε, 1 − ε\]; of logits `−log softmax(p)`. Targets are class numbers, cut
    /// off to whole ones; NaN where there is no such class, as TensorFlow has it on GPUs.
    SparseCategoricalCrossentropy {
        /// Whether `p` is before the softmax.
        from_logits: bool,
    },
}

/// What counts as a hit: Keras's accuracies.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum HitsKind {
    /// Each element whose target is 1 where the prediction is above the threshold, and 0 where not.
    Binary {
        /// Keras's is 0.5.
        threshold: f32,
    },
    /// Each row whose largest prediction has the place of its largest target; of several equal ones the first, and NaN is smaller
    /// than all else.
    Categorical,
    /// Each row whose largest prediction has the place that its target says.
    Sparse,
}

/// What is judged: a prediction beside its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Judged {
    /// Rows of a sample: the product of all axes of the prediction but the last.
    pub rows: u64,
    /// Elements of a row: the last axis.
    pub classes: u64,
    /// `[batch][rows][classes]`.
    pub prediction: BufferId,
    /// The same, or `[batch][rows]` where targets are class numbers.
    pub target: BufferId,
    /// `[batch]`: what each sample's value is multiplied by.
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

/// The gradient of `per_sample · Σ` of the samples' losses by the prediction, or by the logits where the loss is from these.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LossGrad {
    /// The formula.
    pub kind: LossKind,
    /// The prediction, its target and the samples' weights.
    pub of: Judged,
    /// The step's numbers ([`StepNumbers`](super::StepNumbers)): `per_sample`, 1 by the batch, is read.
    pub step: BufferId,
    /// `[batch][rows][classes]`.
    pub grad: BufferId,
}

/// `output = weight · hits / (rows, or rows · classes)`, for each sample.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Hits {
    /// What counts as a hit.
    pub kind: HitsKind,
    /// The prediction, its target and the samples' weights.
    pub of: Judged,
    /// `[batch]`.
    pub output: BufferId,
}

/// How targets lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Targets {
    /// One for each element of the prediction.
    Values,
    /// One for each row.
    Classes,
}

/// Class numbers are exact in 32-bit floats up to it.
const MOST_CLASSES: u64 = 1 << 24;

impl LossKind {
    /// How its targets lie.
    pub(crate) const fn targets(self) -> Targets {
        match self {
            Self::SparseCategoricalCrossentropy { .. } => Targets::Classes,
            _ => Targets::Values,
        }
    }

    /// What smoothed targets are `t · first + second` by.
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
    /// How its targets lie.
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

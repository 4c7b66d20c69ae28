//! Losses and metrics, by Keras's names and arguments.

use crate::ops::HitsKind;
pub use crate::ops::LossKind as Loss;
use crate::{Error, Result};

/// Keras's losses that aren't supported, by all of their names, in lower case.
const OTHER_LOSSES: [&str; 24] = [
    "mape",
    "mean_absolute_percentage_error",
    "meanabsolutepercentageerror",
    "msle",
    "mean_squared_logarithmic_error",
    "meansquaredlogarithmicerror",
    "kld",
    "kl_divergence",
    "kldivergence",
    "kullback_leibler_divergence",
    "logcosh",
    "log_cosh",
    "hinge",
    "squared_hinge",
    "squaredhinge",
    "categorical_hinge",
    "categoricalhinge",
    "poisson",
    "cosine_similarity",
    "cosinesimilarity",
    "binary_focal_crossentropy",
    "binaryfocalcrossentropy",
    "categorical_focal_crossentropy",
    "categoricalfocalcrossentropy",
];

impl Loss {
    /// The loss that Keras 2.15's `losses.get` finds by `name`, a function or a class, with its default arguments. Case matters.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for other losses of Keras's, [`Error::UnknownValue`] for any other name.
    pub fn from_keras_name(name: &str) -> Result<Self> {
        let (from_logits, label_smoothing) = (false, 0.0);
        Ok(match name {
            "mse" | "MSE" | "mean_squared_error" | "MeanSquaredError" => Self::MeanSquaredError,
            "mae" | "MAE" | "mean_absolute_error" | "MeanAbsoluteError" => Self::MeanAbsoluteError,
            "huber" | "huber_loss" | "Huber" => Self::Huber { delta: 1.0 },
            "bce" | "BCE" | "binary_crossentropy" | "BinaryCrossentropy" => {
                Self::BinaryCrossentropy { from_logits, label_smoothing }
            }
            "categorical_crossentropy" | "CategoricalCrossentropy" => {
                Self::CategoricalCrossentropy { from_logits, label_smoothing }
            }
            "sparse_categorical_crossentropy" | "SparseCategoricalCrossentropy" => {
                Self::SparseCategoricalCrossentropy { from_logits }
            }
            other if OTHER_LOSSES.contains(&other.to_ascii_lowercase().as_str()) => {
                return Err(not_here(format!("the loss {other}")));
            }
            _ => return Err(unknown("loss", name)),
        })
    }

    /// The name of Keras's function of this loss.
    #[must_use]
    pub fn keras_name(&self) -> &'static str {
        match self {
            Self::MeanSquaredError => "mean_squared_error",
            Self::MeanAbsoluteError => "mean_absolute_error",
            Self::Huber { .. } => "huber",
            Self::BinaryCrossentropy { .. } => "binary_crossentropy",
            Self::CategoricalCrossentropy { .. } => "categorical_crossentropy",
            Self::SparseCategoricalCrossentropy { .. } => "sparse_categorical_crossentropy",
        }
    }

    /// Whether each row's target is a class number.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        matches!(self, Self::SparseCategoricalCrossentropy { .. })
    }

    /// Whether Keras computes this loss from the value before a softmax or a sigmoid, if the output comes straight from
    /// one.
    pub(super) fn is_crossentropy(&self) -> bool {
        matches!(
            self,
            Self::BinaryCrossentropy { .. }
                | Self::CategoricalCrossentropy { .. }
                | Self::SparseCategoricalCrossentropy { .. }
        )
    }

    /// The same loss, of logits.
    pub(super) fn with_logits(mut self) -> Self {
        if let Self::BinaryCrossentropy { from_logits, .. }
        | Self::CategoricalCrossentropy { from_logits, .. }
        | Self::SparseCategoricalCrossentropy { from_logits } = &mut self
        {
            *from_logits = true;
        }
        self
    }

    /// Whether its arguments are valid.
    ///
    /// # Errors
    /// [`Error::UnknownValue`].
    pub fn check(&self) -> Result<()> {
        let (argument, expected, value) = match *self {
            Self::Huber { delta } if !(delta.is_finite() && delta >= 0.0) => ("delta", "a number of at least 0", delta),
            Self::BinaryCrossentropy { label_smoothing, .. }
            | Self::CategoricalCrossentropy { label_smoothing, .. }
                if !(0.0..=1.0).contains(&label_smoothing) =>
            {
                ("label_smoothing", "from 0 to 1", label_smoothing)
            }
            _ => return Ok(()),
        };
        Err(Error::UnknownValue { argument, expected, value: value.to_string() })
    }
}

fn not_here(what: String) -> Error {
    let with = "here: mean_squared_error, mean_absolute_error, huber, binary_crossentropy, categorical_crossentropy and \
                sparse_categorical_crossentropy are";
    Error::Unsupported { what, with: with.into() }
}

fn unknown(argument: &'static str, name: &str) -> Error {
    let expected = "mse, mae, huber, binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy, or, for a metric, \
                    accuracy, binary_accuracy, categorical_accuracy, sparse_categorical_accuracy";
    Error::UnknownValue { argument, expected, value: name.to_owned() }
}

/// A number that is computed besides the loss, and its name in a history.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Metric {
    /// The name by which Keras writes it into its history: the one the user gave.
    pub name: String,
    /// What is computed.
    pub kind: MetricKind,
}

/// What a [`Metric`] computes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MetricKind {
    /// The accuracy that fits the output: [`MetricKind::BinaryAccuracy`] at 0.5 for rows of one output,
    /// [`MetricKind::SparseCategoricalAccuracy`] for class numbers, else [`MetricKind::CategoricalAccuracy`].
    Accuracy,
    /// The crossentropy that fits the output, by the same rule.
    Crossentropy,
    /// The share of outputs that are on the same side of the threshold as their targets.
    BinaryAccuracy {
        /// Predictions above it count as 1; Keras's default is 0.5.
        threshold: f32,
    },
    /// The share of rows in which output and target are largest at the same place.
    CategoricalAccuracy,
    /// The share of rows in which the output is largest at the target's class.
    SparseCategoricalAccuracy,
    /// The mean of a loss.
    Loss(Loss),
}

impl Metric {
    /// The metric that Keras 2.15's `compile` finds by `name`, with its default arguments. Case matters.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for losses of Keras's that aren't supported here, [`Error::UnknownValue`] for any other
    /// name.
    pub fn from_keras_name(name: &str) -> Result<Self> {
        let kind = match name {
            "accuracy" | "acc" => MetricKind::Accuracy,
            "crossentropy" | "ce" => MetricKind::Crossentropy,
            "binary_accuracy" | "BinaryAccuracy" => MetricKind::BinaryAccuracy { threshold: 0.5 },
            "categorical_accuracy" | "CategoricalAccuracy" => MetricKind::CategoricalAccuracy,
            "sparse_categorical_accuracy" | "SparseCategoricalAccuracy" => MetricKind::SparseCategoricalAccuracy,
            // Keras has no metrics of these losses' names.
            "Huber" | "huber_loss" => return Err(unknown("metric", name)),
            _ => MetricKind::Loss(Loss::from_keras_name(name).map_err(|error| match error {
                Error::UnknownValue { .. } => unknown("metric", name),
                other => other,
            })?),
        };
        Ok(Self { name: name.to_owned(), kind })
    }

    /// Keras's `"accuracy"`.
    #[must_use]
    pub fn accuracy() -> Self {
        Self { name: "accuracy".into(), kind: MetricKind::Accuracy }
    }
}

/// The operation that a metric is computed by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Counted {
    Hits(HitsKind),
    Loss(Loss),
}

impl MetricKind {
    /// How to compute it for an output whose last axis has `last` values; `sparse` says whether targets are class
    /// numbers.
    pub(super) fn counted(self, last: u64, sparse: bool) -> Counted {
        let (from_logits, label_smoothing) = (false, 0.0);
        match (self, last, sparse) {
            (Self::Accuracy, 1, _) => Counted::Hits(HitsKind::Binary { threshold: 0.5 }),
            (Self::Accuracy, _, true) => Counted::Hits(HitsKind::Sparse),
            (Self::Accuracy, _, false) => Counted::Hits(HitsKind::Categorical),
            (Self::Crossentropy, 1, _) => Counted::Loss(Loss::BinaryCrossentropy { from_logits, label_smoothing }),
            (Self::Crossentropy, _, true) => Counted::Loss(Loss::SparseCategoricalCrossentropy { from_logits }),
            (Self::Crossentropy, _, false) => {
                Counted::Loss(Loss::CategoricalCrossentropy { from_logits, label_smoothing })
            }
            (Self::BinaryAccuracy { threshold }, ..) => Counted::Hits(HitsKind::Binary { threshold }),
            (Self::CategoricalAccuracy, ..) => Counted::Hits(HitsKind::Categorical),
            (Self::SparseCategoricalAccuracy, ..) => Counted::Hits(HitsKind::Sparse),
            (Self::Loss(loss), ..) => Counted::Loss(loss),
        }
    }
}

impl Counted {
    /// Whether it reads class numbers as targets.
    pub(super) fn is_sparse(self) -> bool {
        match self {
            Self::Hits(kind) => kind == HitsKind::Sparse,
            Self::Loss(loss) => loss.is_sparse(),
        }
    }
}

//! Keras's regularizers by their names and arguments.

use crate::{Error, Result};

/// What a variable, or a layer's output, adds to the loss: Keras 2.15's regularizers with their arguments.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Regularizer {
    /// `l1 · Σ|w|`.
    L1 {
        /// The factor; Keras's default is 0.01.
        l1: f32,
    },
    /// `l2 · Σw²`.
    L2 {
        /// The factor; Keras's default is 0.01.
        l2: f32,
    },
    /// The sum of the two. Keras's class has 0 and 0 as defaults, its function `l1_l2` 0.01 and 0.01.
    L1L2 {
        /// The factor of `Σ|w|`.
        l1: f32,
        /// The factor of `Σw²`.
        l2: f32,
    },
    /// How far a matrix's rows or columns are from orthogonal. Keras refuses any other rank than 2.
    Orthogonal {
        /// The factor; Keras's default is 0.01.
        factor: f32,
        /// Whether rows or columns should be orthogonal.
        mode: OrthogonalMode,
    },
    /// A user's own object, as Keras's JSON; it can't be computed here.
    Custom(String),
}

/// What [`Regularizer::Orthogonal`] makes orthogonal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum OrthogonalMode {
    /// The rows.
    #[default]
    Rows,
    /// The columns.
    Columns,
}

impl Regularizer {
    /// The regularizer that Keras 2.15's `regularizers.get` finds by `name` (case matters), with its default arguments.
    ///
    /// # Errors
    /// [`Error::UnknownValue`] for any other name.
    pub fn from_keras_name(name: &str) -> Result<Self> {
        Ok(match name {
            "l1" | "L1" => Self::L1 { l1: 0.01 },
            "l2" | "L2" => Self::L2 { l2: 0.01 },
            "l1_l2" => Self::L1L2 { l1: 0.01, l2: 0.01 },
            "L1L2" => Self::L1L2 { l1: 0.0, l2: 0.0 },
            "OrthogonalRegularizer" | "orthogonal_regularizer" => {
                Self::Orthogonal { factor: 0.01, mode: OrthogonalMode::Rows }
            }
            _ => {
                return Err(Error::UnknownValue {
                    argument: "regularizer",
                    expected: "l1, l2, l1_l2, L1, L2, L1L2, OrthogonalRegularizer, orthogonal_regularizer",
                    value: name.to_owned(),
                });
            }
        })
    }
}

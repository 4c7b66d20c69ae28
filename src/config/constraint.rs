//! Keras's constraints by their names and arguments.

use crate::{Error, Result};

/// What a variable is brought back to after each step of an optimizer: Keras 2.15's constraints, with their arguments.
///
/// Norms are taken over `axis` of the variable as Keras stores it in the configured implementation; negative axes count
/// from the end.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Constraint {
    /// Norms of at most `max_value`.
    MaxNorm {
        /// The largest norm; Keras's default is 2.
        max_value: f32,
        /// The axes that a norm is taken over; Keras's default is 0.
        axis: Axes,
    },
    /// Norms of 1.
    UnitNorm {
        /// The axes that a norm is taken over; Keras's default is 0.
        axis: Axes,
    },
    /// Norms from `min_value` to `max_value`, which are approached at `rate`.
    MinMaxNorm {
        /// The least norm; Keras's default is 0.
        min_value: f32,
        /// The largest norm; Keras's default is 1.
        max_value: f32,
        /// How much of the way a step goes; Keras's default is 1, all of it.
        rate: f32,
        /// The axes that a norm is taken over; Keras's default is 0.
        axis: Axes,
    },
    /// Weights below 0 become 0.
    NonNeg,
    /// Weights that are equally far from the middle of a window are equal. Keras refuses any other rank than 4.
    #[cfg_attr(feature = "serde", serde(rename = "radial_constraint"))]
    Radial,
    /// A user's own object, as Keras's JSON; it can't be applied here.
    Custom(String),
}

/// The axes that a norm is taken over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Axes {
    /// One axis.
    One(i64),
    /// Several axes, each once.
    Several(Vec<i64>),
}

impl Constraint {
    /// The constraint that Keras 2.15's `constraints.get` finds by `name` (case matters), with its default arguments.
    ///
    /// # Errors
    /// [`Error::UnknownValue`] for any other name.
    pub fn from_keras_name(name: &str) -> Result<Self> {
        let axis = Axes::One(0);
        Ok(match name {
            "MaxNorm" | "max_norm" | "maxnorm" => Self::MaxNorm { max_value: 2.0, axis },
            "UnitNorm" | "unit_norm" | "unitnorm" => Self::UnitNorm { axis },
            "MinMaxNorm" | "min_max_norm" => Self::MinMaxNorm { min_value: 0.0, max_value: 1.0, rate: 1.0, axis },
            "NonNeg" | "non_neg" | "nonneg" => Self::NonNeg,
            "RadialConstraint" | "radial_constraint" => Self::Radial,
            _ => {
                return Err(Error::UnknownValue {
                    argument: "constraint",
                    expected: "max_norm, unit_norm, min_max_norm, non_neg, radial_constraint, or their classes",
                    value: name.to_owned(),
                });
            }
        })
    }
}

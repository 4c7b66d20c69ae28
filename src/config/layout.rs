//! How Keras's implementations store weights.

use super::{Config, Implementation, Padding};
use crate::{Error, Result};

/// The kernel layouts of Keras's three implementations (docs/keras-semantics.md §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum KerasLayout {
    /// `(P, K, F)`, the window in data order. Only for padding `valid`, as in Keras.
    Implementation1,
    /// The masked dense matrix: `(in…, C, out…, F)` or `(C, in…, F, out…)`. Unconnected entries are dropped on import
    /// and zero on export.
    Implementation2,
    /// The values of the connected entries, in ascending order of (output unit, input unit).
    Implementation3,
}

impl KerasLayout {
    /// The layout of Keras's `implementation` argument.
    ///
    /// # Errors
    /// [`Error::UnknownValue`] for anything but 1, 2, 3.
    pub fn from_keras(implementation: i64) -> Result<Self> {
        match implementation {
            1 => Ok(Self::Implementation1),
            2 => Ok(Self::Implementation2),
            3 => Ok(Self::Implementation3),
            other => {
                Err(Error::UnknownValue { argument: "implementation", expected: "1, 2, 3", value: other.to_string() })
            }
        }
    }

    /// Keras's number of the implementation that stores this layout.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Implementation1 => 1,
            Self::Implementation2 => 2,
            Self::Implementation3 => 3,
        }
    }

    /// The layout in which Keras would store the weights of a layer with this configuration: its implementation's. If
    /// the planner chooses that, it is implementation 1's if that allows the padding, else 3's.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        match config.implementation {
            Some(Implementation::DenseMatmul) => Self::Implementation2,
            Some(Implementation::SparseGather) => Self::Implementation3,
            _ if config.padding != Padding::Valid => Self::Implementation3,
            _ => Self::Implementation1,
        }
    }
}

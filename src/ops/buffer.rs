//! Buffers: what operations read and write.

use crate::Error;
use crate::config::WeightType;
use crate::geometry::Geometry;
use std::sync::Arc;

/// A buffer of a [`Program`](crate::program::Program), by its number in [`Program::buffers`](crate::program::Program).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BufferId(pub(crate) u32);

impl BufferId {
    /// Its number in the program's list of buffers.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Usage {
    /// Given with every run.
    Input,
    /// A result of the run.
    Output,
    /// A parameter of the model: it outlives the program, and other programs share it.
    Parameter,
    /// A state that an optimizer keeps of a parameter from step to step. It outlives the program, as a parameter does,
    /// and is zero at first.
    State,
    /// The gradient of a parameter, summed over the batch.
    Gradient,
    /// A value between operations. After its last reader its contents are undefined, and its memory is used for others.
    Scratch,
}

/// How many elements a buffer has, and how they are laid out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Shape {
    /// `[batch][elements]`.
    Samples(u64),
    /// `[elements]`, for any batch.
    Fixed(u64),
    /// `[cells][window][filters]`: the canonical order of weights. `window` counts taps times channels of a
    /// group, `filters` those of a group.
    Weights {
        /// Locations times groups; only groups if locations share their weights.
        cells: u64,
        /// Weights of a filter in a cell.
        window: u64,
        /// Filters of a cell.
        filters: u64,
    },
    /// `[connections][filters]`: the weights of a user's connectivity, row after row.
    Connections {
        /// The first connection of each row, followed by the number of all connections.
        starts: Arc<[u32]>,
        /// Weights of a connection.
        filters: u64,
    },
}

impl Shape {
    /// The shape of a layer's weights.
    #[must_use]
    pub fn of_weights(layer: &Geometry) -> Self {
        let filters = u64::from(layer.group_filters());
        match layer.pattern() {
            Some(pattern) => Self::Connections { starts: pattern.shared_starts(), filters },
            None => Self::Weights { cells: layer.weight_cells().into(), window: layer.window().into(), filters },
        }
    }

    /// What is wrong with its numbers, if anything is.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        const MOST: u64 = i64::MAX as u64 / 4;
        match self {
            Self::Samples(elements) if *elements > u32::MAX.into() => Some("a sample has more than 2³² elements"),
            Self::Connections { starts, .. } if starts.first() != Some(&0) || !starts.is_sorted() => {
                Some("the first connections of its rows don't ascend from 0")
            }
            Self::Weights { cells, filters, .. } if (*cells).max(*filters) > u32::MAX.into() => {
                Some("it has more than 2³² cells or filters")
            }
            // Plans count entries, also where each has no filters.
            Self::Weights { cells, window, .. } if cells.saturating_mul(*window) > MOST => {
                Some("its entries can't be addressed")
            }
            _ if self.elements(1) > MOST => Some("its bytes can't be addressed"),
            _ => None,
        }
    }

    /// Whether plans cut it into chunks, as weights and their gradients.
    pub(crate) const fn is_cut(&self) -> bool {
        matches!(self, Self::Weights { .. } | Self::Connections { .. })
    }

    /// Its sizes, without a batch.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        match self {
            Self::Samples(elements) | Self::Fixed(elements) => vec![*elements as usize],
            Self::Weights { cells, window, filters } => [*cells, *window, *filters].map(|size| size as usize).into(),
            Self::Connections { starts, filters } => {
                vec![starts.last().copied().unwrap_or(0) as usize, *filters as usize]
            }
        }
    }

    /// Weights of a row: the filters, for weights; 1 for others.
    #[must_use]
    pub fn filters(&self) -> u64 {
        match self {
            Self::Weights { filters, .. } | Self::Connections { filters, .. } => *filters,
            Self::Fixed(_) | Self::Samples(_) => 1,
        }
    }

    /// Elements for a batch of this size.
    #[must_use]
    pub fn elements(&self, batch: u32) -> u64 {
        match self {
            Self::Samples(elements) => elements.saturating_mul(batch.into()),
            Self::Fixed(elements) => *elements,
            Self::Weights { cells, window, filters } => cells.saturating_mul(*window).saturating_mul(*filters),
            Self::Connections { starts, filters } => {
                u64::from(starts.last().copied().unwrap_or(0)).saturating_mul(*filters)
            }
        }
    }
}

/// A buffer of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Buffer {
    /// Unique in its program, such as `input` or `local_1/weights`.
    pub name: String,
    /// The layer of the model that writes it, or whose parameter it is, for messages and debuggers; none if the program
    /// is of one layer.
    pub layer: Option<String>,
    /// What it is.
    pub usage: Usage,
    /// How many elements it has, and how they are laid out.
    pub shape: Shape,
    /// How its elements are stored: as 32-bit floats, except weights of layers that ask for 16-bit floats.
    pub dtype: WeightType,
}

impl Buffer {
    /// What is wrong with it, if anything is: inputs and outputs have samples, weights have not.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let of_model = matches!(self.usage, Usage::Parameter | Usage::State | Usage::Gradient);
        match self.shape {
            Shape::Samples(_) if of_model => Some("a parameter, its state or its gradient has no samples"),
            Shape::Weights { .. } | Shape::Connections { .. } if !of_model => {
                Some("what is shaped as weights is a parameter, its state or its gradient")
            }
            _ => self.shape.fault(),
        }
    }

    /// The error for a buffer of `found` elements in its place.
    pub(crate) fn wrong_length(&self, batch: u32, found: u64) -> Error {
        let what = match self.usage {
            Usage::Input => "input",
            Usage::Output => "output",
            Usage::Parameter => "parameter",
            Usage::State => "state",
            Usage::Gradient => "gradient",
            Usage::Scratch => "a value between operations",
        };
        let batched = matches!(self.shape, Shape::Samples(_)).then_some(batch as usize);
        let shape = batched.into_iter().chain(self.shape.sizes()).collect();
        let error = Error::Length { what, expected: self.shape.elements(batch), found, shape };
        match &self.layer {
            Some(layer) => error.in_layer(layer),
            None => error,
        }
    }

    /// Bytes for a batch of this size: a whole number of words.
    #[must_use]
    pub fn bytes(&self, batch: u32) -> u64 {
        self.dtype.bytes(self.shape.elements(batch))
    }
}

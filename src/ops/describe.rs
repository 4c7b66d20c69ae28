//! What every operation says of itself. Each says it in the file of its family.

use super::buffer::{BufferId, Shape};
use crate::config::WeightType;
use crate::geometry::Geometry;
use std::sync::Arc;

/// What a buffer must be for an operation.
#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) id: BufferId,
    pub(crate) shape: Shape,
    pub(crate) dtype: WeightType,
}

impl Operand {
    /// An operand of 32-bit floats.
    pub(super) fn of(id: BufferId, shape: Shape) -> Self {
        Self { id, shape, dtype: WeightType::F32 }
    }

    /// An operand `[batch][elements]`.
    pub(super) fn samples(id: BufferId, elements: u64) -> Self {
        Self::of(id, Shape::Samples(elements))
    }
}

/// What every operation says of itself.
pub(super) trait Describe {
    /// See `Operation::name`.
    fn name(&self) -> &'static str;

    /// See `Operation::reads`.
    fn reads(&self) -> Vec<BufferId>;

    /// See `Operation::writes`.
    fn writes(&self) -> BufferId;

    /// See `Operation::updates`.
    fn updates(&self) -> Vec<BufferId> {
        Vec::new()
    }

    /// See `Operation::is_of_update`.
    fn is_of_update(&self) -> bool {
        !self.updates().is_empty()
    }

    /// See `Operation::operands`.
    fn operands(&self) -> Vec<Operand>;

    /// See `Operation::fault`.
    fn fault(&self) -> Option<&'static str> {
        None
    }

    /// See `Operation::layer`.
    fn layer(&self) -> Option<&Arc<Geometry>> {
        None
    }

    /// See `Operation::accumulates`.
    fn accumulates(&self) -> bool {
        false
    }

    /// Has it add to the values in the buffer that it writes, if it can.
    fn accumulate(&mut self) {}
}

/// The methods of an operation whose field `accumulate` says whether it adds to what its result holds.
macro_rules! accumulates {
    () => {
        fn accumulates(&self) -> bool {
            self.accumulate
        }

        fn accumulate(&mut self) {
            self.accumulate = true;
        }
    };
}
pub(super) use accumulates;

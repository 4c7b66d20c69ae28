//! What is computed, whatever the device: buffers, and the operations that read and write them.
//!
//! An operation is a struct of names and sizes in the file of its family, where it says of itself what every operation does
//! (`Describe`). What it computes is said by `reference`, one function an operation; an executor has one `match` over
//! [`Operation`] without a default arm, so that a new operation does not compile until every executor knows it.

mod broadcast;
mod buffer;
mod combine;
mod elementwise;
mod local;
mod normalise;
mod pool;
mod rearrange;

pub use broadcast::{Part, Sizes, broadcast};
pub(crate) use broadcast::{product, strides};
pub use buffer::{Buffer, BufferId, Shape, Usage};
pub use combine::{Combine, CombineGrad, How, Sum};
pub use elementwise::{Activate, ActivateGrad, Transpose};
pub use local::{GradBias, LocalForward, LocalGradInput, LocalGradWeights};
pub use normalise::{LayerNorm, LayerNormGrad, NormFactor, Normalise};
pub use pool::{Along, Pool, PoolAxis, PoolGrad, PoolKind, Reduce, ReduceGrad, Ties, Windows};
pub use rearrange::{AxisMap, Columns, Concatenate, Rearrange, RearrangeGrad};
pub(crate) use rearrange::{MOST_AXES, Moved, MovedAxes, Repetitions, in_order, put_back, repeats, repetitions};

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
    /// One of 32-bit floats.
    fn of(id: BufferId, shape: Shape) -> Self {
        Self { id, shape, dtype: WeightType::F32 }
    }

    /// `[batch][elements]`.
    fn samples(id: BufferId, elements: u64) -> Self {
        Self::of(id, Shape::Samples(elements))
    }
}

/// What an operation says of itself.
trait Describe {
    /// See [`Operation::name`].
    fn name(&self) -> &'static str;

    /// See [`Operation::reads`].
    fn reads(&self) -> Vec<BufferId>;

    /// See [`Operation::writes`].
    fn writes(&self) -> BufferId;

    /// See [`Operation::operands`].
    fn operands(&self) -> Vec<Operand>;

    /// See [`Operation::fault`].
    fn fault(&self) -> Option<&'static str> {
        None
    }

    /// See [`Operation::layer`].
    fn layer(&self) -> Option<&Arc<Geometry>> {
        None
    }

    /// See [`Operation::has_implementations`].
    fn has_implementations(&self) -> bool {
        false
    }

    /// See [`Operation::accumulates`].
    fn accumulates(&self) -> bool {
        false
    }

    /// Lets it add to what the buffer holds that it writes, if it can.
    fn accumulate(&mut self) {}
}

/// Makes the enum, and what finds the description of any operation.
macro_rules! operations {
    ($($operation:ident),* $(,)?) => {
        /// A step of a program.
        #[derive(Debug, Clone, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[expect(missing_docs, reason = "each is the operation of its name")]
        pub enum Operation { $($operation($operation)),* }

        impl Operation {
            fn description(&self) -> &dyn Describe {
                match self { $(Self::$operation(o) => o),* }
            }

            fn description_mut(&mut self) -> &mut dyn Describe {
                match self { $(Self::$operation(o) => o),* }
            }
        }
    };
}

operations! {
    LocalForward,
    LocalGradInput,
    LocalGradWeights,
    GradBias,
    Activate,
    ActivateGrad,
    Transpose,
    Pool,
    PoolGrad,
    Reduce,
    ReduceGrad,
    Rearrange,
    RearrangeGrad,
    Concatenate,
    Combine,
    CombineGrad,
    Sum,
    NormFactor,
    Normalise,
    LayerNorm,
    LayerNormGrad,
}

impl Operation {
    /// Its name, for reports and debuggers.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.description().name()
    }

    /// The buffers that it reads.
    #[must_use]
    pub fn reads(&self) -> Vec<BufferId> {
        self.description().reads()
    }

    /// The one buffer that it writes, whole; never one that it reads.
    #[must_use]
    pub fn writes(&self) -> BufferId {
        self.description().writes()
    }

    /// Its operands and what they must be.
    pub(crate) fn operands(&self) -> Vec<Operand> {
        self.description().operands()
    }

    /// What is wrong with its own numbers, where something is.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        self.description().fault()
    }

    /// The layer that it is of, where it is one's.
    #[must_use]
    pub fn layer(&self) -> Option<&Arc<Geometry>> {
        self.description().layer()
    }

    /// Whether it has several implementations, of which one is asked for or the planner's choice.
    #[must_use]
    pub(crate) fn has_implementations(&self) -> bool {
        self.description().has_implementations()
    }

    /// Whether it adds to what the buffer holds that it writes.
    #[must_use]
    pub fn accumulates(&self) -> bool {
        self.description().accumulates()
    }

    /// Lets it add to what the buffer holds that it writes, if it can: gradients of parameters do.
    pub(crate) fn accumulate(&mut self) {
        self.description_mut().accumulate();
    }
}

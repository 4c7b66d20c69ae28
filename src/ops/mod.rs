//! What is computed, whatever the device: buffers, and the operations that read and write them.
//!
//! An operation is a struct of buffers and sizes in the file of its family, where it also says of itself what every
//! operation must (`Describe`). What it computes is a function in `reference`. Every executor has a `match` over
//! [`Operation`] without a default arm, so that a new operation doesn't compile until all executors know it.

#![cfg_attr(not(feature = "models"), allow(dead_code, reason = "some of it is of operations of whole models"))]

#[cfg(feature = "models")]
mod broadcast;
mod buffer;
#[cfg(feature = "models")]
mod combine;
#[cfg(feature = "models")]
mod constrain;
mod describe;
mod elementwise;
mod local;
#[cfg(feature = "models")]
mod loss;
#[cfg(feature = "models")]
mod normalise;
#[cfg(feature = "models")]
mod penalty;
#[cfg(feature = "models")]
mod philox;
#[cfg(feature = "models")]
mod pool;
#[cfg(feature = "models")]
mod random;
#[cfg(feature = "models")]
mod rearrange;
mod training;

pub use crate::config::How;
#[cfg(feature = "models")]
pub use broadcast::{Part, Sizes, broadcast};
#[cfg(feature = "models")]
pub(crate) use broadcast::{product, strides};
pub use buffer::{Buffer, BufferId, Shape, Usage};
#[cfg(feature = "models")]
pub use combine::{Combine, CombineGrad, Sum, Variance};
#[cfg(feature = "models")]
pub(crate) use constrain::EPSILON;
#[cfg(feature = "models")]
pub use constrain::{Constrain, GroupSquares, NonNegative, NormLimit, Radial};
pub(crate) use describe::Operand;
pub use elementwise::{Activate, ActivateGrad, Transpose};
#[cfg(feature = "models")]
pub use local::LocalUpdate;
pub use local::{GradBias, LocalForward, LocalGradInput, LocalGradWeights};
#[cfg(feature = "models")]
pub(crate) use loss::Targets;
#[cfg(feature = "models")]
pub use loss::{Hits, HitsKind, Judged, Loss, LossGrad, LossKind};
#[cfg(feature = "models")]
pub use normalise::{LayerNorm, LayerNormGrad, NormFactor, Normalise, NormaliseGrad};
#[cfg(feature = "models")]
pub(crate) use penalty::Vectors;
#[cfg(feature = "models")]
pub use penalty::{ClipScale, Orthogonal, OrthogonalGrad, PenaltyGrad, Term, Total};
#[cfg(feature = "models")]
pub(crate) use philox::philox;
#[cfg(feature = "models")]
pub use pool::{Along, Pool, PoolAxis, PoolGrad, PoolKind, Pooled, Reduce, ReduceGrad, Ties, Windows};
#[cfg(feature = "models")]
pub(crate) use random::Effect;
#[cfg(feature = "models")]
pub use random::{Noise, Random, RandomGrad, RandomKind};
#[cfg(feature = "cpu")]
pub(crate) use rearrange::MOST_AXES;
#[cfg(feature = "models")]
pub use rearrange::{AxisMap, Columns, Concatenate, Rearrange, RearrangeGrad};
#[cfg(feature = "models")]
pub(crate) use rearrange::{Moved, MovedAxes, Repetitions, in_order, put_back, repeats, repetitions};
pub use training::{Change, MovingAverage, Rule, STEP_NUMBERS, StepNumbers, Update};

use crate::config::Activation;
use crate::geometry::Geometry;
use describe::Describe;
use std::sync::Arc;

/// Makes the enum, and the access to what any operation says of itself. The second list is of whole models and their
/// training.
macro_rules! operations {
    ($($operation:ident),*; models: $($of_model:ident),* $(,)?) => {
        operations! { @all $($operation)* $(#[cfg(feature = "models")] $of_model)* }
    };
    (@all $($(#[$on:meta])? $operation:ident)*) => {
        /// A step of a program.
        #[derive(Debug, Clone, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[expect(missing_docs, reason = "each is the operation of its name")]
        pub enum Operation { $($(#[$on])? $operation($operation)),* }

        impl Operation {
            fn description(&self) -> &dyn Describe {
                match self { $($(#[$on])? Self::$operation(o) => o),* }
            }

            fn description_mut(&mut self) -> &mut dyn Describe {
                match self { $($(#[$on])? Self::$operation(o) => o),* }
            }
        }
    };
}

// Those of layers alone come first: programs are written by these numbers, and pass between modules with and without the others.
operations! {
    LocalForward,
    LocalGradInput,
    LocalGradWeights,
    GradBias,
    Activate,
    ActivateGrad,
    Transpose;
    models:
    LocalUpdate,
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
    Update,
    MovingAverage,
    PenaltyGrad,
    Total,
    ClipScale,
    Orthogonal,
    OrthogonalGrad,
    GroupSquares,
    Constrain,
    NonNegative,
    Radial,
    Variance,
    NormaliseGrad,
    Loss,
    LossGrad,
    Hits,
    Random,
    RandomGrad,
}

/// An operation that has several implementations. It names one, or leaves the choice to the planner.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Choosable<'a> {
    /// Outputs.
    Forward(&'a LocalForward),
    /// Gradients of inputs.
    GradInput(&'a LocalGradInput),
    /// Gradients of weights.
    GradWeights(&'a LocalGradWeights),
    /// Weights, updated by their gradient.
    #[cfg(feature = "models")]
    Update(&'a LocalUpdate),
}

impl Operation {
    /// Its name, for reports and debuggers.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.description().name()
    }

    /// Has it activate what it writes, if it can and doesn't do so yet. Says whether it will.
    pub(crate) fn activate(&mut self, by: Activation) -> bool {
        let own = match self {
            Self::LocalForward(o) => &mut o.activation,
            #[cfg(feature = "models")]
            Self::Normalise(o) => &mut o.activation,
            _ => return false,
        };
        let can = *own == Activation::Linear && !by.over_rows();
        if can {
            *own = by;
        }
        can
    }

    /// The buffers that it reads, without those that it [updates](Operation::updates).
    #[must_use]
    pub fn reads(&self) -> Vec<BufferId> {
        self.description().reads()
    }

    /// The buffer that it writes, all of it, or the first of those that it [updates](Operation::updates). It never
    /// reads this buffer.
    #[must_use]
    pub fn writes(&self) -> BufferId {
        self.description().writes()
    }

    /// The parameters and states that it changes in place; none for most operations. All of their values must be there
    /// before.
    #[must_use]
    pub fn updates(&self) -> Vec<BufferId> {
        self.description().updates()
    }

    /// Whether it belongs to an update, so that it may read a parameter that was updated before.
    pub(crate) fn is_of_update(&self) -> bool {
        self.description().is_of_update()
    }

    /// Its operands and what they must be.
    pub(crate) fn operands(&self) -> Vec<Operand> {
        self.description().operands()
    }

    /// What is wrong with its numbers, if anything is.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        self.description().fault()
    }

    /// The layer whose operation it is, if it is a layer's.
    #[must_use]
    pub fn layer(&self) -> Option<&Arc<Geometry>> {
        self.description().layer()
    }

    /// The operation as one that has several implementations, if it has.
    #[must_use]
    pub(crate) fn choosable(&self) -> Option<Choosable<'_>> {
        match self {
            Self::LocalForward(o) => Some(Choosable::Forward(o)),
            Self::LocalGradInput(o) => Some(Choosable::GradInput(o)),
            Self::LocalGradWeights(o) => Some(Choosable::GradWeights(o)),
            #[cfg(feature = "models")]
            Self::LocalUpdate(o) => Some(Choosable::Update(o)),
            _ => None,
        }
    }

    /// Whether it adds to the values in the buffer that it writes.
    #[must_use]
    pub fn accumulates(&self) -> bool {
        self.description().accumulates()
    }

    /// Has it add to the values in the buffer that it writes, if it can: gradients of parameters do.
    pub(crate) fn accumulate(&mut self) {
        self.description_mut().accumulate();
    }
}

//! Layers of one filter: a vector of filters would hold one number, so these go along locations and samples instead.
//!
//! Most of a layer's windows lie evenly, each some inputs after the one before; those at padded edges are done one by one.

mod forward;
mod grad_input;
mod grad_weights;
mod strips;
mod sums;

pub(super) use forward::{ForwardOperands, forward};
pub(super) use grad_input::grad_input;
pub(super) use grad_weights::grad_weights;
pub(super) use strips::Narrow;

//! Layers of one filter: a vector along filters would hold one number, so vectors go along locations and samples
//! instead.
//!
//! Most windows of such a layer are equally far apart. The others, at padded edges, are computed one by one.

mod forward;
mod grad_input;
mod grad_weights;
mod planes;
mod strips;
mod sums;

pub(super) use forward::{ForwardOperands, forward};
pub(super) use grad_input::grad_input;
pub(super) use grad_weights::grad_weights;
pub(super) use strips::Narrow;

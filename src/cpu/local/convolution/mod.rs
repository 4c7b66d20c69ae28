//! Layers whose locations share their weights, on operands in channels_last: one product with a row for each location of each
//! sample, read where they lie. A block of weights meets all rows of a task before the next one does.

mod depthwise;
mod forward;
mod grad_weights;
mod room;
mod rows;

pub(super) use depthwise::grad_input as depthwise_grad_input;
pub(super) use forward::forward;
pub(super) use grad_weights::grad_weights;
pub(super) use room::{floats, is_depthwise};

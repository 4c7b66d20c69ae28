//! Layers whose locations share their weights, on operands in channels_last: one product with a row for each location of each
//! sample, read where they lie. A block of weights meets all rows of a task before the next one does.

mod depthwise;
mod forward;
mod grad_weights;
mod rows;

pub(super) use depthwise::{floats, grad_input as depthwise_grad_input, is_depthwise};
pub(super) use forward::forward;
pub(super) use grad_weights::grad_weights;

//! Layers whose locations share their weights, on operands in channels_last: one matrix product whose rows are the
//! locations of all samples, read where they lie. A task's rows all use one block of weights before the next block.

mod depthwise;
mod forward;
mod grad_weights;
mod room;
mod rows;

pub(super) use depthwise::grad_input as depthwise_grad_input;
pub(super) use forward::forward;
pub(super) use grad_weights::grad_weights;
pub(super) use room::{floats, is_depthwise};

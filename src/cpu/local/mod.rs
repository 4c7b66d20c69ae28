//! The operations of locally connected layers, on operands in channels_last.

mod block;
mod convolution;
mod fetch;
mod forward;
mod grad_bias;
mod grad_input;
mod grad_weights;
mod gradient;
mod guess;
mod layer;
mod narrow;
mod operands;
mod products;
mod readers;
mod tile;
mod turn;
mod windows;

pub(super) use forward::forward;
pub(super) use grad_bias::grad_bias;
pub(super) use grad_input::grad_input;
pub(super) use grad_weights::grad_weights;
pub(super) use gradient::{Gradient, Kept, gradient_needs};
pub(super) use guess::nanoseconds;
pub(super) use layer::Layer;
pub(super) use operands::{ForwardOperands, GradInputOperands, GradWeightsOperands};
pub(super) use readers::Reader;

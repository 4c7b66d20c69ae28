//! The operations of locally connected layers, on operands in channels_last.

mod convolution;
mod forward;
mod grad_bias;
mod grad_input;
mod grad_weights;
mod layer;
mod narrow;
mod readers;
mod tile;
mod windows;

pub(super) use forward::{Operands as ForwardOperands, forward};
pub(super) use grad_bias::grad_bias;
pub(super) use grad_input::{Operands as GradInputOperands, grad_input};
pub(super) use grad_weights::{Operands as GradWeightsOperands, grad_weights};
pub(super) use layer::Layer;
pub(super) use readers::Reader;

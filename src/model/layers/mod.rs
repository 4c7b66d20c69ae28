//! The kinds of layers, one file each: what shape a layer's output has, its parameters, and the operations of its
//! passes.
//!
//! To add a kind, write a file with a type that implements `Computes`, and add a line to `kinds!`.

mod activation;
mod call;
mod concatenate;
mod convolution;
mod group_norm;
mod kind;
mod layer_norm;
mod local;
mod merge;
mod moves;
mod noise;
mod normalisation;
mod order;
mod pooling;
mod prelu;
mod reshape;
mod softmax;
mod windows;

pub use activation::ActivationLayer;
pub use call::Parameter;
pub(super) use call::{BackwardCall, Built, ForwardCall, Gradient, Scope, Trace, Value, elements};
pub use concatenate::Concatenate;
pub use convolution::{Convolution, Dense, Depthwise, Separable};
pub use group_norm::GroupNormalization;
pub use kind::{Kind, Layer};
pub use layer_norm::LayerNormalization;
pub use local::Local;
pub use merge::Merge;
pub use moves::Move;
pub use noise::NoiseLayer;
pub use normalisation::BatchNormalization;
pub use pooling::{GlobalPooling, Pooling};
pub use prelu::PRelu;
pub use reshape::{Flatten, Reshape};
pub use softmax::Softmax;

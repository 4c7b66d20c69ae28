//! Graphs of layers, the programs made of them, and models: graphs with parameters.

#[cfg(feature = "models")]
mod graph;
#[cfg(feature = "models")]
mod layers;
mod local;
#[cfg(feature = "models")]
mod logits;
#[cfg(feature = "models")]
mod mode;
pub mod names;
#[cfg(feature = "models")]
mod passes;
#[cfg(feature = "models")]
mod rules;
#[cfg(feature = "models")]
mod stored;
#[cfg(feature = "models")]
mod taken;
#[cfg(feature = "models")]
mod weights;
#[cfg(feature = "models")]
mod whole;
#[cfg(all(feature = "models", feature = "serde"))]
mod written;

#[cfg(feature = "models")]
pub use graph::{End, Graph, GraphLayer, MOST_AXES, Node, Sequential};
#[cfg(feature = "models")]
pub use layers::{
    ActivationLayer, BatchNormalization, Concatenate, Convolution, Dense, Depthwise, Flatten, GlobalPooling,
    GroupNormalization, Kind, Layer, LayerNormalization, Local, Merge, Move, NoiseLayer, PRelu, Parameter, Pooling,
    Reshape, Separable, Softmax,
};
pub use local::{Gradients, layer_backward, layer_forward, layer_gradients, layer_names};
#[cfg(feature = "gpu")]
pub(crate) use local::{transposed_backward, transposed_forward};
#[cfg(feature = "models")]
pub(crate) use logits::Last;
#[cfg(feature = "models")]
pub use mode::Mode;
#[cfg(feature = "models")]
pub use passes::Wanted;
#[cfg(feature = "models")]
pub(crate) use passes::{Judging, Updates};
#[cfg(feature = "models")]
pub use rules::Rules;
#[cfg(feature = "models")]
pub use stored::Stored;
#[cfg(feature = "models")]
pub use weights::Weight;
#[cfg(feature = "models")]
pub use whole::Model;

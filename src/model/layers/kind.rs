//! The enum of all kinds of layers.

use super::activation::ActivationLayer;
use super::call::Computes;
use super::concatenate::Concatenate;
use super::convolution::{Convolution, Dense, Depthwise, Separable};
use super::local::Local;
use super::merge::Merge;
use super::moves::Move;
use super::noise::NoiseLayer;
use super::normalisation::{BatchNormalization, LayerNormalization};
use super::pooling::{GlobalPooling, Pooling};
use super::prelu::PRelu;
use super::reshape::{Flatten, Reshape};
use super::softmax::Softmax;
use crate::Result;
use crate::config::{Activation, Config, Constraint, KerasLayout, Regularizer};
use crate::geometry::Geometry;
use crate::model::rules::Rules;
use std::sync::Arc;

/// The enum of all kinds.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($type:ty),)*) => {
        /// What a layer does to its values.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $kind($type),)*
        }

        impl Kind {
            pub(crate) fn computes(&self) -> &dyn Computes {
                match self {
                    $(Self::$kind(layer) => layer,)*
                }
            }

            /// The configuration that it has, where it has one, and the name of the weights that it speaks of.
            pub(crate) fn config(&self) -> Option<(&Config, &'static str)> {
                match self {
                    Self::Local(Local::Config(config)) | Self::Convolution(Convolution(config)) => {
                        Some((config, "kernel"))
                    }
                    Self::Local(Local::Geometry(geometry)) => Some((geometry.config(), "kernel")),
                    Self::Depthwise(Depthwise(config)) => Some((config, "depthwise_kernel")),
                    _ => None,
                }
            }

            /// Shape of a sample of its output for inputs of these shapes, all without the batch.
            ///
            /// # Errors
            /// Where it doesn't take such inputs, or as many of them.
            pub fn output_shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>> {
                Ok(self.computes().build(inputs)?.shape)
            }
        }

        $(impl From<$type> for Kind {
            fn from(layer: $type) -> Self {
                Self::$kind(layer)
            }
        }

        impl From<$type> for Layer {
            fn from(layer: $type) -> Self {
                Self::new(layer)
            }
        })*
    };
}

kinds! {
    /// Unshared weights of windows.
    Local(Local),
    /// Weights of windows that all locations share.
    Convolution(Convolution),
    /// A convolution of each channel for itself.
    Depthwise(Depthwise),
    /// That, and then one of windows of one position.
    Separable(Separable),
    /// Weights of the last axis.
    Dense(Dense),
    /// The largest value or the average of windows.
    Pooling(Pooling),
    /// The largest value or the average of all positions.
    GlobalPooling(GlobalPooling),
    /// By moving statistics, or in training by those of the batch.
    BatchNormalization(BatchNormalization),
    /// Rows by their own statistics.
    LayerNormalization(LayerNormalization),
    /// Dropout and noise.
    Noise(NoiseLayer),
    /// Learned slopes of negative values.
    PRelu(PRelu),
    /// Softmax over any axes.
    Softmax(Softmax),
    /// Values padded, cut off, repeated, or their axes in another order.
    Move(Move),
    /// Several values element by element.
    Merge(Merge),
    /// Several values side by side.
    Concatenate(Concatenate),
    /// An activation alone.
    Activation(ActivationLayer),
    /// Another shape for the same values.
    Reshape(Reshape),
    /// All axes become one.
    Flatten(Flatten),
}

/// A layer, before it is in a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub(crate) name: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) trainable: bool,
    pub(crate) rules: Rules,
    pub(crate) stored_in: Option<KerasLayout>,
    pub(crate) initial: Option<Arc<[Vec<f32>]>>,
}

impl Layer {
    /// A trainable layer, which its graph names after its class: `dense`, `dense_1`, ….
    pub fn new(kind: impl Into<Kind>) -> Self {
        Self { name: None, kind: kind.into(), trainable: true, rules: Rules::default(), stored_in: None, initial: None }
    }

    /// The same layer under a name of its own.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// The same layer, whose parameters are trained or not.
    #[must_use]
    pub fn trainable(self, trainable: bool) -> Self {
        Self { trainable, ..self }
    }

    /// The same layer, whose unshared weights Keras stores in that layout, whatever it is executed by. It decides what a constraint's axes
    /// mean, and what [`Graph::stored`](crate::model::Graph::stored) says; without it [`KerasLayout::of`] does.
    #[must_use]
    pub fn stored_in(self, layout: KerasLayout) -> Self {
        Self { stored_in: Some(layout), ..self }
    }

    /// The same layer, whose weights begin with these values: all of them, in Keras's order, each as the layer's implementation stores
    /// it. [`initial_parameters`](crate::train::initial_parameters) gives them in place of drawn ones; what doesn't fit is refused as the layer is added.
    #[must_use]
    pub fn weights(self, weights: impl Into<Arc<[Vec<f32>]>>) -> Self {
        Self { initial: Some(weights.into()), ..self }
    }

    /// The same layer, whose parameter of that name (`kernel`, `bias`, `gamma`, …) adds to the loss. It comes before what the layer's
    /// [`Config`] says of it.
    #[must_use]
    pub fn regularizer(mut self, parameter: impl Into<String>, regularizer: Regularizer) -> Self {
        self.rules.regularizers.insert(parameter.into(), regularizer);
        self
    }

    /// The same layer, whose parameter of that name is brought back after each step. It comes before what the layer's
    /// [`Config`] says of it.
    #[must_use]
    pub fn constraint(mut self, parameter: impl Into<String>, constraint: Constraint) -> Self {
        self.rules.constraints.insert(parameter.into(), constraint);
        self
    }

    /// The same layer, whose activated output adds to the loss.
    #[must_use]
    pub fn activity_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.rules.activity_regularizer = Some(regularizer);
        self
    }

    /// The same layer, of which training asks all this.
    #[must_use]
    pub fn rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }
}

impl From<Config> for Kind {
    fn from(config: Config) -> Self {
        Self::Local(Local::Config(config))
    }
}

impl From<Config> for Layer {
    fn from(config: Config) -> Self {
        Self::new(config)
    }
}

impl From<Arc<Geometry>> for Kind {
    fn from(geometry: Arc<Geometry>) -> Self {
        Self::Local(Local::Geometry(geometry))
    }
}

impl From<Arc<Geometry>> for Layer {
    fn from(geometry: Arc<Geometry>) -> Self {
        Self::new(geometry)
    }
}

impl From<Activation> for Kind {
    fn from(activation: Activation) -> Self {
        Self::Activation(ActivationLayer(activation))
    }
}

impl From<Activation> for Layer {
    fn from(activation: Activation) -> Self {
        Self::new(activation)
    }
}

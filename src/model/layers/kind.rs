//! The enum of all kinds of layers.

use super::activation::ActivationLayer;
use super::call::{Built, Computes};
use super::concatenate::Concatenate;
use super::convolution::{Convolution, Dense, Depthwise, Separable};
use super::group_norm::GroupNormalization;
use super::layer_norm::LayerNormalization;
use super::local::Local;
use super::merge::Merge;
use super::moves::Move;
use super::noise::NoiseLayer;
use super::normalisation::BatchNormalization;
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
        /// A kind of layer: what a layer does to its values.
        #[derive(Debug, Clone, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

            // Not by `computes`: what only reads graphs is linked without the layers' passes.

            /// See [`Computes::class`].
            pub(crate) fn class(&self) -> &'static str {
                match self {
                    $(Self::$kind(layer) => layer.class(),)*
                }
            }

            /// See [`Computes::build`].
            pub(crate) fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
                match self {
                    $(Self::$kind(layer) => layer.build(inputs),)*
                }
            }

            /// The configuration of a layer of windows, and the name of the weights that it is about.
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

            /// Shape of an output sample for inputs of these shapes, all without the batch.
            ///
            /// # Errors
            /// If the layer doesn't take such inputs, or so many of them.
            pub fn output_shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>> {
                Ok(self.build(inputs)?.shape)
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
    /// A locally connected layer: each location has its own weights.
    Local(Local),
    /// A convolution: all locations share the weights.
    Convolution(Convolution),
    /// A convolution of each channel by itself.
    Depthwise(Depthwise),
    /// A depthwise convolution, followed by one with windows of one position.
    Separable(Separable),
    /// A dense layer along the last axis.
    Dense(Dense),
    /// The largest or the average value of each window.
    Pooling(Pooling),
    /// The largest or the average value of all positions.
    GlobalPooling(GlobalPooling),
    /// Normalisation by moving statistics, in training by the batch's own.
    BatchNormalization(BatchNormalization),
    /// Normalisation of rows by their own statistics.
    LayerNormalization(LayerNormalization),
    /// Normalisation of groups of channels by their own statistics.
    GroupNormalization(GroupNormalization),
    /// Dropout and noise.
    Noise(NoiseLayer),
    /// Keras's `PReLU`: negative values times learned slopes.
    PRelu(PRelu),
    /// Softmax over given axes.
    Softmax(Softmax),
    /// Padding, cropping, repeating, or axes in another order.
    Move(Move),
    /// Values combined element by element.
    Merge(Merge),
    /// Values joined along an axis.
    Concatenate(Concatenate),
    /// An activation by itself.
    Activation(ActivationLayer),
    /// The same values in another shape.
    Reshape(Reshape),
    /// The same values along one axis.
    Flatten(Flatten),
}

/// A layer that isn't in a graph yet.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Layer {
    pub(crate) name: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) trainable: bool,
    pub(crate) rules: Rules,
    pub(crate) stored_in: Option<KerasLayout>,
    pub(crate) initial: Option<Arc<[Vec<f32>]>>,
}

impl Layer {
    /// A trainable layer. Its graph names it after its class: `dense`, `dense_1`, ….
    pub fn new(kind: impl Into<Kind>) -> Self {
        Self { name: None, kind: kind.into(), trainable: true, rules: Rules::default(), stored_in: None, initial: None }
    }

    /// Names the layer.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Sets whether the layer's parameters are trained.
    #[must_use]
    pub fn trainable(self, trainable: bool) -> Self {
        Self { trainable, ..self }
    }

    /// Sets the layout in which Keras stores the layer's unshared weights, whatever executes it. It decides what a
    /// constraint's axes mean, and what [`Graph::stored`](crate::model::Graph::stored) gives. Without it the layout is
    /// [`KerasLayout::of`]'s.
    #[must_use]
    pub fn stored_in(self, layout: KerasLayout) -> Self {
        Self { stored_in: Some(layout), ..self }
    }

    /// Sets the initial values of all of the layer's weights, in Keras's order, each as the layer's implementation
    /// stores it. [`initial_parameters`](crate::train::initial_parameters) gives them instead of drawn ones. Values
    /// that don't fit are refused when the layer is added.
    #[must_use]
    pub fn weights(self, weights: impl Into<Arc<[Vec<f32>]>>) -> Self {
        Self { initial: Some(weights.into()), ..self }
    }

    /// Sets what the parameter of that name (`kernel`, `bias`, `gamma`, …) adds to the loss. It takes precedence over
    /// the layer's [`Config`].
    #[must_use]
    pub fn regularizer(mut self, parameter: impl Into<String>, regularizer: Regularizer) -> Self {
        self.rules.regularizers.insert(0, (parameter.into(), regularizer));
        self
    }

    /// Sets what the parameter of that name is constrained to after each step. It takes precedence over the layer's
    /// [`Config`].
    #[must_use]
    pub fn constraint(mut self, parameter: impl Into<String>, constraint: Constraint) -> Self {
        self.rules.constraints.insert(0, (parameter.into(), constraint));
        self
    }

    /// Sets what the layer's activated output adds to the loss.
    #[must_use]
    pub fn activity_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.rules.activity_regularizer = Some(regularizer);
        self
    }

    /// Sets all that training asks of the layer.
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

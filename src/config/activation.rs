//! Activations by Keras's names.

use crate::{Error, Result};

/// A Keras 2.15 activation, applied to the output after the bias.
///
/// Values and derivatives are Keras's at every number, infinities and NaN among them, as `tests/activations.rs` compares them:
/// NaN is passed on, and where Keras makes NaN of an infinity (`swish`, `gelu` and `mish` of −∞, `softsign` of either, what
/// is multiplied by 0 under a threshold), so does this. Zeroes have Keras's signs where Keras's own don't depend on whether
/// a value lies in one of its vectors or behind the last of them (for relu of −0 they do). Numbers below 2⁻¹²⁶ may be taken for 0, as
/// Keras does. WGSL promises neither infinities nor NaN: kernels test for NaN by its bits and multiply nothing by 0 that may be
/// infinite where the result counts, so that they hold wherever the hardware has them, as lavapipe does.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Activation {
    /// `z`.
    #[default]
    Linear,
    /// Keras's `relu` and its `ReLU` and `LeakyReLU` layers: the lesser of `z` and `max_value` for `z > threshold`, else
    /// `negative_slope · (z − threshold)`, whatever `max_value`. The gradient is 0 at 0 and at any threshold, but
    /// `negative_slope` at 0 of the leaky form (neither threshold nor `max_value`); it is 1 at `max_value`, but 0 where
    /// that is 6 without a threshold, for which Keras has another function. It is `negative_slope` of NaN in the leaky form, else 0.
    Relu {
        /// Slope below the threshold.
        negative_slope: f32,
        /// The most the output may be.
        max_value: Option<f32>,
        /// Where the linear part begins.
        threshold: f32,
    },
    /// Keras's `ThresholdedReLU` layer: `z · (z > theta)`. It differs from a relu with that threshold for a `theta` of 0 alone,
    /// where it makes −0 of negative numbers and NaN of −∞.
    ThresholdedRelu {
        /// What is not above it becomes 0.
        theta: f32,
    },
    /// `z` for `z > 0`, else `alpha · (e^z − 1)`. The derivative at NaN is `alpha`.
    Elu {
        /// The scale of the negative part; Keras's `elu` has 1.
        alpha: f32,
    },
    /// `1.05070098 · elu(z, 1.67326324)`. The derivative is 1.05070098 for `z > −2⁻²⁵`, where `e^z` is 1 in 32 bits, and at NaN.
    Selu,
    /// `ln(e^z + 1)`.
    Softplus,
    /// `z / (|z| + 1)`.
    Softsign,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^−z)`.
    Sigmoid,
    /// `clip(0.2 z + 0.5, 0, 1)`. The derivative at the corners is 0.2, at NaN 0.
    HardSigmoid,
    /// `e^z`.
    Exponential,
    /// Also `silu`: `z · sigmoid(z)`.
    Swish,
    /// `z/2 · (1 + erf(z / √2))`, or its tanh form.
    Gelu {
        /// The tanh form.
        approximate: bool,
    },
    /// `z · tanh(softplus(z))`.
    Mish,
    /// `e^z / Σ e^z` over the output's last axis: the channels in `channels_last`, the last spatial axis in
    /// `channels_first`, as Keras does.
    Softmax,
    /// `z − ln Σ e^z` over the same axis.
    LogSoftmax,
}

/// What the derivative of an activation is computed from, and so what a forward pass keeps for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// Nothing: the derivative is 1.
    Nothing,
    /// The activated output.
    Output,
    /// The value before the activation, which the output doesn't determine.
    PreActivation,
}

impl Activation {
    /// Keras's plain `relu`.
    pub const RELU: Self = Self::Relu { negative_slope: 0.0, max_value: None, threshold: 0.0 };

    /// The activation that Keras 2.15's `activations.get` finds by `name` (case matters): a function, or an activation
    /// layer's class, which Keras then makes with its defaults.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for `PReLU`, whose slopes would be weights; [`Error::UnknownValue`] for any other name.
    pub fn from_keras_name(name: &str) -> Result<Self> {
        Ok(match name {
            "linear" => Self::Linear,
            "relu" => Self::RELU,
            "elu" => Self::Elu { alpha: 1.0 },
            "selu" => Self::Selu,
            "softplus" => Self::Softplus,
            "softsign" => Self::Softsign,
            "tanh" => Self::Tanh,
            "sigmoid" => Self::Sigmoid,
            "hard_sigmoid" => Self::HardSigmoid,
            "exponential" => Self::Exponential,
            "swish" | "silu" => Self::Swish,
            "gelu" => Self::Gelu { approximate: false },
            "mish" => Self::Mish,
            "softmax" | "Softmax" => Self::Softmax,
            "log_softmax" => Self::LogSoftmax,
            // TensorFlow's functions, which Keras finds under these names.
            "leaky_relu" => Self::Relu { negative_slope: 0.2, max_value: None, threshold: 0.0 },
            "relu6" => Self::Relu { negative_slope: 0.0, max_value: Some(6.0), threshold: 0.0 },
            "ReLU" => Self::RELU,
            "LeakyReLU" => Self::Relu { negative_slope: 0.3, max_value: None, threshold: 0.0 },
            "ThresholdedReLU" => Self::ThresholdedRelu { theta: 1.0 },
            "ELU" => Self::Elu { alpha: 1.0 },
            "PReLU" => {
                let what = "activation PReLU".into();
                return Err(Error::Unsupported { what, with: "here: its slopes are weights".into() });
            }
            _ => {
                return Err(Error::UnknownValue {
                    argument: "activation",
                    expected: "linear, relu, elu, selu, softplus, softsign, tanh, sigmoid, hard_sigmoid, exponential, swish, silu, gelu, mish, softmax, log_softmax, leaky_relu, relu6, or the class of an activation layer",
                    value: name.to_owned(),
                });
            }
        })
    }

    /// Whether each value depends on all of its row, the output's last axis.
    #[must_use]
    pub fn over_rows(&self) -> bool {
        matches!(self, Self::Softmax | Self::LogSoftmax)
    }

    /// The name of the function that Keras knows this activation by, or none where Keras has it only as a layer with arguments.
    #[must_use]
    pub fn keras_name(&self) -> Option<&'static str> {
        Some(match *self {
            Self::Linear => "linear",
            Self::RELU => "relu",
            Self::Elu { alpha: 1.0 } => "elu",
            Self::Selu => "selu",
            Self::Softplus => "softplus",
            Self::Softsign => "softsign",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::HardSigmoid => "hard_sigmoid",
            Self::Exponential => "exponential",
            Self::Swish => "swish",
            Self::Gelu { approximate: false } => "gelu",
            Self::Mish => "mish",
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log_softmax",
            Self::Relu { .. } | Self::ThresholdedRelu { .. } | Self::Elu { .. } | Self::Gelu { approximate: true } => {
                return None;
            }
        })
    }

    /// What the backward pass needs of the forward pass.
    ///
    /// The output suffices where it determines the derivative; `hard_sigmoid` and the clipped, leaky and shifted
    /// relus are ambiguous at their corners, swish, gelu and mish are not monotonic, and softsign makes NaN of infinities,
    /// at which its derivative is 0.
    #[must_use]
    pub fn saved(&self) -> Saved {
        match *self {
            Self::Linear => Saved::Nothing,
            Self::RELU
            | Self::Selu
            | Self::Softplus
            | Self::Tanh
            | Self::Sigmoid
            | Self::Exponential
            | Self::Softmax
            | Self::LogSoftmax => Saved::Output,
            Self::Elu { alpha } if alpha > 0.0 => Saved::Output,
            _ => Saved::PreActivation,
        }
    }

    /// Code and arguments for the shaders; the codes stand in `shaders/shared/activation.wgsl` under the same names.
    #[must_use]
    pub(crate) fn code(&self) -> (u32, [f32; 3]) {
        match *self {
            Self::Linear => (codes::LINEAR, [0.0; 3]),
            Self::Relu { negative_slope, max_value, threshold } => {
                // −0 would ask for the thresholded form.
                let threshold = if threshold == 0.0 { 0.0 } else { threshold };
                (codes::RELU, [negative_slope, max_value.unwrap_or(f32::INFINITY), threshold])
            }
            // A threshold of −0 is above the same numbers as one of 0.
            Self::ThresholdedRelu { theta } => {
                (codes::RELU, [0.0, f32::INFINITY, if theta == 0.0 { -0.0 } else { theta }])
            }
            Self::Elu { alpha } => (codes::ELU, [alpha, 0.0, 0.0]),
            Self::Selu => (codes::SELU, [0.0; 3]),
            Self::Softplus => (codes::SOFTPLUS, [0.0; 3]),
            Self::Softsign => (codes::SOFTSIGN, [0.0; 3]),
            Self::Tanh => (codes::TANH, [0.0; 3]),
            Self::Sigmoid => (codes::SIGMOID, [0.0; 3]),
            Self::HardSigmoid => (codes::HARD_SIGMOID, [0.0; 3]),
            Self::Exponential => (codes::EXPONENTIAL, [0.0; 3]),
            Self::Swish => (codes::SWISH, [0.0; 3]),
            Self::Gelu { approximate: false } => (codes::GELU, [0.0; 3]),
            Self::Gelu { approximate: true } => (codes::GELU_TANH, [0.0; 3]),
            Self::Mish => (codes::MISH, [0.0; 3]),
            // They couple a whole row, so they have kernels of their own and element-wise kernels pass them through.
            Self::Softmax | Self::LogSoftmax => (codes::LINEAR, [0.0; 3]),
        }
    }
}

/// The codes of the element-wise activations. `tests/shaders.rs` compares them with `shaders/shared/activation.wgsl`.
pub(crate) mod codes {
    pub(crate) const LINEAR: u32 = 0;
    pub(crate) const RELU: u32 = 1;
    pub(crate) const ELU: u32 = 2;
    pub(crate) const SELU: u32 = 3;
    pub(crate) const SOFTPLUS: u32 = 4;
    pub(crate) const SOFTSIGN: u32 = 5;
    pub(crate) const TANH: u32 = 6;
    pub(crate) const SIGMOID: u32 = 7;
    pub(crate) const HARD_SIGMOID: u32 = 8;
    pub(crate) const EXPONENTIAL: u32 = 9;
    pub(crate) const SWISH: u32 = 10;
    pub(crate) const GELU: u32 = 11;
    pub(crate) const GELU_TANH: u32 = 12;
    pub(crate) const MISH: u32 = 13;
    /// In a kernel's constant: whichever the uniform says.
    pub(crate) const ANY: u32 = 255;
    /// All of them with the names they have in WGSL.
    pub(crate) const ALL: [(&str, u32); 15] = [
        ("LINEAR", LINEAR),
        ("RELU", RELU),
        ("ELU", ELU),
        ("SELU", SELU),
        ("SOFTPLUS", SOFTPLUS),
        ("SOFTSIGN", SOFTSIGN),
        ("TANH", TANH),
        ("SIGMOID", SIGMOID),
        ("HARD_SIGMOID", HARD_SIGMOID),
        ("EXPONENTIAL", EXPONENTIAL),
        ("SWISH", SWISH),
        ("GELU", GELU),
        ("GELU_TANH", GELU_TANH),
        ("MISH", MISH),
        ("ANY", ANY),
    ];
}

//! Activations by Keras's names.

use crate::{Error, Result};

/// A Keras 2.15 activation, applied to the output after the bias.
///
/// Values and derivatives are Keras's at every number, including infinities and NaN, as `tests/activations.rs` checks.
/// NaN stays NaN, and where Keras turns an infinity into NaN (`swish`, `gelu` and `mish` of −∞, `softsign` of either, a
/// product with 0 below a threshold), so does this. Zeroes have Keras's signs, except where Keras's own depend on
/// whether a value is within one of its vectors or after the last of them (as for relu of −0). Numbers below 2⁻¹²⁶ may
/// count as 0, as in Keras. WGSL promises neither infinities nor NaN: kernels find NaN by its bits, and never multiply
/// 0 by what may be infinite where the result counts, so that they are right wherever the hardware has both, as
/// lavapipe does.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Activation {
    /// `z`.
    #[default]
    Linear,
    /// Keras's `relu` and its `ReLU` and `LeakyReLU` layers: the lesser of `z` and `max_value` for `z > threshold`,
    /// else `negative_slope · (z − threshold)`, even above `max_value`. The derivative at a threshold, or at 0, is 0;
    /// in the leaky form, without threshold and `max_value`, it is `negative_slope` at 0. At `max_value` it is 1; but 0
    /// if that is 6 and there is no threshold, for which Keras has another function. At NaN it is `negative_slope` in
    /// the leaky form, else 0.
    Relu {
        /// Slope below the threshold.
        negative_slope: f32,
        /// The most the output may be.
        max_value: Option<f32>,
        /// Where the linear part begins.
        threshold: f32,
    },
    /// Keras's `ThresholdedReLU` layer: `z · (z > theta)`. It differs from a relu with that threshold only if `theta`
    /// is 0, where it turns negative numbers into −0 and −∞ into NaN.
    ThresholdedRelu {
        /// Values up to this become 0.
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

/// What an activation's derivative is computed from, and a forward pass therefore keeps for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// The derivative is 1, so nothing is kept.
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

    /// Whether each value depends on its whole row, the output's last axis.
    #[must_use]
    pub fn over_rows(&self) -> bool {
        matches!(self, Self::Softmax | Self::LogSoftmax)
    }

    /// Keras's name of the function, or none if Keras has it only as a layer with arguments.
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

    /// What the backward pass needs from the forward pass.
    ///
    /// The output is enough if it determines the derivative. It doesn't for `hard_sigmoid` and the clipped, leaky and
    /// shifted relus at their corners, nor for swish, gelu and mish, which aren't monotonic. Softsign turns infinities,
    /// where its derivative is 0, into NaN.
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

    /// The code and arguments for shaders; `shaders/shared/activation.wgsl` has the codes under the same names.
    #[must_use]
    pub(crate) fn code(&self) -> (u32, [f32; 3]) {
        match *self {
            Self::Linear => (codes::LINEAR, [0.0; 3]),
            Self::Relu { negative_slope, max_value, threshold } => {
                // A threshold of −0 would select the thresholded form.
                let threshold = if threshold == 0.0 { 0.0 } else { threshold };
                (codes::RELU, [negative_slope, max_value.unwrap_or(f32::INFINITY), threshold])
            }
            // The same numbers are above a threshold of −0 as above one of 0.
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
            // They depend on a whole row, so they have kernels of their own; kernels of single elements leave values as
            // they are.
            Self::Softmax | Self::LogSoftmax => (codes::LINEAR, [0.0; 3]),
        }
    }
}

/// The codes of activations of single elements. `tests/shaders.rs` compares them with `shaders/shared/activation.wgsl`.
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
    /// In a kernel's constant: the uniform says which.
    pub(crate) const ANY: u32 = 255;
    /// All codes, with their names in WGSL.
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

//! Keras's initializers by their names and arguments; [`crate::train`] draws their values.

use crate::{Error, Result};

/// How a new layer's weights or bias are drawn: Keras 2.15's initializers with their arguments and defaults.
///
/// An initializer's own `seed` takes precedence over the one given when values are drawn. The numbers are this crate's,
/// not TensorFlow's: the distribution is the same, and every platform draws the same bits.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Initializer {
    /// All values 0.
    Zeros,
    /// All values 1.
    Ones,
    /// All values the same.
    Constant {
        /// The value.
        value: f32,
    },
    /// Normally distributed values.
    RandomNormal {
        /// The mean.
        mean: f32,
        /// The standard deviation.
        stddev: f32,
        /// A seed of the initializer's own.
        seed: Option<i64>,
    },
    /// Uniformly distributed values.
    RandomUniform {
        /// The lower bound.
        minval: f32,
        /// The upper bound.
        maxval: f32,
        /// A seed of the initializer's own.
        seed: Option<i64>,
    },
    /// Normally distributed values. Those over two standard deviations from the mean are drawn again, and the others
    /// aren't rescaled.
    TruncatedNormal {
        /// The mean before anything is cut.
        mean: f32,
        /// The standard deviation before anything is cut.
        stddev: f32,
        /// A seed of the initializer's own.
        seed: Option<i64>,
    },
    /// A variance of `scale / n`, where `n` is the number that `mode` names, at least 1.
    VarianceScaling {
        /// The variance times `n`; over 0.
        scale: f32,
        /// Which number `n` is.
        mode: FanMode,
        /// The shape of the distribution.
        distribution: Distribution,
        /// A seed of the initializer's own.
        seed: Option<i64>,
    },
    /// [`Initializer::VarianceScaling`] of scale 1, [`FanMode::Average`], uniform.
    GlorotUniform {
        /// A seed of the initializer's own.
        seed: Option<i64>,
    },
    /// [`Initializer::VarianceScaling`] of scale 1, [`FanMode::Average`], truncated normal.
    GlorotNormal {
        /// A seed of the initializer's own.
        seed: Option<i64>,
    },
    /// [`Initializer::VarianceScaling`] of scale 2, [`FanMode::In`], uniform.
    HeUniform {
        /// A seed of the initializer's own.
        seed: Option<i64>,
    },
    /// [`Initializer::VarianceScaling`] of scale 2, [`FanMode::In`], truncated normal.
    HeNormal {
        /// A seed of the initializer's own.
        seed: Option<i64>,
    },
    /// [`Initializer::VarianceScaling`] of scale 1, [`FanMode::In`], uniform.
    LecunUniform {
        /// A seed of the initializer's own.
        seed: Option<i64>,
    },
    /// [`Initializer::VarianceScaling`] of scale 1, [`FanMode::In`], truncated normal.
    LecunNormal {
        /// A seed of the initializer's own.
        seed: Option<i64>,
    },
    /// Orthogonal rows or columns, in the matrix whose columns are the last axis and whose rows are all other axes
    /// together; at least two axes.
    Orthogonal {
        /// What the matrix is multiplied by.
        gain: f32,
        /// A seed of the initializer's own.
        seed: Option<i64>,
    },
    /// The identity matrix. It needs two axes, as the bias of a layer of one spatial axis has.
    Identity {
        /// What the matrix is multiplied by.
        gain: f32,
    },
    /// A user's own object, as Keras's JSON; nothing can be drawn from it here.
    Custom(String),
}

/// What [`Initializer::VarianceScaling`] divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum FanMode {
    /// The number of inputs of an output.
    #[cfg_attr(feature = "serde", serde(rename = "fan_in"))]
    In,
    /// The number of outputs of an input.
    #[cfg_attr(feature = "serde", serde(rename = "fan_out"))]
    Out,
    /// The mean of the two.
    #[cfg_attr(feature = "serde", serde(rename = "fan_avg"))]
    Average,
}

/// The distribution of [`Initializer::VarianceScaling`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Distribution {
    /// Normally distributed and cut at two standard deviations; the deviation is widened so that the variance after the
    /// cut is right.
    TruncatedNormal,
    /// Normally distributed, without a cut.
    UntruncatedNormal,
    /// Between plus and minus √(3 · variance).
    Uniform,
}

impl Initializer {
    /// Keras's default for weights.
    pub const GLOROT_UNIFORM: Self = Self::GlorotUniform { seed: None };

    /// The initializer that Keras 2.15's `initializers.get` finds by `name` (case matters), with its default arguments.
    ///
    /// # Errors
    /// [`Error::UnknownValue`] for any other name.
    pub fn from_keras_name(name: &str) -> Result<Self> {
        let seed = None;
        // TensorFlow's second versions have names of their own.
        Ok(match name.strip_suffix("V2").unwrap_or(name) {
            "Zeros" | "zeros" | "zero" => Self::Zeros,
            "Ones" | "ones" | "one" => Self::Ones,
            "Constant" | "constant" => Self::Constant { value: 0.0 },
            "RandomNormal" | "random_normal" | "normal" => Self::RandomNormal { mean: 0.0, stddev: 0.05, seed },
            "RandomUniform" | "random_uniform" | "uniform" => Self::RandomUniform { minval: -0.05, maxval: 0.05, seed },
            "TruncatedNormal" | "truncated_normal" => Self::TruncatedNormal { mean: 0.0, stddev: 0.05, seed },
            "VarianceScaling" | "variance_scaling" => {
                let (mode, distribution) = (FanMode::In, Distribution::TruncatedNormal);
                Self::VarianceScaling { scale: 1.0, mode, distribution, seed }
            }
            "GlorotUniform" | "glorot_uniform" => Self::GlorotUniform { seed },
            "GlorotNormal" | "glorot_normal" => Self::GlorotNormal { seed },
            "HeUniform" | "he_uniform" => Self::HeUniform { seed },
            "HeNormal" | "he_normal" => Self::HeNormal { seed },
            "LecunUniform" | "lecun_uniform" => Self::LecunUniform { seed },
            "LecunNormal" | "lecun_normal" => Self::LecunNormal { seed },
            "Orthogonal" | "orthogonal" => Self::Orthogonal { gain: 1.0, seed },
            "Identity" | "identity" => Self::Identity { gain: 1.0 },
            _ => {
                return Err(Error::UnknownValue {
                    argument: "initializer",
                    expected: "zeros, ones, constant, random_normal, random_uniform, truncated_normal, variance_scaling, glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, orthogonal, identity",
                    value: name.to_owned(),
                });
            }
        })
    }

    /// Scale, mode and distribution, for all initializers that are variance scalings under some name.
    #[must_use]
    pub fn variance_scaling(&self) -> Option<(f32, FanMode, Distribution)> {
        use Distribution::{TruncatedNormal, Uniform};
        Some(match *self {
            Self::VarianceScaling { scale, mode, distribution, .. } => (scale, mode, distribution),
            Self::GlorotUniform { .. } => (1.0, FanMode::Average, Uniform),
            Self::GlorotNormal { .. } => (1.0, FanMode::Average, TruncatedNormal),
            Self::HeUniform { .. } => (2.0, FanMode::In, Uniform),
            Self::HeNormal { .. } => (2.0, FanMode::In, TruncatedNormal),
            Self::LecunUniform { .. } => (1.0, FanMode::In, Uniform),
            Self::LecunNormal { .. } => (1.0, FanMode::In, TruncatedNormal),
            _ => return None,
        })
    }

    /// The initializer's own seed, if it has one.
    #[must_use]
    pub fn seed(&self) -> Option<i64> {
        match *self {
            Self::RandomNormal { seed, .. }
            | Self::RandomUniform { seed, .. }
            | Self::TruncatedNormal { seed, .. }
            | Self::VarianceScaling { seed, .. }
            | Self::GlorotUniform { seed }
            | Self::GlorotNormal { seed }
            | Self::HeUniform { seed }
            | Self::HeNormal { seed }
            | Self::LecunUniform { seed }
            | Self::LecunNormal { seed }
            | Self::Orthogonal { seed, .. } => seed,
            Self::Zeros | Self::Ones | Self::Constant { .. } | Self::Identity { .. } | Self::Custom(_) => None,
        }
    }
}

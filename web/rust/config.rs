//! A locally connected layer's arguments, as the TypeScript has read them (`web/src/config.ts`).

use crate::error::{Result, of_library, thrown};
#[cfg(feature = "train")]
use crate::{named::Named, rules};
use locally_connected::{
    Activation, Bias, Config, DataFormat, Error, Implementation, KerasLayout, Padding, WeightType,
};
use wasm_bindgen::prelude::wasm_bindgen;

/// All arguments of a layer; what isn't set is as in Keras.
#[wasm_bindgen]
pub struct LayerConfig {
    pub(crate) config: Config,
    pub(crate) layout: KerasLayout,
    #[cfg(feature = "train")]
    pub(crate) trainable: bool,
}

/// Sizes as the library has them.
pub(crate) fn sizes(values: &[u32]) -> Vec<usize> {
    values.iter().map(|&value| value as usize).collect()
}

#[wasm_bindgen]
impl LayerConfig {
    /// # Errors
    /// None; what is wrong shows when the layer is made.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(filters: u32, kernel_size: &[u32]) -> Self {
        let config = Config::new(filters as usize, sizes(kernel_size));
        Self {
            config,
            layout: KerasLayout::Implementation1,
            #[cfg(feature = "train")]
            trainable: true,
        }
    }

    /// Steps between windows.
    pub fn strides(&mut self, strides: &[u32]) {
        self.config.strides = sizes(strides);
    }

    /// Steps between taps.
    #[wasm_bindgen(js_name = dilationRate)]
    pub fn dilation_rate(&mut self, rate: &[u32]) {
        self.config.dilation_rate = sizes(rate);
    }

    /// Groups of channels.
    pub fn groups(&mut self, groups: u32) {
        self.config.groups = groups as usize;
    }

    /// A padding by name.
    ///
    /// # Errors
    /// For another name.
    pub fn padding(&mut self, padding: &str) -> Result<()> {
        self.config.padding = match padding {
            "valid" => Padding::Valid,
            "same" => Padding::Same,
            "same_upper" => Padding::SameUpper,
            "circular" => Padding::Circular,
            _ => return unknown("padding", "\"valid\", \"same\", \"sameUpper\", \"circular\"", padding),
        };
        Ok(())
    }

    /// Positions before and after each axis, one axis after another.
    pub fn pads(&mut self, pads: &[u32]) {
        let pairs = pads.chunks_exact(2).map(|pair| [pair[0] as usize, pair[1] as usize]);
        self.config.padding = Padding::Explicit(pairs.collect());
    }

    /// Where the channels stand.
    ///
    /// # Errors
    /// For another name.
    #[wasm_bindgen(js_name = dataFormat)]
    pub fn data_format(&mut self, data_format: &str) -> Result<()> {
        self.config.data_format = match data_format {
            "channels_last" => DataFormat::ChannelsLast,
            "channels_first" => DataFormat::ChannelsFirst,
            _ => return unknown("data_format", "\"channels_first\", \"channels_last\"", data_format),
        };
        Ok(())
    }

    /// An activation by Keras's name, or a layer of Keras's with its numbers.
    ///
    /// # Errors
    /// For another name.
    pub fn activation(&mut self, name: &str, numbers: &[f32]) -> Result<()> {
        self.config.activation = activation(name, numbers)?;
        Ok(())
    }

    /// `none`, `per_location` or `per_filter`.
    ///
    /// # Errors
    /// For another name.
    pub fn bias(&mut self, bias: &str) -> Result<()> {
        self.config.bias = match bias {
            "none" => Bias::None,
            "per_location" => Bias::PerLocation,
            "per_filter" => Bias::PerFilter,
            _ => return unknown("bias", "\"none\", \"perLocation\", \"perFilter\"", bias),
        };
        Ok(())
    }

    /// Keras's `implementation`, in whose layout weights are given and taken.
    ///
    /// # Errors
    /// For another number.
    pub fn implementation(&mut self, number: f64) -> Result<()> {
        // Fractions are no number of Keras's either.
        let number = if number.fract() == 0.0 { number as i64 } else { -1 };
        self.layout = KerasLayout::from_keras(number).map_err(of_library)?;
        Ok(())
    }

    /// How it is executed: `auto`, `loop`, `dense` or `sparse`.
    ///
    /// # Errors
    /// For another name.
    pub fn execution(&mut self, name: &str) -> Result<()> {
        let found = Implementation::ALL.into_iter().find(|one| one.name() == name);
        if found.is_none() && name != "auto" {
            return unknown("execution", "\"auto\", \"loop\", \"dense\", \"sparse\"", name);
        }
        self.config.implementation = found;
        Ok(())
    }

    /// Keeps the weights as 16-bit floats.
    #[wasm_bindgen(js_name = halfWeights)]
    pub fn half_weights(&mut self) {
        self.config.dtype = WeightType::F16;
    }
}

#[cfg(feature = "train")]
#[wasm_bindgen]
impl LayerConfig {
    /// Whether its gradients are wanted.
    pub fn trainable(&mut self, trainable: bool) {
        self.trainable = trainable;
    }

    /// Sets an initializer, a regularizer or a constraint by Keras's argument.
    ///
    /// # Errors
    /// For one that isn't here.
    pub fn rule(&mut self, argument: &str, rule: Named) -> Result<()> {
        let config = &mut self.config;
        match argument {
            "kernel_initializer" => config.kernel_initializer = rule.read(rules::initializer)?,
            "bias_initializer" => config.bias_initializer = rule.read(rules::initializer)?,
            "kernel_regularizer" => config.kernel_regularizer = Some(rule.read(rules::regularizer)?),
            "bias_regularizer" => config.bias_regularizer = Some(rule.read(rules::regularizer)?),
            "activity_regularizer" => config.activity_regularizer = Some(rule.read(rules::regularizer)?),
            "kernel_constraint" => config.kernel_constraint = Some(rule.read(rules::constraint)?),
            "bias_constraint" => config.bias_constraint = Some(rule.read(rules::constraint)?),
            _ => return Err(thrown("internal", format!("no rule {argument}"))),
        }
        Ok(())
    }
}

fn unknown<T>(argument: &'static str, expected: &'static str, value: &str) -> Result<T> {
    Err(of_library(Error::UnknownValue { argument, expected, value: format!("\"{value}\"") }))
}

/// `ReLU`, `LeakyReLU`, `ThresholdedReLU` and `ELU` with their numbers as Keras orders them, NaN being none; or a name.
pub(crate) fn activation(name: &str, numbers: &[f32]) -> Result<Activation> {
    match (name, numbers) {
        ("ReLU", &[max_value, negative_slope, threshold]) => {
            let max_value = Some(max_value).filter(|value| !value.is_nan());
            Ok(Activation::Relu { negative_slope, max_value, threshold })
        }
        ("ELU", &[alpha]) => Ok(Activation::Elu { alpha }),
        (name, []) => Activation::from_keras_name(name).map_err(of_library),
        _ => Err(thrown("internal", format!("{} numbers of {name}", numbers.len()))),
    }
}

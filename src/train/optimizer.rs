//! Optimizers, by Keras's names and arguments.

use super::Schedule;
pub use crate::ops::Rule;
use crate::{Error, Result};

/// Limits that large gradients are scaled or cut to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Clipping {
    /// The largest norm of one parameter's gradient; 0 is off.
    pub clipnorm: Option<f64>,
    /// The largest absolute value.
    pub clipvalue: Option<f64>,
    /// The largest norm of all gradients together; 0 is off.
    pub global_clipnorm: Option<f64>,
}

/// Which limit of a [`Clipping`] acts: Keras takes the norm if there is one, else the norm of all, else the value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Clip {
    Nothing,
    Norm(f32),
    GlobalNorm(f32),
    Value(f32),
}

impl Clipping {
    pub(super) fn acting(&self) -> Clip {
        let on = |limit: Option<f64>| limit.filter(|&limit| limit > 0.0).map(|limit| limit as f32);
        match (on(self.clipnorm), on(self.global_clipnorm), on(self.clipvalue)) {
            (Some(limit), ..) => Clip::Norm(limit),
            (None, Some(limit), _) => Clip::GlobalNorm(limit),
            (None, None, Some(limit)) => Clip::Value(limit),
            (None, None, None) => Clip::Nothing,
        }
    }
}

/// Moving averages of the parameters, which replace them at the end.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ema {
    /// The share that an average keeps of itself in a step; Keras's default is 0.99.
    pub momentum: f64,
    /// After how many steps the averages replace the parameters; they also do at the end of each `fit`. Keras's default
    /// is none, and 100 for RMSprop.
    pub overwrite_frequency: Option<u64>,
}

/// An optimizer with Keras 2.15's arguments.
///
/// ```
/// use locally_connected::train::{Optimizer, Rule, Schedule};
/// let schedule = Schedule::ExponentialDecay {
///     initial_learning_rate: 0.01, decay_steps: 100, decay_rate: 0.5, staircase: false,
/// };
/// let optimizer = Optimizer::sgd().learning_rate(schedule).momentum(0.9).clipnorm(1.0);
/// optimizer.check()?;
/// assert_eq!(optimizer.rule, Rule::Sgd { momentum: 0.9, nesterov: false });
/// assert!(optimizer.global_clipnorm(1.0).check().is_err());
/// # Ok::<(), locally_connected::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Optimizer {
    /// How a parameter follows its gradient.
    pub rule: Rule,
    /// The learning rate, by the number of steps done.
    pub learning_rate: Schedule,
    /// The share that a parameter loses before each step, times the learning rate; no decay without it.
    pub weight_decay: Option<f64>,
    /// Parameters without weight decay: those whose name, `<layer>/<parameter>`, contains one of these, as with Keras's
    /// `exclude_from_weight_decay(var_names=…)` for names that aren't regular expressions.
    pub exclude_from_weight_decay: Vec<String>,
    /// Limits of gradients.
    pub clipping: Clipping,
    /// Averages of the parameters, if any are kept.
    pub ema: Option<Ema>,
}

impl Optimizer {
    fn new(rule: Rule, learning_rate: f64) -> Self {
        Self {
            rule,
            learning_rate: learning_rate.into(),
            weight_decay: None,
            exclude_from_weight_decay: Vec::new(),
            clipping: Clipping::default(),
            ema: None,
        }
    }

    /// Keras's `SGD`: rate 0.01.
    #[must_use]
    pub fn sgd() -> Self {
        Self::new(Rule::Sgd { momentum: 0.0, nesterov: false }, 0.01)
    }

    /// Keras's `Adam`: rate 0.001.
    #[must_use]
    pub fn adam() -> Self {
        Self::new(Rule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false }, 0.001)
    }

    /// Keras's `AdamW`: `Adam` with a weight decay of 0.004.
    #[must_use]
    pub fn adamw() -> Self {
        Self { weight_decay: Some(0.004), ..Self::adam() }
    }

    /// Keras's `RMSprop`: rate 0.001.
    #[must_use]
    pub fn rmsprop() -> Self {
        Self::new(Rule::RmsProp { rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false }, 0.001)
    }

    /// The optimizer that Keras 2.15's `optimizers.get` finds by `name`, in any case, with its default arguments. Like
    /// Keras's it doesn't find `"adamw"`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for other optimizers of Keras's, [`Error::UnknownValue`] for any other name.
    pub fn from_keras_name(name: &str) -> Result<Self> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "sgd" | "experimentalsgd" => Self::sgd(),
            "adam" | "experimentaladam" => Self::adam(),
            "rmsprop" => Self::rmsprop(),
            other @ ("adadelta"
            | "adagrad"
            | "adamax"
            | "nadam"
            | "ftrl"
            | "experimentaladadelta"
            | "experimentaladagrad"
            | "lossscaleoptimizer"
            | "lossscaleoptimizerv1"
            | "lossscaleoptimizerv3") => {
                let with = "here: SGD, Adam, AdamW and RMSprop are".into();
                return Err(Error::Unsupported { what: format!("the optimizer {other}"), with });
            }
            _ => {
                let (argument, expected) = ("optimizer", "sgd, adam, rmsprop in any case");
                return Err(Error::UnknownValue { argument, expected, value: name.to_owned() });
            }
        })
    }

    /// Sets the learning rate or its schedule.
    #[must_use]
    pub fn learning_rate(self, learning_rate: impl Into<Schedule>) -> Self {
        Self { learning_rate: learning_rate.into(), ..self }
    }

    /// Sets the momentum of SGD or RMSprop. Adam has no such argument and stays as it is.
    #[must_use]
    pub fn momentum(mut self, value: f64) -> Self {
        if let Rule::Sgd { momentum, .. } | Rule::RmsProp { momentum, .. } = &mut self.rule {
            *momentum = value;
        }
        self
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn weight_decay(self, weight_decay: impl Into<Option<f64>>) -> Self {
        Self { weight_decay: weight_decay.into(), ..self }
    }

    /// Sets the largest norm of one parameter's gradient.
    #[must_use]
    pub fn clipnorm(mut self, limit: impl Into<Option<f64>>) -> Self {
        self.clipping.clipnorm = limit.into();
        self
    }

    /// Sets the largest absolute value in a gradient.
    #[must_use]
    pub fn clipvalue(mut self, limit: impl Into<Option<f64>>) -> Self {
        self.clipping.clipvalue = limit.into();
        self
    }

    /// Sets the largest norm of all gradients together.
    #[must_use]
    pub fn global_clipnorm(mut self, limit: impl Into<Option<f64>>) -> Self {
        self.clipping.global_clipnorm = limit.into();
        self
    }

    /// Keeps averages of the parameters.
    #[must_use]
    pub fn ema(self, ema: impl Into<Option<Ema>>) -> Self {
        Self { ema: ema.into(), ..self }
    }

    /// Keras's name of this optimizer.
    #[must_use]
    pub fn keras_name(&self) -> &'static str {
        match self.rule {
            Rule::Sgd { .. } => "SGD",
            Rule::Adam { .. } => "Adam",
            Rule::RmsProp { .. } => "RMSprop",
        }
    }

    /// Whether Keras takes these arguments.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for `clipnorm` with `global_clipnorm`; [`Error::UnknownValue`] for a momentum or an average's momentum
    /// outside of 0 to 1, and for a number that isn't finite; those of [`Schedule::check`].
    pub fn check(&self) -> Result<()> {
        self.learning_rate.check()?;
        let Clipping { clipnorm, clipvalue, global_clipnorm } = self.clipping;
        if let (Some(one), Some(all)) = (clipnorm, global_clipnorm) {
            let what = format!("clipnorm={one}");
            return Err(Error::Unsupported {
                what,
                with: format!("with global_clipnorm={all}: one of the two may be"),
            });
        }
        let numbers = |list: &[(&'static str, f64)]| -> Vec<_> { list.to_vec() };
        let (unit, any) = match self.rule {
            Rule::Sgd { momentum, .. } => (numbers(&[("momentum", momentum)]), Vec::new()),
            Rule::Adam { beta_1, beta_2, epsilon, .. } => {
                (numbers(&[("beta_1", beta_1), ("beta_2", beta_2)]), numbers(&[("epsilon", epsilon)]))
            }
            Rule::RmsProp { rho, momentum, epsilon, .. } => {
                (numbers(&[("rho", rho), ("momentum", momentum)]), numbers(&[("epsilon", epsilon)]))
            }
        };
        let ema = self.ema.map(|ema| ("ema_momentum", ema.momentum));
        for (argument, value) in unit.into_iter().chain(ema) {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::UnknownValue { argument, expected: "from 0 to 1", value: value.to_string() });
            }
        }
        let limits = [("clipnorm", clipnorm), ("clipvalue", clipvalue), ("global_clipnorm", global_clipnorm)];
        let limits = limits.into_iter().chain([("weight_decay", self.weight_decay)]);
        let limits = limits.filter_map(|(argument, value)| Some((argument, value?)));
        for (argument, value) in any.into_iter().chain(limits) {
            if !value.is_finite() {
                return Err(Error::UnknownValue { argument, expected: "a finite number", value: value.to_string() });
            }
        }
        match self.ema.and_then(|ema| ema.overwrite_frequency) {
            Some(0) => Err(Error::NotPositive { argument: "ema_overwrite_frequency", value: 0 }),
            _ => Ok(()),
        }
    }

    /// Whether the parameter of this name has weight decay.
    pub(super) fn decays(&self, name: &str) -> bool {
        !self.exclude_from_weight_decay.iter().any(|part| name.contains(part.as_str()))
    }
}

//! What training asks of a layer: regularizers and constraints.

use super::layers::Parameter;
use crate::config::{Config, Constraint, Regularizer};
use crate::{Error, Result};

/// What training asks of a layer: regularizers and constraints. Inference doesn't look at them.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rules {
    /// What parameters add to the loss, by the parameters' names. Of one name the first counts.
    pub regularizers: Vec<(String, Regularizer)>,
    /// What parameters are constrained to after each step, by the parameters' names. Of one name the first counts.
    pub constraints: Vec<(String, Constraint)>,
    /// What the layer's activated output adds to the loss, divided by the batch.
    pub activity_regularizer: Option<Regularizer>,
}

/// What is listed for the parameter of that name.
fn of<'a, T>(listed: &'a [(String, T)], parameter: &str) -> Option<&'a T> {
    listed.iter().find(|(name, _)| name == parameter).map(|(_, rule)| rule)
}

/// Adds what others list for parameters that have nothing yet.
fn add<T>(own: &mut Vec<(String, T)>, others: Vec<(String, T)>) {
    for (name, rule) in others {
        if of(own, &name).is_none() {
            own.push((name, rule));
        }
    }
}

impl Rules {
    /// What the parameter of that name adds to the loss.
    #[must_use]
    pub fn regularizer(&self, parameter: &str) -> Option<&Regularizer> {
        of(&self.regularizers, parameter)
    }

    /// What the parameter of that name is constrained to after each step.
    #[must_use]
    pub fn constraint(&self, parameter: &str) -> Option<&Constraint> {
        of(&self.constraints, parameter)
    }

    /// The rules in a configuration, whose weights are called `weights`.
    pub(super) fn of(config: &Config, weights: &str) -> Self {
        let mut rules = Self { activity_regularizer: config.activity_regularizer.clone(), ..Self::default() };
        let parts = [
            (weights, &config.kernel_regularizer, &config.kernel_constraint),
            ("bias", &config.bias_regularizer, &config.bias_constraint),
        ];
        for (name, regularizer, constraint) in parts {
            rules.regularizers.extend(regularizer.clone().map(|regularizer| (name.to_owned(), regularizer)));
            rules.constraints.extend(constraint.clone().map(|constraint| (name.to_owned(), constraint)));
        }
        rules
    }

    /// These rules, with those of `other` for what these leave open.
    pub(super) fn or(mut self, other: Self) -> Self {
        add(&mut self.regularizers, other.regularizers);
        add(&mut self.constraints, other.constraints);
        self.activity_regularizer = self.activity_regularizer.or(other.activity_regularizer);
        self
    }

    /// Refuses rules of parameters that the layer doesn't have. Those of a bias do nothing then: Keras accepts and ignores them.
    pub(super) fn check(&self, parameters: &[Parameter]) -> Result<()> {
        let known = |name: &str| name == "bias" || parameters.iter().any(|parameter| parameter.name == name);
        let regularized = self.regularizers.iter().map(|(name, _)| name);
        match regularized.chain(self.constraints.iter().map(|(name, _)| name)).find(|name| !known(name)) {
            Some(name) => Err(Error::NoBuffer { name: name.clone() }),
            None => Ok(()),
        }
    }
}

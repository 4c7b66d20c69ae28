//! What training asks of a layer: regularizers and constraints.

use super::layers::Parameter;
use crate::config::{Config, Constraint, Regularizer};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// What training asks of a layer: regularizers and constraints. Inference doesn't look at them.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rules {
    /// What parameters add to the loss, by the parameters' names.
    pub regularizers: BTreeMap<String, Regularizer>,
    /// What parameters are constrained to after each step, by the parameters' names.
    pub constraints: BTreeMap<String, Constraint>,
    /// What the layer's activated output adds to the loss, divided by the batch.
    pub activity_regularizer: Option<Regularizer>,
}

impl Rules {
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
        let own = std::mem::replace(&mut self.regularizers, other.regularizers);
        self.regularizers.extend(own);
        let own = std::mem::replace(&mut self.constraints, other.constraints);
        self.constraints.extend(own);
        self.activity_regularizer = self.activity_regularizer.or(other.activity_regularizer);
        self
    }

    /// Refuses rules of parameters that the layer doesn't have. Those of a bias do nothing then: Keras accepts and ignores them.
    pub(super) fn check(&self, parameters: &[Parameter]) -> Result<()> {
        let known = |name: &str| name == "bias" || parameters.iter().any(|parameter| parameter.name == name);
        match self.regularizers.keys().chain(self.constraints.keys()).find(|name| !known(name)) {
            Some(name) => Err(Error::NoBuffer { name: name.clone() }),
            None => Ok(()),
        }
    }
}

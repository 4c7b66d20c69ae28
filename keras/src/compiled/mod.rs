//! How a model was compiled, and the state of its optimizer.

mod data;
mod loss;
mod optimizer;
mod state;

pub use data::{AVERAGE, Compiled, OptimizerState};
pub use loss::{loss_from_keras, loss_to_keras, metric_from_keras};
pub use optimizer::{optimizer_from_keras, optimizer_to_keras, schedule_from_keras};
pub(crate) use state::{OPTIMIZER, Slot, StateArray};
use state::{read_state, state_names, write_state};

use crate::error::{Problem, Result};
use crate::json::{self, Object};
use crate::model_file::ModelFile;
use locally_connected::train::{Goal, Metric, Optimizer};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The number of steps and the other arrays of an optimizer; none if the file has none.
pub(crate) type StoredState = Result<Option<(u64, Vec<StateArray>)>, Problem>;

/// Gives the optimizer's arrays of these names.
pub(crate) type ByNames<'a> = dyn Fn(&[String]) -> Result<Vec<StateArray>, Problem> + 'a;

impl Compiled {
    /// What `compile` would be called with for these goals, which are named after the outputs, in their order.
    #[must_use]
    pub fn new(optimizer: &Optimizer, goals: &[(String, Goal)]) -> Self {
        let of_each = |of: &dyn Fn(&Goal) -> Value| match goals {
            [(_, goal)] => of(goal),
            goals if goals.iter().all(|(_, goal)| of(goal).is_null()) => Value::Null,
            goals => goals.iter().map(|(name, goal)| (name.clone(), of(goal))).collect::<Object>().into(),
        };
        let names = |metrics: &[Metric]| match metrics {
            [] => Value::Null,
            metrics => metrics.iter().map(|metric| metric.name.as_str()).collect(),
        };
        let config = json!({
            "optimizer": optimizer_to_keras(optimizer),
            "loss": of_each(&|goal| goal.loss.as_ref().map_or(Value::Null, loss_to_keras)),
            "metrics": of_each(&|goal| names(&goal.metrics)),
            "loss_weights": of_each(&|goal| json!(goal.weight)),
            "weighted_metrics": of_each(&|goal| names(&goal.weighted_metrics)),
            "run_eagerly": null, "steps_per_execution": null, "jit_compile": null,
        });
        let mut lost = Vec::new();
        if !optimizer.exclude_from_weight_decay.is_empty() {
            let names = optimizer.exclude_from_weight_decay.join(", ");
            lost.push(format!("what isn't to decay ({names}), which Keras's files don't say"));
        }
        Self { lost, ..Self::from_config(config) }
    }

    /// From the dictionary that Keras's `get_compile_config` gives.
    #[must_use]
    pub fn from_config(config: Value) -> Self {
        Self { config, state: None, lost: Vec::new() }
    }

    pub(crate) fn unreadable(why: &str) -> Self {
        Self { config: Value::Null, state: None, lost: vec![format!("how the model was compiled: {why}")] }
    }

    /// Whether the optimizer is one of Keras up to 2.10, or of Keras 3, which have other names of arguments and other
    /// variables.
    fn is_of_another_keras(&self) -> bool {
        let config = self.config.get("optimizer").and_then(|optimizer| optimizer.get("config"));
        config.is_some_and(|config| config.get("is_legacy_optimizer") != Some(&Value::Bool(false)))
    }

    /// The same with an optimizer that Keras 2.15 reads. If ours can't be one, it is left out, which `lost` then says.
    fn of_today(mut self) -> Self {
        let is_name = self.config.get("optimizer").is_some_and(Value::is_string);
        if self.is_of_another_keras() || is_name {
            let optimizer = match self.optimizer() {
                Ok(optimizer) => optimizer_to_keras(&optimizer),
                Err(error) => {
                    self.lost.push(format!("how the model was compiled: {error}"));
                    Value::Null
                }
            };
            if let Value::Object(config) = &mut self.config {
                config.insert("optimizer".into(), optimizer);
            }
        }
        self
    }

    /// The same with the state in a file's arrays: the number of steps, and the others. If they can't be read, `lost`
    /// says so.
    pub(crate) fn with_state(mut self, model: &ModelFile, arrays: &dyn Fn() -> StoredState) -> Self {
        match self.found_state(model, arrays) {
            Ok(state) => self.state = state,
            Err(why) => self.lost.push(format!("the optimizer's state: {why}")),
        }
        self.of_today()
    }

    fn found_state(
        &self,
        model: &ModelFile,
        arrays: &dyn Fn() -> StoredState,
    ) -> Result<Option<OptimizerState>, String> {
        let Some((iterations, arrays)) = arrays().map_err(|problem| problem.to_string())? else { return Ok(None) };
        if self.is_of_another_keras() {
            return Err("it is none of Keras 2.11 to 2.15".into());
        }
        let optimizer = self.optimizer().map_err(|error| error.to_string())?;
        // Keras makes them in the first step.
        if arrays.is_empty() {
            return Ok(None);
        }
        read_state(model, &optimizer, iterations, arrays).map(Some)
    }

    /// The same with the state in the tensors of our own format.
    pub(crate) fn with_tensors(mut self, model: &ModelFile, iterations: Option<u64>, arrays: &ByNames<'_>) -> Self {
        let Some(iterations) = iterations else { return self };
        let state = self.optimizer().map_err(|error| error.to_string()).and_then(|optimizer| {
            let arrays = arrays(&state_names(model, &optimizer)).map_err(|problem| problem.to_string())?;
            read_state(model, &optimizer, iterations, arrays)
        });
        match state {
            Ok(state) => self.state = Some(state),
            Err(why) => self.lost.push(format!("the optimizer's state: {why}")),
        }
        self
    }

    /// The number of steps, and the state's arrays as Keras stores them; none without a state or a known optimizer.
    pub(crate) fn stored_state(&self, model: &ModelFile) -> Result<Option<(u64, Vec<Slot>)>> {
        match (&self.state, self.optimizer()) {
            (Some(state), Ok(optimizer)) => Ok(Some((state.iterations, write_state(model, &optimizer, state)?))),
            _ => Ok(None),
        }
    }

    /// The optimizer.
    ///
    /// # Errors
    /// Those of [`optimizer_from_keras`].
    pub fn optimizer(&self) -> locally_connected::Result<Optimizer> {
        optimizer_from_keras(self.config.get("optimizer").unwrap_or(&Value::Null))
    }

    /// The goal of each output, by the outputs' names in their order.
    ///
    /// # Errors
    /// Those of [`loss_from_keras`] and [`metric_from_keras`], and
    /// [`UnknownValue`](locally_connected::Error::UnknownValue) for an output that has a metric twice.
    pub fn goals(&self, outputs: &[&str]) -> locally_connected::Result<Vec<Goal>> {
        let given = |key: &str| self.config.get(key).unwrap_or(&Value::Null);
        let goal = |(at, name): (usize, &&str)| {
            let loss = match of_output(given("loss"), at, name) {
                Value::Null => None,
                loss => Some(loss_from_keras(loss)?),
            };
            Ok(Goal {
                loss,
                weight: json::float(of_output(given("loss_weights"), at, name)),
                metrics: self.metrics(given("metrics"), (at, name), outputs.len())?,
                weighted_metrics: self.metrics(given("weighted_metrics"), (at, name), outputs.len())?,
            })
        };
        outputs.iter().enumerate().map(goal).collect()
    }

    fn metrics(
        &self,
        given: &Value,
        (at, name): (usize, &str),
        outputs: usize,
    ) -> locally_connected::Result<Vec<Metric>> {
        let own = match given {
            // For one output it may be a list, or a list with one list in it.
            Value::Array(list) if outputs == 1 && !list.iter().any(Value::is_array) => given,
            // With several outputs a list of names, of another length than the outputs, is for each of them.
            Value::Array(list) if list.iter().all(Value::is_string) && list.len() != outputs => given,
            given => of_output(given, at, name),
        };
        let metrics: Vec<Metric> = match own {
            Value::Null => Vec::new(),
            Value::Array(list) => list.iter().map(metric_from_keras).collect::<locally_connected::Result<_>>()?,
            one => vec![metric_from_keras(one)?],
        };
        // Each output has all metrics of a shared list; there are few names, but a list may repeat them.
        let mut names = BTreeSet::new();
        match metrics.iter().find(|metric| !names.insert(&metric.name)) {
            Some(Metric { name, .. }) => Err(locally_connected::Error::UnknownValue {
                argument: "metrics",
                expected: "names of their own",
                value: name.clone(),
            }),
            None => Ok(metrics),
        }
    }

    /// The dictionary `training_config` of an `.h5` file.
    pub(crate) fn training_config(&self) -> Value {
        let mut training = Object::new();
        let config = |key: &str| self.config.get(key).cloned().unwrap_or(Value::Null);
        training.insert("loss".into(), without_modules(config("loss")));
        training.insert("metrics".into(), without_modules(config("metrics")));
        training.insert("weighted_metrics".into(), without_modules(config("weighted_metrics")));
        training.insert("loss_weights".into(), config("loss_weights"));
        let mut optimizer = without_modules(config("optimizer"));
        if let Some(class) = optimizer.get("class_name").and_then(Value::as_str)
            && ["SGD", "Adam", "AdamW", "RMSprop"].contains(&class)
        {
            // Keras registers its own optimizers so.
            let class = json!(format!("Custom>{class}"));
            optimizer.as_object_mut().map(|optimizer| optimizer.insert("class_name".into(), class));
        }
        training.insert("optimizer_config".into(), optimizer);
        training.into()
    }

    /// From the dictionary `training_config` of an `.h5` file.
    pub(crate) fn from_training_config(training: &Value) -> Self {
        let part = |key: &str| training.get(key).cloned().unwrap_or(Value::Null);
        let mut optimizer = part("optimizer_config");
        let class = optimizer.get("class_name").and_then(Value::as_str);
        if let Some(own) = class.and_then(|class| class.strip_prefix("Custom>")).map(str::to_owned) {
            optimizer.as_object_mut().map(|optimizer| optimizer.insert("class_name".into(), own.into()));
        }
        let config = json!({
            "optimizer": with_module(optimizer, "keras.optimizers"),
            "loss": each(part("loss"), &|loss| with_module(loss, "keras.losses")),
            "metrics": each(part("metrics"), &metric_by_name),
            "loss_weights": part("loss_weights"),
            "weighted_metrics": each(part("weighted_metrics"), &metric_by_name),
            "run_eagerly": null, "steps_per_execution": null, "jit_compile": null,
        });
        Self::from_config(config)
    }
}

impl ModelFile {
    /// What couldn't be kept of how the model was compiled: a sentence for each thing. Empty for a model that wasn't
    /// compiled.
    #[must_use]
    pub fn lost(&self) -> &[String] {
        self.compiled.as_ref().map_or(&[], |compiled| &compiled.lost)
    }
}

/// What is given for one output: by its name, by its place, or for all outputs.
fn of_output<'a>(given: &'a Value, at: usize, name: &str) -> &'a Value {
    match given {
        Value::Object(object) if !object.contains_key("class_name") => object.get(name).unwrap_or(&Value::Null),
        Value::Array(list) => list.get(at).unwrap_or(&Value::Null),
        given => given,
    }
}

/// Applies `change` to each object or name in lists and dictionaries.
fn each(value: Value, change: &dyn Fn(Value) -> Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(|value| each(value, change)).collect(),
        Value::Object(object) if !object.contains_key("class_name") => {
            object.into_iter().map(|(key, value)| (key, each(value, change))).collect::<Object>().into()
        }
        Value::Null => Value::Null,
        value => change(value),
    }
}

/// The dictionary of a class as `.keras` files have it.
fn with_module(mut value: Value, module: &str) -> Value {
    if let Value::Object(object) = &mut value
        && object.contains_key("class_name")
        && !object.contains_key("module")
    {
        object.insert("module".into(), json!(module));
        object.insert("registered_name".into(), Value::Null);
        if let Some(rate) = object.get_mut("config").and_then(|config| config.get_mut("learning_rate")) {
            *rate = with_module(rate.take(), "keras.optimizers.schedules");
        }
    }
    value
}

/// Dictionaries of classes as `.h5` files have them.
fn without_modules(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(without_modules).collect(),
        Value::Object(mut object) => {
            if object.contains_key("class_name") {
                object.retain(|key, _| !["module", "registered_name"].contains(&key.as_str()));
            }
            object.into_iter().map(|(key, value)| (key, without_modules(value))).collect::<Object>().into()
        }
        value => value,
    }
}

/// A metric that is a function's mean, by the name of the function that the user gave; other metrics as they are.
fn metric_by_name(value: Value) -> Value {
    let function = value.get("config").and_then(|config| config.get("fn")).and_then(Value::as_str);
    let name = value.get("config").and_then(|config| config.get("name")).and_then(Value::as_str);
    match (value.get("class_name").and_then(Value::as_str), function, name) {
        // Which function the name stands for is decided again by the shapes.
        (Some("MeanMetricWrapper"), Some(_), Some(name @ ("accuracy" | "acc" | "crossentropy" | "ce"))) => json!(name),
        (Some("MeanMetricWrapper"), Some(function), Some(name)) => match metric_from_keras(&json!(name)) {
            Ok(_) => json!(name),
            Err(_) => json!(function),
        },
        _ => with_module(value, "keras.metrics"),
    }
}

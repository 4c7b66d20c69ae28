//! Keras's JSON of optimizers and of their schedules.

use crate::config::check_keys;
use crate::json::{self, Object};
use locally_connected::train::{Clipping, Ema, Optimizer, Rule, Schedule};
use locally_connected::{Error, Result};
use serde_json::{Value, json};

/// The optimizer of a dictionary of Keras's, or of a name.
///
/// Older optimizers (Keras 1 to 2.10, or `legacy`) are read if today's compute the same: SGD and Adam without `decay`.
///
/// # Errors
/// [`Error::Unsupported`] for an optimizer or an argument that isn't supported here; [`Error::UnknownArgument`] for one
/// that Keras doesn't have; [`Error::UnknownValue`] for a value that Keras refuses; those of [`Optimizer::check`].
pub fn optimizer_from_keras(value: &Value) -> Result<Optimizer> {
    if let Some(name) = value.as_str() {
        return Optimizer::from_keras_name(name);
    }
    let wrong = || Error::UnknownValue {
        argument: "optimizer",
        expected: "a name, or a dictionary of `class_name` and `config`",
        value: json::shown(value),
    };
    let object = value.as_object().ok_or_else(wrong)?;
    let class = json::string(object, "class_name").ok_or_else(wrong)?;
    let config = json::object(object, "config").ok_or_else(wrong)?;
    // .h5 files name Keras's own optimizers as they are registered.
    let class = class.strip_prefix("Custom>").unwrap_or(class);
    let optimizer =
        if class.eq_ignore_ascii_case("adamw") { Optimizer::adamw() } else { Optimizer::from_keras_name(class)? };
    let optimizer = Given { of: class, config, known: Vec::new() }.optimizer(optimizer)?;
    optimizer.check()?;
    Ok(optimizer)
}

/// Arguments that don't change what is computed here.
const SILENT: [&str; 4] = ["name", "jit_compile", "is_legacy_optimizer", "fused"];

/// Further arguments of Keras 3.
const KERAS_3: [&str; 2] = ["loss_scale_factor", "gradient_accumulation_steps"];

/// A dictionary of arguments, and which of them were asked for.
struct Given<'a> {
    of: &'a str,
    config: &'a Object,
    known: Vec<&'static str>,
}

impl<'a> Given<'a> {
    fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        json::given(self.config, key)
    }

    fn wrong(argument: &'static str, expected: &'static str, value: &Value) -> Error {
        Error::UnknownValue { argument, expected, value: json::shown(value) }
    }

    fn optional(&mut self, key: &'static str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        json::float(value).map(Some).ok_or_else(|| Self::wrong(key, "a number", value))
    }

    fn float(&mut self, key: &'static str, to: &mut f64) -> Result<()> {
        if let Some(number) = self.optional(key)? {
            *to = number;
        }
        Ok(())
    }

    fn flag(&mut self, key: &'static str, to: &mut bool) -> Result<()> {
        if let Some(value) = self.get(key) {
            *to = value.as_bool().ok_or_else(|| Self::wrong(key, "true or false", value))?;
        }
        Ok(())
    }

    fn count(&mut self, key: &'static str) -> Result<Option<u64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let count = json::integer(value).and_then(|count| u64::try_from(count).ok());
        count.map(Some).ok_or_else(|| Self::wrong(key, "a whole number from 0 on", value))
    }

    fn needed<T>(&self, key: &'static str, found: Option<T>) -> Result<T> {
        found.ok_or_else(|| Error::Unsupported { what: self.of.to_owned(), with: format!("without `{key}`") })
    }

    /// Sets the arguments that are given, on an optimizer with Keras's defaults.
    fn optimizer(mut self, mut optimizer: Optimizer) -> Result<Optimizer> {
        // Optimizers of Keras up to 2.10 don't have this key.
        let legacy = self.config.get("is_legacy_optimizer").is_none_or(|legacy| *legacy == json!(true));
        // Keras 3's don't have it either.
        let legacy = legacy && !KERAS_3.iter().any(|key| self.config.contains_key(*key));
        let refused = |what: String| Error::Unsupported { what, with: "here: Keras 2.15's optimizers are".into() };
        if let Some(decay) = self.optional("decay")?.filter(|decay| *decay != 0.0) {
            return Err(refused(format!("decay={decay} of {}", self.of)));
        }
        if legacy && matches!(optimizer.rule, Rule::RmsProp { .. }) {
            return Err(refused("an RMSprop of Keras before 2.11, whose epsilon stands elsewhere,".into()));
        }
        if let Some(old) = self.get("lr").filter(|_| legacy) {
            optimizer.learning_rate = schedule_from_keras(old)?;
        }
        if let Some(rate) = self.get("learning_rate") {
            optimizer.learning_rate = schedule_from_keras(rate)?;
        }
        match &mut optimizer.rule {
            Rule::Sgd { momentum, nesterov } => {
                self.float("momentum", momentum)?;
                self.flag("nesterov", nesterov)?;
            }
            Rule::Adam { beta_1, beta_2, epsilon, amsgrad } => {
                self.float("beta_1", beta_1)?;
                self.float("beta_2", beta_2)?;
                self.float("epsilon", epsilon)?;
                self.flag("amsgrad", amsgrad)?;
            }
            Rule::RmsProp { rho, momentum, epsilon, centered } => {
                self.float("rho", rho)?;
                self.float("momentum", momentum)?;
                self.float("epsilon", epsilon)?;
                self.flag("centered", centered)?;
            }
        }
        if self.config.contains_key("weight_decay") {
            optimizer.weight_decay = self.optional("weight_decay")?.filter(|decay| *decay != 0.0);
        }
        let (clipnorm, clipvalue) = (self.optional("clipnorm")?, self.optional("clipvalue")?);
        optimizer.clipping = Clipping { clipnorm, clipvalue, global_clipnorm: self.optional("global_clipnorm")? };
        let (mut use_ema, mut momentum) = (false, 0.99);
        self.flag("use_ema", &mut use_ema)?;
        self.float("ema_momentum", &mut momentum)?;
        let overwrite_frequency = self.count("ema_overwrite_frequency")?;
        optimizer.ema = use_ema.then_some(Ema { momentum, overwrite_frequency });
        self.done()?;
        Ok(optimizer)
    }

    /// Refuses arguments that nobody asked for.
    fn done(mut self) -> Result<()> {
        self.known.extend(SILENT);
        // Keras 3's arguments are harmless unless they are set.
        self.known.extend(KERAS_3.into_iter().filter(|key| json::given(self.config, key).is_none()));
        check_keys(self.of, self.config, &self.known)
    }
}

/// The schedule of a learning rate in Keras's JSON: a number, or a dictionary of class and arguments.
///
/// # Errors
/// As [`optimizer_from_keras`].
pub fn schedule_from_keras(value: &Value) -> Result<Schedule> {
    if let Some(rate) = json::float(value).filter(|_| value.get("class_name").is_none()) {
        return Ok(Schedule::Constant(rate));
    }
    let wrong = || Given::wrong("learning_rate", "a number, or a schedule of `class_name` and `config`", value);
    let object = value.as_object().ok_or_else(wrong)?;
    let class = json::string(object, "class_name").ok_or_else(wrong)?;
    let config = json::object(object, "config").ok_or_else(wrong)?;
    let mut given = Given { of: class, config, known: Vec::new() };
    if class == "PiecewiseConstantDecay" || class == "PiecewiseConstant" {
        let numbers = |value: &Value| json::list(value)?.iter().map(json::float).collect::<Option<Vec<f64>>>();
        let mut list = |key: &'static str| match given.get(key) {
            None => given.needed(key, None),
            Some(value) => numbers(value).ok_or_else(|| Given::wrong(key, "numbers", value)),
        };
        let (boundaries, values) = (list("boundaries")?, list("values")?);
        // Steps are whole numbers: a step after 2.5 is a step after 2.
        let boundaries = boundaries.into_iter().map(|bound| bound.max(0.0).floor() as u64).collect();
        given.done()?;
        return Ok(Schedule::PiecewiseConstant { boundaries, values });
    }
    let rate = given.optional("initial_learning_rate")?;
    let initial_learning_rate = given.needed("initial_learning_rate", rate)?;
    let steps = |given: &mut Given<'_>, key: &'static str| {
        let steps = given.count(key)?;
        given.needed(key, steps)
    };
    let (mut alpha, mut staircase) = (0.0, false);
    let schedule = match class {
        "ExponentialDecay" | "InverseTimeDecay" => {
            let (decay_steps, rate) = (steps(&mut given, "decay_steps")?, given.optional("decay_rate")?);
            let decay_rate = given.needed("decay_rate", rate)?;
            given.flag("staircase", &mut staircase)?;
            match class {
                "ExponentialDecay" => {
                    Schedule::ExponentialDecay { initial_learning_rate, decay_steps, decay_rate, staircase }
                }
                _ => Schedule::InverseTimeDecay { initial_learning_rate, decay_steps, decay_rate, staircase },
            }
        }
        "CosineDecay" => {
            let decay_steps = steps(&mut given, "decay_steps")?;
            given.float("alpha", &mut alpha)?;
            let warmup_target = given.optional("warmup_target")?;
            let warmup_steps = given.count("warmup_steps")?.unwrap_or(0);
            Schedule::CosineDecay { initial_learning_rate, decay_steps, alpha, warmup_target, warmup_steps }
        }
        "PolynomialDecay" => {
            let decay_steps = steps(&mut given, "decay_steps")?;
            let (mut end_learning_rate, mut power, mut cycle) = (0.0001, 1.0, false);
            given.float("end_learning_rate", &mut end_learning_rate)?;
            given.float("power", &mut power)?;
            given.flag("cycle", &mut cycle)?;
            Schedule::PolynomialDecay { initial_learning_rate, decay_steps, end_learning_rate, power, cycle }
        }
        "CosineDecayRestarts" => {
            let first_decay_steps = steps(&mut given, "first_decay_steps")?;
            let (mut t_mul, mut m_mul) = (2.0, 1.0);
            given.float("t_mul", &mut t_mul)?;
            given.float("m_mul", &mut m_mul)?;
            given.float("alpha", &mut alpha)?;
            Schedule::CosineDecayRestarts { initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha }
        }
        other => {
            let with = "here: Keras's ExponentialDecay, CosineDecay, PiecewiseConstantDecay, PolynomialDecay, InverseTimeDecay \
                        and CosineDecayRestarts are"
                .into();
            return Err(Error::Unsupported { what: format!("the schedule {other}"), with });
        }
    };
    given.done()?;
    schedule.check()?;
    Ok(schedule)
}

/// Keras 2.15's dictionary of an optimizer, as `.keras` files have it. Weight decay is an argument of `Adam` there, so
/// `AdamW` is written as `Adam`. Keras's files can't say which parameters have no decay (`exclude_from_weight_decay`).
#[must_use]
pub fn optimizer_to_keras(optimizer: &Optimizer) -> Value {
    let Clipping { clipnorm, clipvalue, global_clipnorm } = optimizer.clipping;
    let ema = optimizer.ema;
    let mut config = json!({
        "name": optimizer.keras_name(),
        "weight_decay": optimizer.weight_decay,
        "clipnorm": clipnorm,
        "global_clipnorm": global_clipnorm,
        "clipvalue": clipvalue,
        "use_ema": ema.is_some(),
        "ema_momentum": ema.map_or(0.99, |ema| ema.momentum),
        "ema_overwrite_frequency": ema.and_then(|ema| ema.overwrite_frequency),
        "jit_compile": false,
        "is_legacy_optimizer": false,
        "learning_rate": schedule_to_keras(&optimizer.learning_rate),
    });
    let own = match optimizer.rule {
        Rule::Sgd { momentum, nesterov } => json!({"momentum": momentum, "nesterov": nesterov}),
        Rule::Adam { beta_1, beta_2, epsilon, amsgrad } => json!({
            "beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon,
            "amsgrad": amsgrad,
        }),
        Rule::RmsProp { rho, momentum, epsilon, centered } => json!({
            "rho": rho, "momentum": momentum, "epsilon": epsilon,
            "centered": centered,
        }),
    };
    if let (Value::Object(config), Value::Object(own)) = (&mut config, own) {
        config.extend(own);
    }
    let class = optimizer.keras_name();
    json!({"module": "keras.optimizers", "class_name": class, "config": config, "registered_name": null})
}

/// Keras's JSON of a learning rate.
fn schedule_to_keras(schedule: &Schedule) -> Value {
    let (class, mut config) = match schedule {
        Schedule::Constant(rate) => return json!(rate),
        Schedule::ExponentialDecay { initial_learning_rate, decay_steps, decay_rate, staircase } => (
            "ExponentialDecay",
            json!({"initial_learning_rate": initial_learning_rate, "decay_steps": decay_steps,
                   "decay_rate": decay_rate, "staircase": staircase}),
        ),
        Schedule::InverseTimeDecay { initial_learning_rate, decay_steps, decay_rate, staircase } => (
            "InverseTimeDecay",
            json!({"initial_learning_rate": initial_learning_rate, "decay_steps": decay_steps,
                   "decay_rate": decay_rate, "staircase": staircase}),
        ),
        Schedule::CosineDecay { initial_learning_rate, decay_steps, alpha, warmup_target, warmup_steps } => (
            "CosineDecay",
            json!({"initial_learning_rate": initial_learning_rate, "decay_steps": decay_steps,
                   "alpha": alpha, "warmup_target": warmup_target,
                   "warmup_steps": warmup_steps}),
        ),
        Schedule::PiecewiseConstant { boundaries, values } => {
            ("PiecewiseConstantDecay", json!({"boundaries": boundaries, "values": values}))
        }
        Schedule::PolynomialDecay { initial_learning_rate, decay_steps, end_learning_rate, power, cycle } => (
            "PolynomialDecay",
            json!({"initial_learning_rate": initial_learning_rate, "decay_steps": decay_steps,
                   "end_learning_rate": end_learning_rate, "power": power, "cycle": cycle}),
        ),
        Schedule::CosineDecayRestarts { initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha } => (
            "CosineDecayRestarts",
            json!({"initial_learning_rate": initial_learning_rate, "first_decay_steps": first_decay_steps,
                   "t_mul": t_mul, "m_mul": m_mul, "alpha": alpha}),
        ),
        _ => return Value::Null,
    };
    if let Value::Object(config) = &mut config {
        config.insert("name".into(), Value::Null);
    }
    json!({"module": "keras.optimizers.schedules", "class_name": class, "config": config, "registered_name": null})
}

//! `--optimizer SPEC` and `--schedule SPEC`: a name, which may be followed by a colon and Keras's arguments.

use crate::failure::Failure;
use locally_connected::Error;
use locally_connected::train::{Optimizer, Schedule};
use locally_connected_keras::compiled::optimizer_from_keras;
use serde_json::{Map, Value, json};

/// `name[:argument[=value],…]`, parsed. An argument without a value is true.
struct Spec<'a> {
    name: &'a str,
    arguments: Map<String, Value>,
}

impl<'a> Spec<'a> {
    fn parse(flag: &str, text: &'a str) -> Result<Self, Failure> {
        let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let mut arguments = Map::new();
        for argument in rest.into_iter().flat_map(|rest| rest.split(',')) {
            let (key, value) = argument.split_once('=').map_or((argument, "true"), |(key, value)| (key, value));
            let (key, value) = (key.trim(), value.trim());
            let value = match value {
                "true" | "True" => json!(true),
                "false" | "False" => json!(false),
                "none" | "None" => Value::Null,
                number => {
                    number.parse::<i64>().map(Value::from).or_else(|_| number.parse::<f64>().map(Value::from)).map_err(
                        |_| Failure::request(format!("{flag} {text}: {key}={value} is no number")).with_help(HELP),
                    )?
                }
            };
            if key.is_empty() || arguments.insert(key.to_owned(), value).is_some() {
                let what =
                    if key.is_empty() { "an argument has no name".to_owned() } else { format!("{key} is given twice") };
                return Err(Failure::request(format!("{flag} {text}: {what}")).with_help(HELP));
            }
        }
        Ok(Self { name: name.trim(), arguments })
    }
}

const HELP: &str = "a name and Keras's own arguments: sgd:momentum=0.9,nesterov or adam:beta_1=0.9,amsgrad,clipnorm=1";

/// The optimizer of `--optimizer SPEC`. Its learning rate is Keras's default unless the arguments set it.
pub(super) fn optimizer(text: &str) -> Result<Optimizer, Failure> {
    let Spec { name, mut arguments } = Spec::parse("--optimizer", text)?;
    let class = match name.to_lowercase().as_str() {
        "sgd" => "SGD",
        "adam" => "Adam",
        "adamw" => "AdamW",
        "rmsprop" => "RMSprop",
        _ => {
            return Err(Failure::from(Error::UnknownValue {
                argument: "--optimizer",
                expected: "sgd, adam, adamw or rmsprop, with Keras's arguments behind a colon",
                value: format!("{name:?}"),
            }));
        }
    };
    arguments.insert("is_legacy_optimizer".into(), json!(false));
    optimizer_from_keras(&json!({"class_name": class, "config": arguments}))
        .map_err(|error| Failure::request(format!("--optimizer {text}: {error}")).with_help(HELP))
}

/// Numbers of steps that a schedule needs besides its own arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    /// Steps of an epoch.
    pub(super) epoch: u64,
    /// Steps of all epochs.
    pub(super) all: u64,
    /// Steps in which the rate rises from 0.
    pub(super) warmup: u64,
}

/// The schedule of `--schedule SPEC` and `--warmup`, which falls from `rate`.
pub(super) fn schedule(text: Option<&str>, rate: f64, steps: Steps) -> Result<Schedule, Failure> {
    let flat = || if steps.warmup == 0 { Schedule::Constant(rate) } else { rise(rate, steps.warmup) };
    let Some(text) = text else { return Ok(flat()) };
    let Spec { name, arguments } = Spec::parse("--schedule", text)?;
    let mut given = Arguments { text, left: arguments };
    let rest = steps.all.saturating_sub(steps.warmup).max(1);
    let schedule = match name {
        "cosine" => {
            let (initial_learning_rate, warmup_target) =
                if steps.warmup == 0 { (rate, None) } else { (0.0, Some(rate)) };
            let (decay_steps, alpha) = (given.count("decay_steps", rest)?, given.float("alpha", 0.0)?);
            Schedule::CosineDecay {
                initial_learning_rate,
                decay_steps,
                alpha,
                warmup_target,
                warmup_steps: steps.warmup,
            }
        }
        "exponential" => {
            let (decay_steps, decay_rate) =
                (given.count("decay_steps", steps.epoch)?, given.float("decay_rate", 0.96)?);
            let staircase = given.flag("staircase")?;
            Schedule::ExponentialDecay { initial_learning_rate: rate, decay_steps, decay_rate, staircase }
        }
        "step" => {
            let decay_steps = given.count("decay_steps", (rest / 3).max(1))?;
            let decay_rate = given.float("decay_rate", 0.1)?;
            Schedule::ExponentialDecay { initial_learning_rate: rate, decay_steps, decay_rate, staircase: true }
        }
        _ => {
            let message = format!("--schedule {text}: there is no schedule {name:?}");
            return Err(Failure::request(message).with_help(SCHEDULES));
        }
    };
    if let Some(argument) = given.left.keys().next() {
        let message = format!("--schedule {text}: {name} has no argument {argument:?}");
        return Err(Failure::request(message).with_help(SCHEDULES));
    }
    schedule.check().map_err(|error| Failure::request(format!("--schedule {text}: {error}")).with_help(SCHEDULES))?;
    if name == "cosine" || steps.warmup == 0 { Ok(schedule) } else { risen(&schedule, rate, steps) }
}

/// The most rates of a schedule that is written out step by step.
const MOST_RATES: usize = 1 << 16;

/// A rise before a schedule for which Keras has none: written out step by step as another schedule of Keras's.
fn risen(schedule: &Schedule, rate: f64, steps: Steps) -> Result<Schedule, Failure> {
    let (mut boundaries, mut values) = (Vec::new(), Vec::new());
    for step in 0..steps.all {
        let value = match step.checked_sub(steps.warmup) {
            None => rate * step as f64 / steps.warmup as f64,
            Some(step) => schedule.at(step).into(),
        };
        if values.last() != Some(&value) {
            boundaries.extend(step.checked_sub(1));
            values.push(value);
        }
        if values.len() > MOST_RATES {
            let message = format!("--warmup {}: the training has over {MOST_RATES} learning rates", steps.warmup);
            return Err(
                Failure::request(message).with_help("--schedule cosine has a rise of its own, `step` has fewer rates")
            );
        }
    }
    Ok(Schedule::PiecewiseConstant { boundaries, values })
}

const SCHEDULES: &str = "cosine[:decay_steps=N,alpha=A], exponential[:decay_steps=N,decay_rate=R,staircase] or \
                         step[:decay_steps=N,decay_rate=R]; without decay_steps a cosine ends with the training, exponential's are \
                         an epoch, step's a third of the training";

/// A straight rise from 0 to the rate, which then stays: Keras's polynomial decay, upwards.
fn rise(rate: f64, warmup: u64) -> Schedule {
    let (initial_learning_rate, end_learning_rate) = (0.0, rate);
    Schedule::PolynomialDecay {
        initial_learning_rate,
        decay_steps: warmup,
        end_learning_rate,
        power: 1.0,
        cycle: false,
    }
}

/// A schedule's arguments that weren't asked for yet.
struct Arguments<'a> {
    text: &'a str,
    left: Map<String, Value>,
}

impl Arguments<'_> {
    fn wrong(&self, key: &str, expected: &str) -> Failure {
        Failure::request(format!("--schedule {}: {key} is no {expected}", self.text)).with_help(SCHEDULES)
    }

    fn count(&mut self, key: &str, default: u64) -> Result<u64, Failure> {
        match self.left.remove(key) {
            None => Ok(default),
            Some(value) => value.as_u64().ok_or_else(|| self.wrong(key, "whole number")),
        }
    }

    fn float(&mut self, key: &str, default: f64) -> Result<f64, Failure> {
        match self.left.remove(key) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| self.wrong(key, "number")),
        }
    }

    fn flag(&mut self, key: &str) -> Result<bool, Failure> {
        match self.left.remove(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(key, "flag")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use locally_connected::train::Rule;

    #[test]
    fn the_contract_s_examples() {
        let sgd = optimizer("sgd:momentum=0.9,nesterov").expect("one of Keras's");
        assert_eq!(sgd.rule, Rule::Sgd { momentum: 0.9, nesterov: true });
        let adam = optimizer("adam:beta_1=0.8,amsgrad,global_clipnorm=1").expect("one of Keras's");
        assert_eq!(adam.rule, Rule::Adam { beta_1: 0.8, beta_2: 0.999, epsilon: 1e-7, amsgrad: true });
        assert_eq!(adam.clipping.global_clipnorm, Some(1.0));
        assert_eq!(optimizer("adamw").expect("Keras's default").weight_decay, Some(0.004));
        assert_eq!(optimizer("adamw:weight_decay=0.1").expect("one of Keras's").weight_decay, Some(0.1));
        let rmsprop = optimizer("rmsprop:rho=0.8,momentum=0.5,centered").expect("one of Keras's");
        assert_eq!(rmsprop.rule, Rule::RmsProp { rho: 0.8, momentum: 0.5, epsilon: 1e-7, centered: true });
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("adagrad", "adagrad"),
            ("sgd:momentun=0.9", "momentun"),
            ("sgd:beta_1=0.9", "beta_1"),
            ("adam:beta_1=x", "beta_1=x"),
            ("adam:amsgrad=2", "amsgrad"),
            ("adam:clipnorm=1,clipnorm=2", "clipnorm is given twice"),
            ("adam:clipnorm=1,global_clipnorm=2", "global_clipnorm"),
            ("sgd:momentum=2", "momentum"),
            ("sgd:", "no name"),
        ] {
            let failure = format!("{:?}", optimizer(text).expect_err(text));
            assert!(failure.contains(named), "{text}: {failure}");
        }
    }

    #[test]
    fn schedules_fit_the_training() {
        let steps = Steps { epoch: 10, all: 30, warmup: 0 };
        let at = |text: &str, steps: Steps| {
            let schedule = schedule(Some(text), 0.5, steps).expect(text);
            [0, 10, 20, 30].map(|step| schedule.at(step))
        };
        let cosine = at("cosine", steps);
        assert_eq!((cosine[0], cosine[3]), (0.5, 0.0));
        assert_eq!(at("step", steps), [0.5, 0.05, 0.005, 0.0005].map(|rate: f32| rate));
        assert_eq!(at("exponential:decay_rate=0.5", steps), [0.5, 0.25, 0.125, 0.0625]);
        let risen = Steps { warmup: 10, ..steps };
        assert_eq!(at("cosine", risen)[..2], [0.0, 0.5]);
        let flat = schedule(None, 0.5, risen).expect("a rise");
        assert_eq!([0, 5, 10, 20].map(|step| flat.at(step)), [0.0, 0.25, 0.5, 0.5]);
        for text in ["cosin", "cosine:steps=3", "cosine:decay_steps=0", "step:decay_rate=x"] {
            assert!(schedule(Some(text), 0.5, steps).is_err(), "{text}");
        }
        let steps = schedule(Some("step:decay_steps=10,decay_rate=0.5"), 0.5, risen).expect("a rise");
        assert_eq!(
            [0, 5, 9, 10, 19, 20, 29, 40].map(|step| steps.at(step)),
            [0.0, 0.25, 0.45, 0.5, 0.5, 0.25, 0.25, 0.25]
        );
        let smooth = schedule(Some("exponential:decay_rate=0.5"), 0.5, risen).expect("a rise");
        assert_eq!([5, 10, 20].map(|step| smooth.at(step)), [0.25, 0.5, 0.25]);
        // More different rates than can be written out.
        assert!(schedule(Some("exponential:decay_rate=0.99999"), 0.5, Steps { all: 1 << 20, ..risen }).is_err());
    }
}

//! What a training is told: optimizer, losses and metrics of Keras's names.

use crate::error::{Result, of_library};
use crate::named::Named;
use locally_connected::model::Graph;
use locally_connected::train::{self, Clipping, Ema, Goal, Goals, Loss, Metric, MetricKind, Optimizer, Rule, Schedule};
use locally_connected::{Error, Result as Found};
use wasm_bindgen::prelude::wasm_bindgen;

/// What Keras's `compile` is told.
#[wasm_bindgen]
pub struct Compile {
    optimizer: Optimizer,
    goals: Vec<(String, Goal)>,
    seed: u64,
}

#[wasm_bindgen]
impl Compile {
    /// Without a loss yet. `seed` is of the samples' orders, dropout and noise.
    ///
    /// # Errors
    /// For an optimizer or an argument that isn't here.
    #[wasm_bindgen(constructor)]
    pub fn new(optimizer: Named, seed: f64) -> Result<Self> {
        let optimizer = optimizer.read(optimizer_of)?;
        optimizer.check().map_err(of_library)?;
        Ok(Self { optimizer, goals: Vec::new(), seed: seed as u64 })
    }

    /// Gives an output its loss and that its weight.
    ///
    /// # Errors
    /// For a loss that isn't here.
    pub fn loss(&mut self, output: String, loss: Named, weight: Option<f64>) -> Result<()> {
        let loss = loss.read(loss_of)?;
        let goal = self.goal(output);
        (goal.loss, goal.weight) = (Some(loss), weight);
        Ok(())
    }

    /// Adds a metric of an output, in which samples count alike or by their weights.
    ///
    /// # Errors
    /// For a metric that isn't here.
    pub fn metric(&mut self, output: String, metric: Named, weighted: bool) -> Result<()> {
        let metric = metric.read(metric_of)?;
        let goal = self.goal(output);
        let list = if weighted { &mut goal.weighted_metrics } else { &mut goal.metrics };
        list.push(metric);
        Ok(())
    }
}

impl Compile {
    fn goal(&mut self, output: String) -> &mut Goal {
        let at = self.goals.iter().position(|(of, _)| *of == output).unwrap_or_else(|| {
            self.goals.push((output, Goal::default()));
            self.goals.len() - 1
        });
        &mut self.goals[at].1
    }

    /// The training of a graph.
    pub(crate) fn of(&self, graph: &Graph) -> Found<train::Training> {
        let goals = Goals::Named(self.goals.clone());
        Ok(train::Training::new(graph, self.optimizer.clone(), goals)?.with_seed(self.seed))
    }
}

fn optimizer_of(named: &mut Named) -> Found<Optimizer> {
    let name = named.name();
    let mut made =
        if name.eq_ignore_ascii_case("adamw") { Optimizer::adamw() } else { Optimizer::from_keras_name(name)? };
    match named.named_of("learning_rate")? {
        Some(schedule) => made.learning_rate = schedule_of(schedule)?,
        None => {
            if let Some(rate) = named.number_of("learning_rate")? {
                made.learning_rate = rate.into();
            }
        }
    }
    match &mut made.rule {
        Rule::Sgd { momentum, nesterov } => {
            named.double("momentum", momentum)?;
            named.flag("nesterov", nesterov)?;
        }
        Rule::Adam { beta_1, beta_2, epsilon, amsgrad } => {
            named.double("beta_1", beta_1)?;
            named.double("beta_2", beta_2)?;
            named.double("epsilon", epsilon)?;
            named.flag("amsgrad", amsgrad)?;
        }
        Rule::RmsProp { rho, momentum, epsilon, centered } => {
            named.double("rho", rho)?;
            named.double("momentum", momentum)?;
            named.double("epsilon", epsilon)?;
            named.flag("centered", centered)?;
        }
    }
    if let Some(decay) = named.number_of("weight_decay")? {
        made.weight_decay = Some(decay).filter(|decay| *decay != 0.0);
    }
    let (clipnorm, clipvalue) = (named.number_of("clipnorm")?, named.number_of("clipvalue")?);
    made.clipping = Clipping { clipnorm, clipvalue, global_clipnorm: named.number_of("global_clipnorm")? };
    let (mut averaged, mut momentum) = (false, 0.99);
    named.flag("use_ema", &mut averaged)?;
    named.double("ema_momentum", &mut momentum)?;
    let often = named.count("ema_overwrite_frequency")?;
    // Keras's default of RMSprop alone.
    let often = often.or(Some(100).filter(|_| matches!(made.rule, Rule::RmsProp { .. })));
    made.ema = averaged.then_some(Ema { momentum, overwrite_frequency: often });
    named.ignore(&["name", "jit_compile", "is_legacy_optimizer"]);
    Ok(made)
}

/// Keras's classes of schedules.
const SCHEDULES: [&str; 6] = [
    "ExponentialDecay",
    "CosineDecay",
    "CosineDecayRestarts",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "InverseTimeDecay",
];

fn schedule_of(mut named: Named) -> Found<Schedule> {
    let of = named.name().to_owned();
    if !SCHEDULES.contains(&of.as_str()) {
        let (argument, expected) = (
            "learning_rate",
            "a number, ExponentialDecay, CosineDecay, CosineDecayRestarts, PiecewiseConstantDecay, PolynomialDecay, InverseTimeDecay",
        );
        return Err(Error::UnknownValue { argument, expected, value: of });
    }
    let initial_learning_rate = match of.as_str() {
        "PiecewiseConstantDecay" => 0.0,
        _ => needed(&of, "initial_learning_rate", named.number_of("initial_learning_rate")?)?,
    };
    let steps = |named: &mut Named, argument| needed(&of, argument, named.count(argument)?);
    let schedule = match of.as_str() {
        "ExponentialDecay" | "InverseTimeDecay" => {
            let decay_steps = steps(&mut named, "decay_steps")?;
            let decay_rate = needed(&of, "decay_rate", named.number_of("decay_rate")?)?;
            let mut staircase = false;
            named.flag("staircase", &mut staircase)?;
            if of == "ExponentialDecay" {
                Schedule::ExponentialDecay { initial_learning_rate, decay_steps, decay_rate, staircase }
            } else {
                Schedule::InverseTimeDecay { initial_learning_rate, decay_steps, decay_rate, staircase }
            }
        }
        "CosineDecay" => {
            let decay_steps = steps(&mut named, "decay_steps")?;
            let alpha = named.number_of("alpha")?.unwrap_or(0.0);
            let warmup_target = named.number_of("warmup_target")?;
            let warmup_steps = named.count("warmup_steps")?.unwrap_or(0);
            Schedule::CosineDecay { initial_learning_rate, decay_steps, alpha, warmup_target, warmup_steps }
        }
        "PolynomialDecay" => {
            let decay_steps = steps(&mut named, "decay_steps")?;
            let (mut end_learning_rate, mut power, mut cycle) = (0.0001, 1.0, false);
            named.double("end_learning_rate", &mut end_learning_rate)?;
            named.double("power", &mut power)?;
            named.flag("cycle", &mut cycle)?;
            Schedule::PolynomialDecay { initial_learning_rate, decay_steps, end_learning_rate, power, cycle }
        }
        "CosineDecayRestarts" => {
            let first_decay_steps = steps(&mut named, "first_decay_steps")?;
            let (mut t_mul, mut m_mul, mut alpha) = (2.0, 1.0, 0.0);
            named.double("t_mul", &mut t_mul)?;
            named.double("m_mul", &mut m_mul)?;
            named.double("alpha", &mut alpha)?;
            Schedule::CosineDecayRestarts { initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha }
        }
        _ => {
            let boundaries = named.list("boundaries")?.unwrap_or_default();
            if let Some(wrong) = boundaries.iter().find(|step| step.fract() != 0.0 || **step < 0.0) {
                let (argument, expected) = ("boundaries", "whole numbers from 0 on");
                return Err(Error::UnknownValue { argument, expected, value: wrong.to_string() });
            }
            let boundaries = boundaries.into_iter().map(|step| step as u64).collect();
            Schedule::PiecewiseConstant { boundaries, values: named.list("values")?.unwrap_or_default() }
        }
    };
    named.ignore(&["name"]);
    named.done()?;
    Ok(schedule)
}

fn needed<T>(of: &str, argument: &str, found: Option<T>) -> Found<T> {
    found.ok_or_else(|| Error::Unsupported { what: of.to_owned(), with: format!("without `{argument}`") })
}

fn loss_of(named: &mut Named) -> Found<Loss> {
    let mut made = Loss::from_keras_name(named.name())?;
    loss_arguments(named, &mut made)?;
    // Samples are always weighed against the batch, as Keras does unless it is told otherwise.
    if let Some(name) = named.text_of("reduction")?
        && !["auto", "sum_over_batch_size"].contains(&name.as_str())
    {
        return Err(Error::UnknownValue { argument: "reduction", expected: "auto, sum_over_batch_size", value: name });
    }
    named.ignore(&["name", "fn", "axis"]);
    Ok(made)
}

fn loss_arguments(named: &mut Named, made: &mut Loss) -> Found<()> {
    match made {
        Loss::Huber { delta } => named.float("delta", delta),
        Loss::BinaryCrossentropy { from_logits, label_smoothing }
        | Loss::CategoricalCrossentropy { from_logits, label_smoothing } => {
            named.flag("from_logits", from_logits)?;
            named.float("label_smoothing", label_smoothing)
        }
        Loss::SparseCategoricalCrossentropy { from_logits } => named.flag("from_logits", from_logits),
        _ => Ok(()),
    }
}

fn metric_of(named: &mut Named) -> Found<Metric> {
    let mut made = Metric::from_keras_name(named.name())?;
    match &mut made.kind {
        MetricKind::BinaryAccuracy { threshold } => named.float("threshold", threshold)?,
        MetricKind::Loss(loss) => loss_arguments(named, loss)?,
        _ => {}
    }
    if let Some(name) = named.text_of("name")? {
        made.name = name;
    }
    Ok(made)
}

//! The programs of a training: what is computed in each step.

use super::Optimizer;
use super::constraints::Bound;
use super::goal::{Aim, Goals, aims};
use super::penalties::{self, OfParameter, Penalty};
use crate::config::WeightType;
use crate::model::{Graph, GraphLayer, Kind, Mode, Node, Updates, names};
use crate::ops::{Buffer, BufferId, STEP_NUMBERS, Shape, StepNumbers, Usage};
use crate::program::Program;
use crate::{Error, Result};

/// A model's training as programs that any executor runs: losses of its outputs, and how parameters are updated.
///
/// ```
/// use locally_connected::model::{Dense, Flatten, Sequential};
/// use locally_connected::train::{Goal, Loss, Metric, Optimizer, Training};
/// use locally_connected::{Activation, Config};
/// # fn main() -> locally_connected::Result<()> {
/// let graph = Sequential::new([8, 8, 1])
///     .add(Config::local2d(4, 3).activation(Activation::RELU))
///     .add(Flatten::default())
///     .add(Dense::new(10).activation(Activation::Softmax))
///     .graph()?;
/// let loss = Loss::from_keras_name("sparse_categorical_crossentropy")?;
/// let training = Training::new(&graph, Optimizer::adam(), Goal::new(loss).metric(Metric::accuracy()))?;
/// // Bytes of a step on 32 samples: values, parameters, gradients and what Adam keeps, before anything is allocated.
/// assert!(training.step().bytes(32) < 1 << 20);
/// # Ok(())
/// # }
/// ```
///
/// # Programs
/// A [`step`](Training::step) does the same as [`gradients`](Training::gradients) and [`update`](Training::update) one
/// after the other, which are for batches that are computed in pieces. Inputs are the model's, `target` and
/// `sample_weight` (with several outputs `target/<output>` and so on, see [`names`]), and [`names::STEP`], the four
/// numbers of a step ([`Training::numbers`]). Outputs are sums over the samples: [`names::LOSS`] of each output's
/// losses, [`names::metric`]; and [`names::ACTIVITY`] and [`names::PENALTIES`] where the loss has such terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    graph: Graph,
    /// The graph in which activations that crossentropies look behind are steps of their own.
    apart: Graph,
    pub(super) optimizer: Optimizer,
    seed: u64,
    pub(super) aims: Vec<Aim>,
    pub(super) penalties: Vec<OfParameter>,
    pub(super) learned: Vec<Learned>,
}

/// A parameter that is trained.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Learned {
    pub(super) layer: String,
    pub(super) name: String,
    pub(super) gradient: String,
    pub(super) shape: Shape,
    /// The names of the optimizer's states of it, in the order of [`Rule::slots`](crate::ops::Rule::slots).
    pub(super) slots: Vec<String>,
    /// The name of its average, if one is kept.
    pub(super) average: Option<String>,
    pub(super) bound: Option<Bound>,
}

/// What a program does with gradients of parameters.
#[derive(Clone, Copy, PartialEq)]
enum Derived {
    Not,
    Kept,
    /// Parameters are updated where their gradients are computed, as far as possible; the other gradients are kept.
    AndUpdated,
}

/// The name of the average that the optimizer keeps of a parameter for [`Ema`](super::Ema).
const AVERAGE: &str = "average";

impl Training {
    /// The training of a graph.
    ///
    /// # Errors
    /// Those of [`Graph::check`], [`Optimizer::check`] and [`Loss`](super::Loss)'s; [`Error::NoBuffer`] for the goal of an output that isn't there,
    /// [`Error::Missing`] without any loss or any parameter to train; [`Error::Unsupported`] for weights in 16 bits, for a metric whose targets
    /// lie otherwise than its loss's, and for a regularizer or a constraint that is none of Keras's or isn't for such a variable, with the
    /// layer's name.
    pub fn new(graph: &Graph, optimizer: Optimizer, goals: impl Into<Goals>) -> Result<Self> {
        graph.check()?;
        optimizer.check()?;
        for layer in graph.layers() {
            if let Some(parameter) = layer.parameters().iter().find(|parameter| parameter.dtype != WeightType::F32) {
                let what = format!("training \"{}\", stored in 16 bits,", parameter.name);
                let error = Error::Unsupported { what, with: "here: weights in 32 bits are trained".into() };
                return Err(error.in_layer(layer.name()));
            }
        }
        penalties::check_activities(graph)?;
        let (apart, aims) = aims(graph, &goals.into())?;
        let (graph, penalties) = (graph.clone(), penalties::of_parameters(graph)?);
        let mut training = Self { graph, apart, optimizer, seed: 0, aims, penalties, learned: Vec::new() };
        training.learned = training.find_learned()?;
        if training.learned.is_empty() {
            return Err(Error::Missing {
                what: "a parameter to train",
                why: "no layer that a loss depends on has one",
            });
        }
        Ok(training)
    }

    /// The parameters that a backward pass gives gradients of, in the order of the layers.
    fn find_learned(&self) -> Result<Vec<Learned>> {
        let program = self.gradients();
        let mut learned = Vec::new();
        for layer in self.graph.layers() {
            let stored = self.graph.stored(layer.name()).unwrap_or_default();
            for (parameter, stored) in layer.parameters().iter().zip(&stored) {
                let gradient = names::gradient(layer.name(), parameter.name);
                if program.find(&gradient).is_none() {
                    continue;
                }
                let bound = layer.rules().constraint(parameter.name);
                let bound = bound.map(|bound| Bound::new(bound, stored)).transpose();
                let slot = |slot: &&'static str| names::state(layer.name(), parameter.name, slot);
                learned.push(Learned {
                    layer: layer.name().to_owned(),
                    name: names::parameter(layer.name(), parameter.name),
                    gradient,
                    shape: parameter.shape.clone(),
                    slots: self.optimizer.rule.slots().iter().map(slot).collect(),
                    average: self.optimizer.ema.map(|_| slot(&AVERAGE)),
                    bound: bound.map_err(|error| error.in_layer(layer.name()))?,
                });
            }
        }
        Ok(learned)
    }

    /// Sets the seed of all that is drawn: the samples' order in each epoch, dropout and noise. 0 without it.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The seed of all that is drawn.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The graph that is trained.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The optimizer.
    #[must_use]
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// The terms of the loss that are no output's, in Keras's order.
    #[must_use]
    pub fn penalties(&self) -> Vec<Penalty> {
        penalties::penalties(&self.graph)
    }

    /// The four numbers, for [`names::STEP`], of the step before which `step` steps were done, on a batch of `batch`
    /// samples. `draw` selects the random numbers that are drawn.
    #[must_use]
    pub fn numbers(&self, step: u64, batch: usize, draw: u32) -> StepNumbers {
        StepNumbers {
            learning_rate: self.optimizer.learning_rate.at(step),
            correction: self.optimizer.rule.correction(step.saturating_add(1)),
            per_sample: (1.0 / batch as f64) as f32,
            draw,
        }
    }

    /// The names of all inputs that hold a step's numbers, each with what its `per_sample` is multiplied by: a loss of
    /// another weight than 1 has numbers of its own.
    #[must_use]
    pub fn steps(&self) -> Vec<(String, f64)> {
        let weighted = self.aims.iter().filter(|aim| aim.loss.is_some() && aim.weight != 1.0);
        let weighted = weighted.map(|aim| (self.step_of(aim), aim.weight));
        [(names::STEP.to_owned(), 1.0)].into_iter().chain(weighted).collect()
    }

    fn step_of(&self, aim: &Aim) -> String {
        if aim.weight == 1.0 { names::STEP.to_owned() } else { format!("{}/{}", names::STEP, aim.name) }
    }

    /// A whole step. Weights are updated where their gradient is computed, which is then kept nowhere
    /// ([`LocalUpdate`](crate::ops::LocalUpdate)), except weights that locations or several calls of a layer share, and
    /// except where gradients are clipped by a norm.
    #[must_use]
    pub fn step(&self) -> Program {
        self.step_with(false)
    }

    /// The same step, with the same bits, that also has the gradients of all parameters in the host's buffers, as
    /// [`Training::gradients`] has them: to look at them, and for comparison.
    #[must_use]
    pub fn step_with_gradients(&self) -> Program {
        let mut program = self.gradients();
        self.add_update(&mut program, false);
        program
    }

    /// A whole step; with `overwrite` averages replace the parameters at its end, before constraints.
    #[must_use]
    pub(super) fn step_with(&self, overwrite: bool) -> Program {
        let mut program = self.judged(Derived::AndUpdated);
        self.add_update(&mut program, overwrite);
        program
    }

    /// The first half of a step: from the inputs to the sums of losses and metrics, and to the gradients of losses and
    /// activity penalties by the parameters. For a batch in pieces, all pieces but the first run it as
    /// [`Program::accumulating`]; `per_sample` is then that of the whole batch.
    #[must_use]
    pub fn gradients(&self) -> Program {
        self.judged(Derived::Kept)
    }

    /// The second half of a step: adds gradients of parameters' penalties, clips, then updates, averages and constrains
    /// the parameters.
    #[must_use]
    pub fn update(&self) -> Program {
        self.update_with(false)
    }

    pub(super) fn update_with(&self, overwrite: bool) -> Program {
        let mut program = Program::default();
        self.add_update(&mut program, overwrite);
        program
    }

    /// The sums of losses, metrics and penalties, without training: dropout does nothing, and normalisations take their
    /// moving statistics.
    #[must_use]
    pub fn evaluation(&self) -> Program {
        let mut program = self.judged(Derived::Not);
        self.add_penalties(&mut program);
        program
    }

    fn judged(&self, gradients: Derived) -> Program {
        let (derived, at_once) = (gradients != Derived::Not, gradients == Derived::AndUpdated);
        let activities = self.apart.calls().filter(|(.., layer)| layer.rules().activity_regularizer.is_some());
        let activities: Vec<Node> = activities.map(|(node, ..)| node).collect();
        let values: Vec<Node> = self.aims.iter().flat_map(Aim::reads).chain(activities.iter().copied()).collect();
        let mode = if derived { Mode::Training { seed: self.seed } } else { Mode::Inference };
        let kept: &Updates<'_> = &|_, _| None;
        let updated: &Updates<'_> = &|program, name| self.change_at_once(program, name);
        self.apart.judged(&values, (mode, if at_once { updated } else { kept }), |judging| {
            for aim in &self.aims {
                let step = derived.then(|| step(judging.program, &self.step_of(aim)));
                aim.judge(&self.graph, judging, step);
            }
            if !activities.is_empty() {
                let step = step(judging.program, names::STEP);
                penalties::activities(judging, step, derived);
            }
            if at_once {
                // Penalties are of the parameters before their updates.
                self.add_penalties(judging.program);
            }
        })
    }

    /// Adds the values of parameters' penalties.
    pub(super) fn add_penalties(&self, program: &mut Program) {
        for OfParameter { layer, name, shape, .. } in &self.penalties {
            found(program, name, (Usage::Parameter, shape), Some(layer));
        }
        penalties::values(program, &self.penalties);
    }

    /// Sets the averages to the parameters, as before the first step. None where no averages are kept.
    #[must_use]
    pub fn begin(&self) -> Option<Program> {
        self.optimizer.ema?;
        let mut program = Program::default();
        self.average(&mut program, 0.0, |[parameter, average]| [parameter, average]);
        Some(program)
    }

    /// Replaces the parameters by their averages, as Keras does at the end of a `fit`. None where no averages are kept.
    #[must_use]
    pub fn end(&self) -> Option<Program> {
        self.optimizer.ema?;
        let mut program = Program::default();
        self.average(&mut program, 0.0, |[parameter, average]| [average, parameter]);
        Some(program)
    }

    /// A program without operations that has all parameters and states, for executors to make room for them. It has no
    /// gradients: those are made by the programs that keep them.
    #[must_use]
    pub fn store(&self) -> Program {
        let mut store = Program::default();
        for layer in self.graph.layers() {
            for parameter in layer.parameters() {
                let name = names::parameter(layer.name(), parameter.name);
                found(&mut store, &name, (Usage::Parameter, &parameter.shape), Some(layer.name()));
            }
        }
        for learned in &self.learned {
            let mut add = |name: &str, usage| found(&mut store, name, (usage, &learned.shape), Some(&learned.layer));
            for state in learned.slots.iter().chain(&learned.average) {
                add(state, Usage::State);
            }
        }
        store
    }

    /// The first layer that needs the whole batch at once, because its output of a sample depends on the other samples.
    pub(super) fn joins_samples(&self) -> Option<&GraphLayer> {
        let joins = |layer: &&GraphLayer| matches!(layer.kind(), Kind::BatchNormalization(_)) && layer.is_trainable();
        self.graph.layers().iter().find(joins)
    }
}

/// The buffer of that name. If there is none, it is added.
pub(super) fn found(
    program: &mut Program,
    name: &str,
    (usage, shape): (Usage, &Shape),
    layer: Option<&str>,
) -> BufferId {
    program.find(name).unwrap_or_else(|| {
        let (name, layer) = (name.to_owned(), layer.map(str::to_owned));
        program.add_buffer(Buffer { name, layer, usage, shape: shape.clone(), dtype: WeightType::F32 })
    })
}

/// The buffer of a step's numbers.
pub(super) fn step(program: &mut Program, name: &str) -> BufferId {
    found(program, name, (Usage::Input, &Shape::Fixed(STEP_NUMBERS)), None)
}

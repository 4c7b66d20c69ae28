//! Goals of a model's outputs: losses, metrics, and the operations that compute them.

use super::loss::{Counted, Loss, Metric, MetricKind};
use crate::model::{End, Graph, Judging, Last, Node, names};
use crate::ops::{self, BufferId, Hits, HitsKind, Judged, LossGrad, Operation, Shape, Term, Total, Usage};
use crate::program::Program;
use crate::{Activation, Error, Result};

/// What an output of a model is trained for.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Goal {
    /// The loss between the output and its target; none for an output that has metrics only.
    pub loss: Option<Loss>,
    /// What the loss is multiplied by in the sum over all outputs: Keras's `loss_weights`. None is 1.
    pub weight: Option<f64>,
    /// Metrics in which each sample counts alike.
    pub metrics: Vec<Metric>,
    /// Metrics in which samples count by their weights.
    pub weighted_metrics: Vec<Metric>,
}

impl Goal {
    /// A goal with a loss and no metrics.
    #[must_use]
    pub fn new(loss: Loss) -> Self {
        Self { loss: Some(loss), ..Self::default() }
    }

    /// Adds a metric.
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metrics.push(metric);
        self
    }

    /// Adds a metric in which samples count by their weights.
    #[must_use]
    pub fn weighted_metric(mut self, metric: Metric) -> Self {
        self.weighted_metrics.push(metric);
        self
    }

    /// Sets what the loss is multiplied by in the sum over all outputs.
    #[must_use]
    pub fn weight(self, weight: f64) -> Self {
        Self { weight: Some(weight), ..self }
    }
}

/// The goals of a model's outputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Goals {
    /// One goal for all outputs, or for the only one.
    Each(Goal),
    /// Goals by the outputs' names. An output that isn't named has none.
    Named(Vec<(String, Goal)>),
}

impl From<Goal> for Goals {
    fn from(goal: Goal) -> Self {
        Self::Each(goal)
    }
}

impl From<Loss> for Goals {
    fn from(loss: Loss) -> Self {
        Self::Each(Goal::new(loss))
    }
}

impl<const N: usize> From<[(&str, Goal); N]> for Goals {
    fn from(goals: [(&str, Goal); N]) -> Self {
        Self::Named(goals.into_iter().map(|(name, goal)| (name.to_owned(), goal)).collect())
    }
}

impl From<Vec<(String, Goal)>> for Goals {
    fn from(goals: Vec<(String, Goal)>) -> Self {
        Self::Named(goals)
    }
}

/// An output's goal, with what is needed to compute it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Aim {
    /// The output's name.
    pub(super) name: String,
    /// The output's value.
    node: Node,
    /// The value before the softmax or sigmoid that gives the output, where a crossentropy is computed from that.
    logits: Option<Node>,
    rows: u64,
    classes: u64,
    /// Whether targets are class numbers.
    sparse: bool,
    pub(super) loss: Option<Criterion>,
    /// What the loss is multiplied by in the sum over all outputs.
    pub(super) weight: f64,
    pub(super) counts: Vec<Count>,
}

/// A metric, with what is needed to compute it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Count {
    /// Its name in a history.
    pub(super) name: String,
    kind: CountKind,
    /// Whether samples count by their weights.
    pub(super) weighted: bool,
}

/// What computes a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
enum CountKind {
    Hits(HitsKind),
    Loss(Criterion),
}

/// A loss, and whether it is of an output or of the value before its activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Criterion {
    kind: Loss,
    is_of_logits: bool,
}

impl Criterion {
    /// Where Keras takes the value before the activation, the loss is of logits, whatever its argument says.
    fn new(loss: Loss, last: Option<Last>) -> Self {
        let is_of_logits = is_of_logits(loss, last);
        Self { kind: if is_of_logits { loss.with_logits() } else { loss }, is_of_logits }
    }
}

/// Whether Keras takes the value before `last` instead of the output.
fn is_of_logits(loss: Loss, last: Option<Last>) -> bool {
    match last {
        // Keras keeps the input of these two activations, and uses it for every crossentropy.
        Some(Last::Activation(Activation::Softmax | Activation::Sigmoid)) => loss.is_crossentropy(),
        // Keras looks for the operation of that layer only in the two crossentropies that are of softmax.
        Some(Last::SoftmaxLayer) => loss.is_crossentropy() && !matches!(loss, Loss::BinaryCrossentropy { .. }),
        Some(Last::Activation(_)) | None => false,
    }
}

/// The goal of each output.
fn of_outputs(outputs: &[End<'_>], goals: &Goals) -> Result<Vec<Goal>> {
    let goals: Vec<Goal> = match goals {
        Goals::Each(goal) => vec![goal.clone(); outputs.len()],
        Goals::Named(goals) => {
            let unknown = |name: &String| outputs.iter().all(|output| output.name != name);
            if let Some((name, _)) = goals.iter().find(|(name, _)| unknown(name)) {
                return Err(Error::NoBuffer { name: name.clone() });
            }
            let of = |name: &str| goals.iter().find(|(of, _)| of == name).map(|(_, goal)| goal.clone());
            outputs.iter().map(|output| of(output.name).unwrap_or_default()).collect()
        }
    };
    if goals.iter().all(|goal| goal.loss.is_none()) {
        return Err(Error::Missing { what: "a loss", why: "no output of the model has one" });
    }
    Ok(goals)
}

/// The goals of a graph's outputs, and the graph in which activations that crossentropies look behind are steps of
/// their own.
pub(super) fn aims(graph: &Graph, goals: &Goals) -> Result<(Graph, Vec<Aim>)> {
    let outputs = graph.outputs();
    let goals = of_outputs(&outputs, goals)?;
    let (lasts, several) = (graph.last_activations(), outputs.len() > 1);
    let apart = goals.iter().zip(&lasts).map(|(goal, last)| {
        let metrics = goal.metrics.iter().chain(&goal.weighted_metrics);
        let is_loss = |metric: &Metric| matches!(metric.kind, MetricKind::Crossentropy | MetricKind::Loss(_));
        let activated =
            matches!(last, Some(Last::Activation(Activation::Softmax | Activation::Sigmoid) | Last::SoftmaxLayer));
        activated && (goal.loss.is_some_and(|loss| loss.is_crossentropy()) || metrics.into_iter().any(is_loss))
    });
    let (whole, logits) = graph.with_activations_apart(&apart.collect::<Vec<_>>());
    let nodes = whole.output_nodes().into_iter().zip(logits);
    let mut aims = Vec::with_capacity(goals.len());
    for (((goal, output), &last), nodes) in goals.iter().zip(&outputs).zip(&lasts).zip(nodes) {
        let aim = Aim::new(goal, output, (last, nodes), several);
        aims.push(aim.map_err(|error| if several { error.in_layer(output.name) } else { error })?);
    }
    Ok((whole, aims))
}

impl Aim {
    fn new(
        goal: &Goal,
        output: &End<'_>,
        (last, (node, logits)): (Option<Last>, (Node, Option<Node>)),
        several: bool,
    ) -> Result<Self> {
        let classes = output.shape.last().map_or(1, |&classes| classes as u64);
        let rows = output.elements() / classes.max(1);
        let mut sparse = goal.loss.is_some_and(|loss| loss.is_sparse());
        if let Some(loss) = goal.loss {
            loss.check()?;
        }
        let weight = goal.weight.unwrap_or(1.0);
        if !weight.is_finite() {
            let (argument, expected) = ("loss_weights", "finite numbers");
            return Err(Error::UnknownValue { argument, expected, value: weight.to_string() });
        }
        let mut counts: Vec<Count> = Vec::new();
        let plain = goal.metrics.iter().map(|metric| (metric, false));
        for (metric, weighted) in plain.chain(goal.weighted_metrics.iter().map(|metric| (metric, true))) {
            let counted = metric.kind.counted(classes, sparse);
            // The first metric says how the targets of an output without a loss lie.
            if goal.loss.is_none() && counts.is_empty() {
                sparse = counted.is_sparse();
            }
            if counted.is_sparse() != sparse {
                let lie = |sparse| if sparse { "class numbers" } else { "a number for each output" };
                let what = format!("the metric {}, whose targets are {}", metric.name, lie(counted.is_sparse()));
                let with = format!("beside a loss whose targets are {}", lie(sparse));
                return Err(Error::Unsupported { what, with });
            }
            let kind = match counted {
                Counted::Hits(kind) => CountKind::Hits(kind),
                Counted::Loss(loss) => {
                    loss.check()?;
                    CountKind::Loss(Criterion::new(loss, last))
                }
            };
            let name = named(&counts, (several.then_some(output.name), &metric.name), weighted)?;
            counts.push(Count { name, kind, weighted });
        }
        let (name, loss) = (output.name.to_owned(), goal.loss.map(|loss| Criterion::new(loss, last)));
        Ok(Self { name, node, logits, rows, classes, sparse, loss, weight, counts })
    }

    /// Whether it has a loss or a metric, and so needs a target.
    pub(super) fn is_judged(&self) -> bool {
        self.loss.is_some() || !self.counts.is_empty()
    }

    /// Elements of a sample's target.
    pub(super) fn targets(&self) -> u64 {
        if self.sparse { self.rows } else { self.rows.saturating_mul(self.classes) }
    }

    /// Whether targets are class numbers, and of how many classes.
    pub(super) fn classes(&self) -> (bool, u64) {
        (self.sparse, self.classes)
    }

    /// The value that a loss is of.
    fn of(&self, criterion: Criterion) -> Node {
        self.logits.filter(|_| criterion.is_of_logits).unwrap_or(self.node)
    }

    /// All values that the loss and the metrics are of.
    pub(super) fn reads(&self) -> Vec<Node> {
        let counted = |count: &Count| match count.kind {
            CountKind::Hits(_) => self.node,
            CountKind::Loss(criterion) => self.of(criterion),
        };
        self.loss.map(|loss| self.of(loss)).into_iter().chain(self.counts.iter().map(counted)).collect()
    }

    /// Adds its operations behind a forward pass: sums over the samples of losses and metrics. With `step`, which names
    /// the numbers of a step, a backward pass follows and the gradient of the loss is added, too.
    pub(super) fn judge(&self, graph: &Graph, judging: &mut Judging<'_>, step: Option<BufferId>) {
        if !self.is_judged() {
            return;
        }
        let name = |what: &str| graph.output_buffer(what, &self.name);
        let target = judging.program.add(name(names::TARGET), Usage::Input, Shape::Samples(self.targets()));
        let weights = judging.program.add(name(names::SAMPLE_WEIGHT), Usage::Input, Shape::Samples(1));
        let judged = |judging: &Judging<'_>, node, weighted| {
            let sample_weight = Some(weights).filter(|_| weighted);
            let (rows, classes) = (self.rows, self.classes);
            Some(Judged { rows, classes, prediction: judging.buffer(node)?, target, sample_weight })
        };
        if let Some(criterion) = self.loss {
            let (kind, node) = (criterion.kind, self.of(criterion));
            if let Some(of) = judged(judging, node, true) {
                let sum = name(names::LOSS);
                summed(judging.program, &sum, |output| Operation::Loss(ops::Loss { kind, of, output }));
                if let Some(step) = step.filter(|_| judging.is_derived(node)) {
                    let elements = Shape::Samples(self.rows.saturating_mul(self.classes));
                    let grad = judging.program.add(format!("{sum}/grad"), Usage::Scratch, elements);
                    judging.program.operations.push(Operation::LossGrad(LossGrad { kind, of, step, grad }));
                    judging.seed(node, grad);
                }
            }
        }
        for count in &self.counts {
            let sum = names::metric(&count.name);
            match count.kind {
                CountKind::Hits(kind) => {
                    if let Some(of) = judged(judging, self.node, count.weighted) {
                        summed(judging.program, &sum, |output| Operation::Hits(Hits { kind, of, output }));
                    }
                }
                CountKind::Loss(criterion) => {
                    let kind = criterion.kind;
                    if let Some(of) = judged(judging, self.of(criterion), count.weighted) {
                        summed(judging.program, &sum, |output| Operation::Loss(ops::Loss { kind, of, output }));
                    }
                }
            }
        }
    }
}

/// Adds an operation that gives each sample a number, and the sum of these numbers as the output `name`.
fn summed(program: &mut Program, name: &str, operation: impl FnOnce(BufferId) -> Operation) {
    let samples = program.add(format!("{name}/samples"), Usage::Scratch, Shape::Samples(1));
    program.operations.push(operation(samples));
    let output = program.add(name, Usage::Output, Shape::Fixed(1));
    let (of, factor, shape) = (Term::Value, 1.0, Shape::Samples(1));
    let total = Total { of, factor, shape, input: samples, step: None, output, accumulate: false };
    program.operations.push(Operation::Total(total));
}

/// A metric's name in a history, as Keras makes it: with the output's name in front where there are several outputs,
/// and with `weighted_` where an unweighted metric has the same name.
fn named(counts: &[Count], (output, metric): (Option<&str>, &str), weighted: bool) -> Result<String> {
    let taken = |name: &String| counts.iter().any(|count| count.name == *name) || name == names::LOSS;
    let with = |what: &str| output.map_or(format!("{what}{metric}"), |output| format!("{output}_{what}{metric}"));
    let names = [Some(with("")), weighted.then(|| with("weighted_"))];
    let free = names.into_iter().flatten().find(|name| !taken(name));
    let value = metric.to_owned();
    free.ok_or(Error::UnknownValue { argument: "metrics", expected: "names of their own", value })
}

//! Penalties of parameters and activations, as operations.

use crate::config::{OrthogonalMode, Regularizer};
use crate::model::{Graph, Judging, Stored, names};
use crate::ops::{BufferId, Operation, Orthogonal, OrthogonalGrad, PenaltyGrad, Shape, Term, Total, Usage};
use crate::program::Program;
use crate::{Error, Result};

/// A term of the loss that is no output's: one of a Keras layer's `losses`.
#[derive(Debug, Clone, PartialEq)]
pub struct Penalty {
    /// The layer.
    pub layer: String,
    /// The parameter that it is of; none for the layer's activated output.
    pub parameter: Option<String>,
    /// The regularizer that gives the term.
    pub regularizer: Regularizer,
}

/// A regularizer as the operations that compute it need it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Terms {
    /// `l1 · Σ|w| + l2 · Σw²`.
    Sums {
        l1: f32,
        l2: f32,
    },
    Orthogonal {
        factor: f32,
        mode: OrthogonalMode,
        rows: u64,
        columns: u64,
    },
}

impl Terms {
    /// The terms of a variable of `shape`. An activity has no shape that matters here.
    fn new(regularizer: &Regularizer, shape: &[usize]) -> Result<Self> {
        let finite = |l1: f32, l2: f32| match [l1, l2].iter().find(|factor| !factor.is_finite()) {
            Some(factor) => {
                let (argument, expected) = ("regularizer", "finite factors");
                Err(Error::UnknownValue { argument, expected, value: factor.to_string() })
            }
            None => Ok(Self::Sums { l1, l2 }),
        };
        match *regularizer {
            Regularizer::L1 { l1 } => finite(l1, 0.0),
            Regularizer::L2 { l2 } => finite(0.0, l2),
            Regularizer::L1L2 { l1, l2 } => finite(l1, l2),
            Regularizer::Orthogonal { factor, mode } => match *shape {
                [rows, columns] => {
                    finite(factor, 0.0)?;
                    Ok(Self::Orthogonal { factor, mode, rows: rows as u64, columns: columns as u64 })
                }
                _ => {
                    let with = format!("for a variable of {} axes, {shape:?}: Keras's takes two", shape.len());
                    Err(Error::Unsupported { what: "the orthogonal regularizer".into(), with })
                }
            },
            Regularizer::Custom(ref description) => {
                let what = format!("the regularizer {description}");
                Err(Error::Unsupported { what, with: "in training: it is none of Keras's".into() })
            }
        }
    }

    /// Adds the operations that add the penalty's value to the sum.
    fn value(self, sums: &mut Sums<'_>, input: BufferId, step: Option<BufferId>) {
        let Some(shape) = sums.program.buffer(input).map(|buffer| buffer.shape.clone()) else { return };
        match self {
            Self::Sums { l1, l2 } => {
                for (of, factor) in [(Term::Magnitude, l1), (Term::Square, l2)] {
                    if factor != 0.0 {
                        let (output, accumulate) = sums.next();
                        let shape = shape.clone();
                        let total = Total { of, factor, shape, input, step, output, accumulate };
                        sums.program.operations.push(Operation::Total(total));
                    }
                }
            }
            Self::Orthogonal { factor, mode, rows, columns } => {
                let (output, accumulate) = sums.next();
                let shape = shape.clone();
                let value = Orthogonal { factor, mode, rows, columns, shape, input, output, accumulate };
                sums.program.operations.push(Operation::Orthogonal(value));
            }
        }
    }

    /// The operation that adds the penalty's gradient to that of a parameter; none where there is nothing to add.
    fn gradient(self, of: BufferId, shape: &Shape, output: BufferId) -> Option<Operation> {
        let (shape, accumulate) = (shape.clone(), true);
        match self {
            Self::Sums { l1: 0.0, l2: 0.0 } => None,
            Self::Sums { l1, l2 } => {
                Some(Operation::PenaltyGrad(PenaltyGrad { l1, l2, shape, of, step: None, output, accumulate }))
            }
            Self::Orthogonal { factor, mode, rows, columns } => {
                let (input, grad) = (of, output);
                let grad = OrthogonalGrad { factor, mode, rows, columns, shape, input, grad, accumulate };
                Some(Operation::OrthogonalGrad(grad))
            }
        }
    }
}

/// Penalties' values that are summed in one output.
struct Sums<'a> {
    program: &'a mut Program,
    name: &'static str,
    output: Option<BufferId>,
}

impl<'a> Sums<'a> {
    fn new(program: &'a mut Program, name: &'static str) -> Self {
        Self { program, name, output: None }
    }

    /// The output, and whether the next term is added to what is there.
    fn next(&mut self) -> (BufferId, bool) {
        match self.output {
            Some(output) => (output, true),
            None => {
                let output = self.program.add(self.name, Usage::Output, Shape::Fixed(1));
                self.output = Some(output);
                (output, false)
            }
        }
    }
}

/// A parameter's penalty, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OfParameter {
    pub(super) layer: String,
    /// Its name in programs.
    pub(super) name: String,
    pub(super) shape: Shape,
    terms: Terms,
}

/// The penalties of parameters, checked.
pub(super) fn of_parameters(graph: &Graph) -> Result<Vec<OfParameter>> {
    let mut found = Vec::new();
    for layer in graph.layers() {
        let stored = graph.stored(layer.name()).unwrap_or_default();
        for (parameter, stored) in layer.parameters().iter().zip(&stored) {
            let Some(regularizer) = layer.rules().regularizer(parameter.name) else { continue };
            let terms = Terms::new(regularizer, &stored.shape()).map_err(|error| error.in_layer(layer.name()))?;
            if let (Terms::Orthogonal { .. }, Stored::Local(..) | Stored::Connections(_)) = (terms, stored) {
                let what = "the orthogonal regularizer".to_owned();
                return Err(Error::Unsupported { what, with: "for unshared weights".into() }.in_layer(layer.name()));
            }
            let (name, shape) = (names::parameter(layer.name(), parameter.name), parameter.shape.clone());
            found.push(OfParameter { layer: layer.name().to_owned(), name, shape, terms });
        }
    }
    Ok(found)
}

/// Adds the penalties' values, as one output, to a program that has the parameters.
pub(super) fn values(program: &mut Program, penalties: &[OfParameter]) {
    let mut sums = Sums::new(program, names::PENALTIES);
    for OfParameter { name, terms, .. } in penalties {
        if let Some(input) = sums.program.find(name) {
            terms.value(&mut sums, input, None);
        }
    }
}

/// The operation that adds the gradient of a parameter's penalty to its gradient; none where there is no penalty.
pub(super) fn gradient(
    penalties: &[OfParameter],
    (name, shape): (&str, &Shape),
    [parameter, gradient]: [BufferId; 2],
) -> Option<Operation> {
    let penalty = penalties.iter().find(|penalty| penalty.name == name)?;
    penalty.terms.gradient(parameter, shape, gradient)
}

/// The factors of a parameter's penalty on magnitudes and squares; both are 0 without a penalty. None where one
/// weight's gradient depends on other weights.
pub(super) fn factors(penalties: &[OfParameter], name: &str) -> Option<[f32; 2]> {
    match penalties.iter().find(|penalty| penalty.name == name).map(|penalty| penalty.terms) {
        None => Some([0.0; 2]),
        Some(Terms::Sums { l1, l2 }) => Some([l1, l2]),
        Some(Terms::Orthogonal { .. }) => None,
    }
}

/// Whether activity penalties can be computed.
pub(super) fn check_activities(graph: &Graph) -> Result<()> {
    for layer in graph.layers() {
        if let Some(regularizer) = &layer.rules().activity_regularizer {
            // An activity counts as no matrix here, so an orthogonal regularizer is refused.
            Terms::new(regularizer, &[]).map_err(|error| error.in_layer(layer.name()))?;
        }
    }
    Ok(())
}

/// Adds the activity penalties' values, divided by the batch, as one output, and their gradients where a backward pass
/// follows.
pub(super) fn activities(judging: &mut Judging<'_>, step: BufferId, is_derived: bool) {
    let calls = judging.calls();
    let mut output = None;
    for (node, call, layer) in calls {
        let Some(regularizer) = &layer.rules().activity_regularizer else { continue };
        let Some((of, Ok(terms))) = judging.buffer(node).zip(Some(Terms::new(regularizer, &[]))) else { continue };
        let Some(shape) = judging.program.buffer(of).map(|buffer| buffer.shape.clone()) else { continue };
        let mut sums = Sums { program: &mut *judging.program, name: names::ACTIVITY, output };
        terms.value(&mut sums, of, Some(step));
        output = sums.output;
        let Terms::Sums { l1, l2 } = terms else { continue };
        if is_derived && judging.is_derived(node) && (l1, l2) != (0.0, 0.0) {
            let name = format!("{call}/grad_activity");
            let output = judging.program.add(name, Usage::Scratch, shape.clone());
            let (step, accumulate) = (Some(step), false);
            let grad = PenaltyGrad { l1, l2, shape, of, step, output, accumulate };
            judging.program.operations.push(Operation::PenaltyGrad(grad));
            judging.seed(node, output);
        }
    }
}

/// All penalties of a graph in Keras's order: for each layer its activity's, then its parameters'. Layers that aren't
/// trained have theirs, too.
pub(super) fn penalties(graph: &Graph) -> Vec<Penalty> {
    let mut penalties = Vec::new();
    for layer in graph.layers() {
        let penalty = |parameter: Option<&str>, regularizer: &Regularizer| {
            let (layer, parameter) = (layer.name().to_owned(), parameter.map(str::to_owned));
            Penalty { layer, parameter, regularizer: regularizer.clone() }
        };
        let rules = layer.rules();
        penalties.extend(rules.activity_regularizer.iter().map(|regularizer| penalty(None, regularizer)));
        for parameter in layer.parameters() {
            let regularizer = rules.regularizer(parameter.name);
            penalties.extend(regularizer.map(|regularizer| penalty(Some(parameter.name), regularizer)));
        }
    }
    penalties
}

//! The second half of a step: parameters are updated by their gradients.

use super::optimizer::Clip;
use super::training::{Learned, Training, found, step};
use super::{Ema, penalties};
use crate::model::names;
use crate::ops::{BufferId, Change, ClipScale, MovingAverage, Operation, Shape, Term, Total, Update, Usage};
use crate::program::Program;

/// A parameter with its gradient in a buffer.
#[derive(Clone, Copy)]
struct Followed<'a> {
    learned: &'a Learned,
    parameter: BufferId,
    gradient: BufferId,
}

fn parameter(program: &mut Program, learned: &Learned) -> BufferId {
    found(program, &learned.name, (Usage::Parameter, &learned.shape), Some(&learned.layer))
}

/// The parameters that a program updates where it computes their gradients.
fn updated(program: &Program) -> Vec<String> {
    let at_once = program.operations.iter().filter(|operation| matches!(operation, Operation::LocalUpdate(_)));
    at_once.filter_map(|operation| program.buffer(operation.writes())).map(|buffer| buffer.name.clone()).collect()
}

impl Training {
    /// The update of a parameter where its gradient is computed; none where the whole gradient must be known first: for
    /// its norm, or for a penalty whose gradient at a weight depends on others.
    pub(super) fn change_at_once(&self, program: &mut Program, name: &str) -> Option<Change> {
        let learned = self.learned.iter().find(|learned| learned.name == name)?;
        let by_norm = matches!(self.optimizer.clipping.acting(), Clip::Norm(_) | Clip::GlobalNorm(_));
        let penalty = penalties::factors(&self.penalties, name).filter(|_| !by_norm)?;
        Some(self.change(program, learned, penalty))
    }

    /// The update of a parameter by its gradient, to which the gradient of these penalties is still to be added.
    fn change(&self, program: &mut Program, learned: &Learned, [l1, l2]: [f32; 2]) -> Change {
        let slot = |name: &String| found(program, name, (Usage::State, &learned.shape), Some(&learned.layer));
        let state = learned.slots.iter().map(slot).collect();
        let clip_value = match self.optimizer.clipping.acting() {
            Clip::Value(limit) => Some(limit),
            Clip::Nothing | Clip::Norm(_) | Clip::GlobalNorm(_) => None,
        };
        let weight_decay = self.optimizer.weight_decay.filter(|_| self.optimizer.decays(&learned.name));
        let (rule, parameter, step) = (self.optimizer.rule, parameter(program, learned), step(program, names::STEP));
        Change { rule, parameter, state, step, clip_value, weight_decay, l1, l2 }
    }

    /// Adds the second half of a step to a program: penalties of parameters, and all updates that the program doesn't
    /// have yet.
    pub(super) fn add_update(&self, program: &mut Program, overwrite: bool) {
        if program.find(names::PENALTIES).is_none() {
            self.add_penalties(program);
        }
        let done = updated(program);
        let mut parameters = Vec::new();
        for learned in self.learned.iter().filter(|learned| !done.contains(&learned.name)) {
            let gradient = (Usage::Gradient, &learned.shape);
            let gradient = found(program, &learned.gradient, gradient, Some(&learned.layer));
            parameters.push(Followed { learned, parameter: parameter(program, learned), gradient });
        }
        for &Followed { learned, parameter, gradient } in &parameters {
            let of = (learned.name.as_str(), &learned.shape);
            program.operations.extend(penalties::gradient(&self.penalties, of, [parameter, gradient]));
        }
        let scales = self.clipping(program, &parameters);
        for (&Followed { learned, gradient, .. }, scale) in parameters.iter().zip(scales) {
            let (change, shape) = (self.change(program, learned, [0.0; 2]), learned.shape.clone());
            program.operations.push(Operation::Update(Update { shape, gradient, scale, change }));
        }
        if let Some(Ema { momentum, .. }) = self.optimizer.ema {
            self.average(program, momentum, |[parameter, average]| [parameter, average]);
        }
        if overwrite {
            self.average(program, 0.0, |[parameter, average]| [average, parameter]);
        }
        for learned in &self.learned {
            if let Some(bound) = &learned.bound {
                let parameter = parameter(program, learned);
                bound.push(program, parameter);
            }
        }
    }

    /// The buffers of the factors that clip each gradient.
    fn clipping(&self, program: &mut Program, parameters: &[Followed<'_>]) -> Vec<Option<BufferId>> {
        let squares = |program: &mut Program, learned: &Learned, input, output, accumulate| {
            let (of, factor, shape) = (Term::Square, 1.0, learned.shape.clone());
            let total = Total { of, factor, shape, input, step: None, output, accumulate };
            program.operations.push(Operation::Total(total));
        };
        let one = |program: &mut Program, name: String| program.add(name, Usage::Scratch, Shape::Fixed(1));
        let scale = |program: &mut Program, of: &str, squares, limit, global| {
            let output = one(program, format!("{of}/scale"));
            program.operations.push(Operation::ClipScale(ClipScale { limit, global, squares, output }));
            Some(output)
        };
        match self.optimizer.clipping.acting() {
            Clip::Nothing | Clip::Value(_) => vec![None; parameters.len()],
            Clip::Norm(limit) => {
                let scales = parameters.iter().map(|&Followed { learned, gradient, .. }| {
                    let sum = one(program, format!("{}/squares", learned.gradient));
                    squares(program, learned, gradient, sum, false);
                    scale(program, &learned.gradient, sum, limit, false)
                });
                scales.collect()
            }
            Clip::GlobalNorm(limit) => {
                let sum = one(program, "gradients/squares".into());
                for (&Followed { learned, gradient, .. }, at) in parameters.iter().zip(0..) {
                    squares(program, learned, gradient, sum, at > 0);
                }
                vec![scale(program, "gradients", sum, limit, true); parameters.len()]
            }
        }
    }

    /// Adds moving averages of parameters; `order` says which of the pair is averaged into the other.
    pub(super) fn average(&self, program: &mut Program, momentum: f64, order: impl Fn([BufferId; 2]) -> [BufferId; 2]) {
        for learned in &self.learned {
            let Some(average) = &learned.average else { continue };
            let parameter = parameter(program, learned);
            let average = found(program, average, (Usage::State, &learned.shape), Some(&learned.layer));
            let [value, average] = order([parameter, average]);
            let (shape, bessel) = (learned.shape.clone(), None);
            program.operations.push(Operation::MovingAverage(MovingAverage {
                momentum,
                shape,
                value,
                average,
                bessel,
            }));
        }
    }
}

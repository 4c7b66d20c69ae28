//! Programs of what changes parameters, of every kind and option, on parameters of any shape.

use crate::common::{Arrays, random};
use locally_connected::config::OrthogonalMode;
use locally_connected::geometry::Groups;
use locally_connected::ops::{
    BufferId, Change, ClipScale, Constrain, GroupSquares, MovingAverage, NonNegative, NormLimit, Operation, Orthogonal,
    OrthogonalGrad, PenaltyGrad, Radial, Rule, STEP_NUMBERS, Shape, StepNumbers, Term, Total, Update, Usage,
};
use locally_connected::program::Program;
use std::sync::Arc;

const STEP: &str = "step";

/// A program that is being made.
struct Making {
    program: Program,
    shape: Shape,
}

impl Making {
    fn new(shape: &Shape) -> Self {
        Self { program: Program::default(), shape: shape.clone() }
    }

    fn add(&mut self, name: &str, usage: Usage) -> BufferId {
        let shape = self.shape.clone();
        self.program.add(name, usage, shape)
    }

    fn step(&mut self) -> BufferId {
        self.program.find(STEP).unwrap_or_else(|| self.program.add(STEP, Usage::Input, Shape::Fixed(STEP_NUMBERS)))
    }

    fn one(&mut self, name: &str, usage: Usage) -> BufferId {
        self.program.add(name, usage, Shape::Fixed(1))
    }

    fn push(&mut self, operation: Operation) {
        self.program.operations.push(operation);
    }

    /// A gradient that is there: that of a penalty.
    fn gradient(&mut self, of: BufferId) -> BufferId {
        let output = self.add("gradient", Usage::Gradient);
        let shape = self.shape.clone();
        self.push(Operation::PenaltyGrad(PenaltyGrad {
            l1: 0.3,
            l2: 0.7,
            shape,
            of,
            step: None,
            output,
            accumulate: false,
        }));
        output
    }
}

/// How an update clips.
#[derive(Debug, Clone, Copy)]
enum Clip {
    Not,
    Value,
    Norm { global: bool },
}

/// What an update does besides its rule.
#[derive(Debug, Clone, Copy)]
struct Besides {
    clip: Clip,
    weight_decay: Option<f64>,
    penalty: Option<[f32; 2]>,
}

fn update(shape: &Shape, rule: Rule, besides: Besides) -> Program {
    let Besides { clip, weight_decay, penalty } = besides;
    let mut making = Making::new(shape);
    let parameter = making.add("weights", Usage::Parameter);
    let gradient = making.gradient(parameter);
    let state = rule.slots().iter().map(|slot| making.add(slot, Usage::State)).collect();
    let step = making.step();
    let scale = if let Clip::Norm { global } = clip { Some(global) } else { None }.map(|global| {
        let (squares, output) = (making.one("squares", Usage::Scratch), making.one("scale", Usage::Scratch));
        let (of, factor, input) = (Term::Square, 1.0, gradient);
        let shape = shape.clone();
        making.push(Operation::Total(Total {
            of,
            factor,
            shape,
            input,
            step: None,
            output: squares,
            accumulate: false,
        }));
        making.push(Operation::ClipScale(ClipScale { limit: 0.9, global, squares, output }));
        output
    });
    let clip_value = matches!(clip, Clip::Value).then_some(0.4);
    let shape = shape.clone();
    let [l1, l2] = penalty.filter(|_| scale.is_none()).unwrap_or_default();
    let change = Change { rule, parameter, state, step, clip_value, weight_decay, l1, l2 };
    making.push(Operation::Update(Update { shape, gradient, scale, change }));
    making.program
}

/// An update by Adam, alone.
pub(super) fn adam(shape: &Shape) -> Program {
    let rule = Rule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false };
    update(shape, rule, Besides { clip: Clip::Not, weight_decay: None, penalty: None })
}

/// Every optimizer with every number of states.
pub(crate) fn rules() -> Vec<Rule> {
    let mut rules = vec![
        Rule::Sgd { momentum: 0.0, nesterov: false },
        Rule::Sgd { momentum: 0.9, nesterov: false },
        Rule::Sgd { momentum: 0.8, nesterov: true },
        Rule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-3, amsgrad: false },
        Rule::Adam { beta_1: 0.8, beta_2: 0.9, epsilon: 1e-3, amsgrad: true },
    ];
    for (momentum, centered) in [(0.0, false), (0.5, false), (0.0, true), (0.6, true)] {
        rules.push(Rule::RmsProp { rho: 0.9, momentum, epsilon: 1e-2, centered });
    }
    rules
}

fn average(shape: &Shape, momentum: f64, bessel: Option<u64>) -> Program {
    let mut making = Making::new(shape);
    let (value, average) = (making.add("weights", Usage::Parameter), making.add("average", Usage::State));
    let shape = shape.clone();
    making.push(Operation::MovingAverage(MovingAverage { momentum, shape, value, average, bessel }));
    making.program
}

/// The value and the gradient of a penalty, of parameters or of samples.
fn penalty(shape: &Shape, by_step: bool) -> Program {
    let mut making = Making::new(shape);
    let samples = matches!(shape, Shape::Samples(_));
    let of = making.add("weights", if samples { Usage::Input } else { Usage::Parameter });
    let output = making.add("gradient", if samples { Usage::Output } else { Usage::Gradient });
    let step = by_step.then(|| making.step());
    let value = making.one("penalty", Usage::Output);
    for (term, factor, accumulate) in
        [(Term::Magnitude, 0.3, false), (Term::Square, 0.7, true), (Term::Value, 0.1, true)]
    {
        let shape = shape.clone();
        making.push(Operation::Total(Total { of: term, factor, shape, input: of, step, output: value, accumulate }));
    }
    let shape = shape.clone();
    let penalty = PenaltyGrad { l1: 0.3, l2: 0.7, shape, of, step, output, accumulate: false };
    making.push(Operation::PenaltyGrad(penalty));
    making.program
}

fn orthogonal(shape: &Shape, mode: OrthogonalMode, [rows, columns]: [u64; 2]) -> Program {
    let mut making = Making::new(shape);
    let input = making.add("weights", Usage::Parameter);
    let grad = making.gradient(input);
    let output = making.one("penalty", Usage::Output);
    let (factor, shape) = (0.4, shape.clone());
    let value = Orthogonal { factor, mode, rows, columns, shape: shape.clone(), input, output, accumulate: false };
    making.push(Operation::Orthogonal(value));
    making.push(Operation::OrthogonalGrad(OrthogonalGrad {
        factor,
        mode,
        rows,
        columns,
        shape,
        input,
        grad,
        accumulate: true,
    }));
    making.program
}

fn constrain(shape: &Shape, groups: Groups, limit: NormLimit) -> Program {
    let mut making = Making::new(shape);
    let parameter = making.add("weights", Usage::Parameter);
    let groups = Arc::new(groups);
    let squares = making.program.add("squares", Usage::Output, Shape::Fixed(groups.norms(shape.filters())));
    let shape = shape.clone();
    let (own, of) = (groups.clone(), shape.clone());
    making.push(Operation::GroupSquares(GroupSquares { groups: own, shape: of, parameter, output: squares }));
    making.push(Operation::Constrain(Constrain { limit, groups, shape, squares, parameter }));
    making.program
}

fn non_negative(shape: &Shape) -> Program {
    let mut making = Making::new(shape);
    let parameter = making.add("weights", Usage::Parameter);
    let shape = shape.clone();
    making.push(Operation::NonNegative(NonNegative { shape, parameter }));
    making.program
}

fn radial(size: u64, [cells, channels, filters]: [u64; 3]) -> Program {
    let shape = Shape::Weights { cells, window: size * size * channels, filters };
    let mut making = Making::new(&shape);
    let parameter = making.add("weights", Usage::Parameter);
    making.push(Operation::Radial(Radial { size, cells, channels, filters, shape, parameter }));
    making.program
}

/// Parameters of every shape.
pub(super) fn shapes(seed: u64) -> Vec<Shape> {
    vec![
        Shape::Fixed([1, 7, 64, 130][seed as usize % 4]),
        Shape::Weights { cells: 5, window: [6, 4, 1][seed as usize % 3], filters: [3, 4, 8][seed as usize % 3] },
        Shape::Weights { cells: 1, window: 12, filters: 5 },
        Shape::Connections { starts: [0, 2, 2, 9, 10].into(), filters: [1, 4][seed as usize % 2] },
    ]
}

/// All that is done with a parameter of this shape.
pub(super) fn of_shape(shape: &Shape, seed: u64) -> Vec<Program> {
    let rows = (shape.elements(1) / shape.filters()) as u32;
    let mut all = Vec::new();
    for (rule, at) in rules().into_iter().zip(seed..) {
        let clip = [Clip::Not, Clip::Value, Clip::Norm { global: at.is_multiple_of(2) }][at as usize % 3];
        let penalty = [None, Some([0.2, 0.0]), Some([0.1, 0.3]), None][at as usize % 4];
        let weight_decay = [None, Some(0.1)][at as usize % 2];
        all.push(update(shape, rule, Besides { clip, weight_decay, penalty }));
    }
    all.push(average(shape, 0.9, Some(5)));
    all.push(average(shape, 0.0, None));
    all.push(penalty(shape, seed.is_multiple_of(2)));
    all.push(non_negative(shape));
    let limits = [
        NormLimit::AtMost { max: 0.8 },
        NormLimit::Unit,
        NormLimit::Between { min: 1.0, max: 1.5, rate: 0.4 },
        NormLimit::AtMost { max: -1.0 },
    ];
    let groups = |number: &dyn Fn(u32) -> u32, by_filter| {
        Groups::new((0..rows).map(number).collect::<Vec<_>>(), by_filter).expect("numbers without gaps")
    };
    let some = 3.min(rows);
    for (limit, at) in limits.into_iter().zip(seed..) {
        let by_filter = at.is_multiple_of(2);
        all.push(constrain(shape, groups(&|_| 0, by_filter), limit));
        all.push(constrain(shape, groups(&|row| row, by_filter), limit));
        all.push(constrain(shape, groups(&|row| row % some, by_filter), limit));
        // Some are of no group, and groups change within a cell.
        let gaps = |row: u32| if row % 4 == 1 { Groups::NONE } else { row / 4 * 2 / 3 };
        let dense: Vec<u32> = (0..rows).map(gaps).filter(|group| *group != Groups::NONE).collect();
        let number = |row: u32| match gaps(row) {
            Groups::NONE => Groups::NONE,
            group => {
                let mut before: Vec<u32> = dense.iter().copied().filter(|other| *other < group).collect();
                before.dedup();
                before.len() as u32
            }
        };
        all.push(constrain(shape, groups(&number, by_filter), limit));
    }
    if matches!(shape, Shape::Fixed(elements) if elements.is_multiple_of(2)) {
        let half = shape.elements(1) / 2;
        all.push(orthogonal(shape, OrthogonalMode::Rows, [2, half]));
        all.push(orthogonal(shape, OrthogonalMode::Columns, [half, 2]));
    }
    if let Shape::Weights { cells: 1, window, filters } = shape {
        all.push(orthogonal(shape, OrthogonalMode::Rows, [*window, *filters]));
        all.push(orthogonal(shape, OrthogonalMode::Columns, [*window, *filters]));
    }
    all
}

/// All of it, on parameters of all shapes.
pub(crate) fn programs(seed: u64) -> Vec<Program> {
    let mut all: Vec<Program> = shapes(seed).iter().flat_map(|shape| of_shape(shape, seed)).collect();
    all.push(penalty(&Shape::Samples(11), true));
    all.push(penalty(&Shape::Samples(8), false));
    for size in 2..6 {
        all.push(radial(size, [[1, 2, 3], [2, 1, 4]][seed as usize % 2]));
    }
    all
}

/// What is given to a program, at random: some weights are 0, second moments and averages of squares are none below 0.
pub(super) fn given(program: &Program, batch: u32, seed: u64) -> Arrays {
    let needed = program.buffers.iter().zip(program.given()).zip(3 * seed + 1..).filter(|((_, given), _)| *given);
    let mut all: Arrays = needed
        .map(|((buffer, _), seed)| {
            let mut values = random(seed, buffer.shape.elements(batch));
            values.iter_mut().step_by(7).for_each(|value| *value = 0.0);
            let moment = ["v", "vhat", "velocity"].contains(&buffer.name.as_str());
            if moment {
                // Above the squares of what is averaged beside them.
                values.iter_mut().for_each(|value| *value = value.abs() + 1.0);
            }
            (buffer.name.clone(), values)
        })
        .collect();
    if let Some(step) = all.get_mut(STEP) {
        let numbers = StepNumbers { learning_rate: 0.1, correction: 0.3, per_sample: 1.0 / batch as f32, draw: 5 };
        *step = numbers.to_floats().to_vec();
    }
    all
}

//! The reference as Keras 2.15 has it: `tests/data/keras_updates.json`, which `tests/fixtures/make_update_fixtures.py` writes.

use crate::common::{assert_near, root};
use locally_connected::config::{Axes, OrthogonalMode, Regularizer};
use locally_connected::geometry::{Groups, SharedLayout};
use locally_connected::ops::{
    BufferId, Change, ClipScale, Constrain, GroupSquares, MovingAverage, NonNegative, NormLimit, Operation, Orthogonal,
    OrthogonalGrad, PenaltyGrad, Radial, Rule, STEP_NUMBERS, Shape, StepNumbers, Term, Total, Update, Usage,
};
use locally_connected::program::Program;
use locally_connected::reference::{self, Values};
use locally_connected::{Config, DataFormat, Geometry, KerasLayout, Padding};
use serde::Deserialize;
use std::sync::Arc;

/// Of the largest value: Keras's own rounding.
const NEAR: f64 = 1e-6;

#[derive(Deserialize)]
struct Fixture {
    optimizers: Vec<OptimizerCase>,
    shapes: Vec<Vec<u64>>,
    constraints: Vec<ConstraintCase>,
    penalties: Vec<PenaltyCase>,
    clipping: Vec<ClipCase>,
    averages: Vec<AverageCase>,
}

/// A number; JSON has no NaN and no infinities.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Number {
    Finite(f32),
    Other(String),
}

impl Number {
    fn value(&self) -> f64 {
        match self {
            Self::Finite(value) => f64::from(*value),
            Self::Other(name) => match name.as_str() {
                "inf" => f64::INFINITY,
                "-inf" => f64::NEG_INFINITY,
                _ => f64::NAN,
            },
        }
    }
}

fn values(numbers: &[Number]) -> Vec<f64> {
    numbers.iter().map(Number::value).collect()
}

/// Panics unless all are as near as Keras's rounding is; NaN is NaN.
#[track_caller]
fn assert_keras(what: &str, found: &[f64], expected: &[Number]) {
    let number = |value: f64| if value.is_finite() { value } else { 0.0 };
    let expected = values(expected);
    for (found, expected) in found.iter().zip(&expected) {
        let same = found.is_nan() == expected.is_nan() && (found.is_infinite() == expected.is_infinite());
        assert!(same, "{what}: {found}, not {expected}");
    }
    let narrow: Vec<f32> = found.iter().map(|&value| number(value) as f32).collect();
    let expected: Vec<f64> = expected.into_iter().map(number).collect();
    assert_near(what, &narrow, &expected, NEAR);
}

fn fixture() -> Fixture {
    let path = root().join("tests/data/keras_updates.json");
    let text = std::fs::read_to_string(path).expect("the repository has it");
    serde_json::from_str(&text).expect("the script writes it so")
}

#[derive(Deserialize)]
struct OptimizerCase {
    name: String,
    class: String,
    config: OptimizerConfig,
    initial: Vec<Vec<Number>>,
    steps: Vec<Step>,
    slots: Vec<Vec<Number>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptimizerConfig {
    momentum: Option<f64>,
    nesterov: Option<bool>,
    beta_1: Option<f64>,
    beta_2: Option<f64>,
    epsilon: Option<f64>,
    amsgrad: Option<bool>,
    rho: Option<f64>,
    centered: Option<bool>,
    weight_decay: Option<f64>,
    clipnorm: Option<f32>,
    clipvalue: Option<f32>,
    global_clipnorm: Option<f32>,
    use_ema: bool,
    ema_momentum: f64,
}

#[derive(Deserialize)]
struct Step {
    rate: f32,
    gradients: Vec<Vec<Number>>,
    after: Vec<Vec<Number>>,
}

impl OptimizerCase {
    fn rule(&self) -> Rule {
        let OptimizerConfig { momentum, nesterov, beta_1, beta_2, epsilon, amsgrad, rho, centered, .. } = self.config;
        let number = |number: Option<f64>| number.expect("Keras says it");
        let flag = |flag: Option<bool>| flag.expect("Keras says it");
        match self.class.as_str() {
            "SGD" => Rule::Sgd { momentum: number(momentum), nesterov: flag(nesterov) },
            "Adam" | "AdamW" => Rule::Adam {
                beta_1: number(beta_1),
                beta_2: number(beta_2),
                epsilon: number(epsilon),
                amsgrad: flag(amsgrad),
            },
            "RMSprop" => Rule::RmsProp {
                rho: number(rho),
                momentum: number(momentum),
                epsilon: number(epsilon),
                centered: flag(centered),
            },
            class => panic!("{class}"),
        }
    }

    /// A step of all variables, `w0`, `w1`, …
    fn program(&self, shapes: &[Vec<u64>]) -> Program {
        let mut program = Program::default();
        let step = program.add("step", Usage::Input, Shape::Fixed(STEP_NUMBERS));
        let shapes: Vec<Shape> = shapes.iter().map(|shape| Shape::Fixed(shape.iter().product())).collect();
        let all = |program: &mut Program, name: &str, usage| -> Vec<BufferId> {
            let each = shapes.iter().enumerate();
            each.map(|(at, shape)| program.add(format!("{name}{at}"), usage, shape.clone())).collect()
        };
        let (parameters, gradients) = (all(&mut program, "w", Usage::Parameter), all(&mut program, "g", Usage::Input));
        let rule = self.rule();
        let states: Vec<Vec<BufferId>> =
            rule.slots().iter().map(|slot| all(&mut program, slot, Usage::State)).collect();
        // Each its own norm, or all one.
        let OptimizerConfig { clipnorm, clipvalue, global_clipnorm, weight_decay, .. } = self.config;
        let limit = clipnorm.or(global_clipnorm);
        let mut scales = vec![None; shapes.len()];
        let mut squares = None;
        for (at, (shape, &input)) in shapes.iter().zip(&gradients).enumerate() {
            let Some(limit) = limit else { break };
            let global = clipnorm.is_none();
            let one =
                |program: &mut Program, name: &str| program.add(format!("{name}{at}"), Usage::Scratch, Shape::Fixed(1));
            let accumulate = global && squares.is_some();
            let output = squares.filter(|_| global).unwrap_or_else(|| one(&mut program, "squares"));
            squares = Some(output);
            let (of, factor, shape, step) = (Term::Square, 1.0, shape.clone(), None);
            program.operations.push(Operation::Total(Total { of, factor, shape, input, step, output, accumulate }));
            if !global || at + 1 == shapes.len() {
                let scale = one(&mut program, "scale");
                let clip = ClipScale { limit, global, squares: output, output: scale };
                program.operations.push(Operation::ClipScale(clip));
                scales[if global { 0 } else { at }..=at].fill(Some(scale));
            }
        }
        for (at, shape) in shapes.iter().enumerate() {
            let change = Change {
                rule,
                parameter: parameters[at],
                state: states.iter().map(|slot| slot[at]).collect(),
                step,
                clip_value: clipvalue.filter(|_| limit.is_none()),
                weight_decay,
                l1: 0.0,
                l2: 0.0,
            };
            let (shape, gradient, scale) = (shape.clone(), gradients[at], scales[at]);
            program.operations.push(Operation::Update(Update { shape, gradient, scale, change }));
        }
        if self.config.use_ema {
            for ((shape, &value), at) in shapes.iter().zip(&parameters).zip(0..) {
                let average = program.add(format!("average{at}"), Usage::State, shape.clone());
                let (momentum, shape) = (self.config.ema_momentum, shape.clone());
                let operation = MovingAverage { momentum, shape, value, average, bessel: None };
                program.operations.push(Operation::MovingAverage(operation));
            }
        }
        program
    }

    /// Our names of Keras's variables, in their order.
    fn slot_names(&self, variables: usize) -> Vec<String> {
        let rule = self.rule();
        let by_slot = |slot: &str| (0..variables).map(|at| format!("{slot}{at}")).collect::<Vec<_>>();
        let mut names = if self.config.use_ema { by_slot("average") } else { Vec::new() };
        match rule {
            Rule::Adam { amsgrad, .. } => {
                names.extend((0..variables).flat_map(|at| [format!("m{at}"), format!("v{at}")]));
                if amsgrad {
                    names.extend(by_slot("vhat"));
                }
            }
            Rule::Sgd { .. } | Rule::RmsProp { .. } => names.extend(rule.slots().iter().flat_map(|slot| by_slot(slot))),
        }
        names
    }
}

#[test]
fn steps_of_optimizers_are_keras_s() {
    let Fixture { optimizers, shapes, .. } = fixture();
    assert_eq!(optimizers.len(), 20);
    for case in &optimizers {
        let program = case.program(&shapes);
        let mut held = Values::new();
        for (initial, at) in case.initial.iter().zip(0..) {
            held.insert(format!("w{at}"), values(initial));
            // Keras's averages begin as the weights.
            held.insert(format!("average{at}"), values(initial));
        }
        for (step, number) in case.steps.iter().zip(1..) {
            let correction = case.rule().correction(number);
            let numbers = StepNumbers { learning_rate: step.rate, correction, per_sample: 1.0, draw: 0 };
            held.insert("step".into(), numbers.to_floats().map(f64::from).into());
            for (gradient, at) in step.gradients.iter().zip(0..) {
                held.insert(format!("g{at}"), values(gradient));
            }
            let written = reference::run(&program, 1, &held).expect("it runs");
            held.extend(written);
            for (after, at) in step.after.iter().zip(0..) {
                assert_keras(&format!("{} {at} after step {number}", case.name), &held[&format!("w{at}")], after);
            }
        }
        let names = case.slot_names(shapes.len());
        // Keras keeps momenta of 0.
        let beyond = if case.rule().slots().is_empty() { shapes.len() } else { 0 };
        assert_eq!(case.slots.len(), names.len() + beyond, "{}", case.name);
        for (name, slot) in names.iter().zip(&case.slots) {
            assert_keras(&format!("{name} of {}", case.name), &held[name], slot);
        }
    }
}

#[derive(Deserialize)]
struct ConstraintCase {
    name: String,
    class: String,
    config: ConstraintConfig,
    of: String,
    implementation: Option<i64>,
    data_format: Option<String>,
    padding: Option<String>,
    input_shape: Option<Vec<usize>>,
    shape: Vec<usize>,
    before: Vec<Number>,
    after: Vec<Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstraintConfig {
    max_value: Option<f32>,
    min_value: Option<f32>,
    rate: Option<f32>,
    axis: Option<Axes>,
}

/// Where a variable's elements lie here.
enum Place {
    Local(Geometry, KerasLayout),
    Shared(Geometry, SharedLayout),
    Variable,
}

impl ConstraintCase {
    fn place(&self) -> Place {
        let shared =
            |geometry: locally_connected::Result<Geometry>, layout| Place::Shared(geometry.expect("a layer"), layout);
        match self.of.as_str() {
            "local" => {
                let shape = self.input_shape.as_ref().expect("it has one");
                let format: DataFormat = self.data_format.as_ref().expect("it has one").parse().expect("a format");
                let same = self.padding.as_deref() == Some("same");
                let config = Config::new(3, vec![2; shape.len() - 1]).data_format(format);
                let config = config.padding(if same { Padding::Same } else { Padding::Valid });
                let layout = KerasLayout::from_keras(self.implementation.expect("it has one")).expect("a layout");
                Place::Local(Geometry::new(&config, shape).expect("a layer"), layout)
            }
            "convolution" => {
                let [taps, _, channels, filters] = self.shape[..] else { panic!("{}", self.name) };
                let config = Config::new(filters, [taps, taps]);
                shared(Geometry::convolution(&config, &[taps, taps, channels]), SharedLayout::Convolution)
            }
            "depthwise" => {
                let [taps, _, channels, multiplier] = self.shape[..] else { panic!("{}", self.name) };
                let config = Config::new(channels * multiplier, [taps, taps]).groups(channels);
                shared(Geometry::convolution(&config, &[taps, taps, channels]), SharedLayout::Depthwise)
            }
            "dense" => {
                let [inputs, units] = self.shape[..] else { panic!("{}", self.name) };
                let linear = locally_connected::Activation::Linear;
                shared(Geometry::dense(units, &[inputs], false, linear), SharedLayout::Dense)
            }
            "variable" => Place::Variable,
            of => panic!("{of}"),
        }
    }

    fn run(&self) -> Vec<f64> {
        let place = self.place();
        let before: Vec<f32> = values(&self.before).into_iter().map(|value| value as f32).collect();
        let (shape, canonical) = match &place {
            Place::Local(layer, layout) => (Shape::of_weights(layer), layout.to_canonical(layer, &before)),
            Place::Shared(layer, layout) => (Shape::of_weights(layer), layout.to_canonical(layer, &before)),
            Place::Variable => (Shape::Fixed(before.len() as u64), Ok(before)),
        };
        let mut program = Program::default();
        let parameter = program.add("w", Usage::Parameter, shape.clone());
        let ConstraintConfig { max_value, min_value, rate, .. } = self.config;
        let number = |number: Option<f32>| number.expect("Keras says it");
        let limit = match self.class.as_str() {
            "MaxNorm" => Some(NormLimit::AtMost { max: number(max_value) }),
            "UnitNorm" => Some(NormLimit::Unit),
            "MinMaxNorm" => {
                Some(NormLimit::Between { min: number(min_value), max: number(max_value), rate: number(rate) })
            }
            _ => None,
        };
        match (limit, &self.config.axis) {
            (Some(limit), Some(axes)) => {
                let groups = match &place {
                    Place::Local(layer, layout) => Groups::of_local(layer, *layout, axes),
                    Place::Shared(layer, layout) => Groups::of_shared(layer, *layout, axes),
                    Place::Variable => Groups::of_variable(&self.shape, axes),
                };
                let groups = Arc::new(groups.expect("axes of the variable"));
                let norms = Shape::Fixed(groups.norms(shape.filters()));
                let squares = program.add("squares", Usage::Scratch, norms);
                let (own, of) = (groups.clone(), shape.clone());
                let sums = GroupSquares { groups: own, shape: of, parameter, output: squares };
                program.operations.push(Operation::GroupSquares(sums));
                program.operations.push(Operation::Constrain(Constrain { limit, groups, shape, squares, parameter }));
            }
            _ if self.class == "NonNeg" => {
                program.operations.push(Operation::NonNegative(NonNegative { shape, parameter }));
            }
            _ => {
                assert_eq!(self.class, "RadialConstraint");
                let Place::Shared(layer, _) = &place else { panic!("{}", self.name) };
                let [size, cells, channels, filters] =
                    [self.shape[0] as u32, layer.groups(), layer.group_channels(), layer.group_filters()]
                        .map(u64::from);
                let radial = Radial { size, cells, channels, filters, shape, parameter };
                program.operations.push(Operation::Radial(radial));
            }
        }
        let wide = canonical.expect("its layout").into_iter().map(f64::from).collect();
        let written = reference::run(&program, 1, &[("w".to_owned(), wide)].into()).expect("it runs");
        let after: Vec<f32> = written["w"].iter().map(|&value| value as f32).collect();
        let stored = match &place {
            Place::Local(layer, layout) => layout.from_canonical(layer, &after).expect("its layout"),
            Place::Shared(layer, layout) => layout.from_canonical(layer, &after).expect("its layout"),
            Place::Variable => after,
        };
        stored.into_iter().map(f64::from).collect()
    }
}

#[test]
fn constraints_are_keras_s() {
    let cases = fixture().constraints;
    assert!(cases.len() > 300, "{}", cases.len());
    for case in &cases {
        assert_keras(&case.name, &case.run(), &case.after);
    }
}

#[derive(Deserialize)]
struct PenaltyCase {
    class: String,
    config: PenaltyConfig,
    shape: Vec<u64>,
    values: Vec<Number>,
    penalty: Number,
    gradient: Vec<Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PenaltyConfig {
    #[serde(default)]
    l1: f32,
    #[serde(default)]
    l2: f32,
    #[serde(default)]
    factor: f32,
    mode: Option<String>,
}

#[test]
fn penalties_are_keras_s() {
    for case in fixture().penalties {
        let mut program = Program::default();
        let shape = Shape::Fixed(case.shape.iter().product());
        let input = program.add("w", Usage::Parameter, shape.clone());
        let grad = program.add("g", Usage::Gradient, shape.clone());
        let output = program.add("penalty", Usage::Output, Shape::Fixed(1));
        let PenaltyConfig { l1, l2, factor, mode } = case.config;
        if case.class == "OrthogonalRegularizer" {
            let mode = match mode.as_deref() {
                Some("rows") => OrthogonalMode::Rows,
                mode => {
                    assert_eq!(mode, Some("columns"));
                    OrthogonalMode::Columns
                }
            };
            // What a configuration says is what the operation takes.
            let regularizer = Regularizer::Orthogonal { factor, mode };
            let Regularizer::Orthogonal { factor, mode } = regularizer else { panic!("it is one") };
            let [rows, columns] = case.shape[..] else { panic!("it has two axes") };
            let of = shape.clone();
            let value = Orthogonal { factor, mode, rows, columns, shape: of, input, output, accumulate: false };
            program.operations.push(Operation::Orthogonal(value));
            let operation = OrthogonalGrad { factor, mode, rows, columns, shape, input, grad, accumulate: false };
            program.operations.push(Operation::OrthogonalGrad(operation));
        } else {
            for (of, factor, accumulate) in [(Term::Magnitude, l1, false), (Term::Square, l2, true)] {
                let shape = shape.clone();
                let total = Total { of, factor, shape, input, step: None, output, accumulate };
                program.operations.push(Operation::Total(total));
            }
            let penalty = PenaltyGrad { l1, l2, shape, of: input, step: None, output: grad, accumulate: false };
            program.operations.push(Operation::PenaltyGrad(penalty));
        }
        let given = [("w".to_owned(), values(&case.values))].into();
        let written = reference::run(&program, 1, &given).expect("it runs");
        let what = format!("{} of {:?}", case.class, case.shape);
        assert_keras(&what, &written["penalty"], &[case.penalty]);
        assert_keras(&what, &written["g"], &case.gradient);
    }
}

#[derive(Deserialize)]
struct ClipCase {
    name: String,
    kind: String,
    limit: f32,
    gradient: Vec<Number>,
    clipped: Vec<Number>,
}

/// A gradient is clipped as Keras clips it, NaN and infinities as well.
#[test]
fn clipping_is_keras_s() {
    for case in fixture().clipping {
        let mut program = Program::default();
        let shape = Shape::Fixed(case.gradient.len() as u64);
        let parameter = program.add("w", Usage::Parameter, shape.clone());
        let gradient = program.add("g", Usage::Input, shape.clone());
        let step = program.add("step", Usage::Input, Shape::Fixed(STEP_NUMBERS));
        let by_norm = case.kind != "clipvalue";
        let scale = by_norm.then(|| {
            let squares = program.add("squares", Usage::Scratch, Shape::Fixed(1));
            let scale = program.add("scale", Usage::Scratch, Shape::Fixed(1));
            let (of, factor, shape, input, step, output) = (Term::Square, 1.0, shape.clone(), gradient, None, squares);
            let total = Total { of, factor, shape, input, step, output, accumulate: false };
            let global = case.kind == "global_clipnorm";
            let clip = ClipScale { limit: case.limit, global, squares, output: scale };
            program.operations = vec![Operation::Total(total), Operation::ClipScale(clip)];
            scale
        });
        let change = Change {
            rule: Rule::Sgd { momentum: 0.0, nesterov: false },
            parameter,
            state: Vec::new(),
            step,
            clip_value: (!by_norm).then_some(case.limit),
            weight_decay: None,
            l1: 0.0,
            l2: 0.0,
        };
        program.operations.push(Operation::Update(Update { shape, gradient, scale, change }));
        // From 0 at a rate of −1 a step is the gradient.
        let numbers = StepNumbers { learning_rate: -1.0, ..StepNumbers::default() };
        let given = [
            ("w".to_owned(), vec![0.0; case.gradient.len()]),
            ("g".to_owned(), values(&case.gradient)),
            ("step".to_owned(), numbers.to_floats().map(f64::from).into()),
        ];
        let written = reference::run(&program, 1, &given.into()).expect("it runs");
        assert_keras(&format!("{} by {}", case.name, case.kind), &written["w"], &case.clipped);
    }
}

#[derive(Deserialize)]
struct AverageCase {
    momentum: f64,
    batch: u32,
    values: u64,
    bessel: bool,
    steps: Vec<Statistics>,
}

#[derive(Deserialize)]
struct Statistics {
    mean: Vec<Number>,
    variance: Vec<Number>,
    moving_mean: Vec<Number>,
    moving_variance: Vec<Number>,
}

#[test]
fn moving_statistics_are_keras_s() {
    for case in fixture().averages {
        let mut program = Program::default();
        let shape = Shape::Fixed(case.steps[0].mean.len() as u64);
        for (name, bessel) in [("mean", None), ("variance", case.bessel.then_some(case.values))] {
            let value = program.add(name, Usage::Input, shape.clone());
            let average = program.add(format!("moving_{name}"), Usage::Parameter, shape.clone());
            let (momentum, shape) = (case.momentum, shape.clone());
            let operation = MovingAverage { momentum, shape, value, average, bessel };
            program.operations.push(Operation::MovingAverage(operation));
        }
        let count = case.steps[0].mean.len();
        let first = [("moving_mean".to_owned(), vec![0.0; count]), ("moving_variance".to_owned(), vec![1.0; count])];
        let mut held: Values = first.into();
        for step in &case.steps {
            held.insert("mean".into(), values(&step.mean));
            held.insert("variance".into(), values(&step.variance));
            let written = reference::run(&program, case.batch, &held).expect("it runs");
            held.extend(written);
            assert_keras("moving_mean", &held["moving_mean"], &step.moving_mean);
            assert_keras("moving_variance", &held["moving_variance"], &step.moving_variance);
        }
    }
}

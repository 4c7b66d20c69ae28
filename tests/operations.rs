//! Operations beside a layer's: combinations, sums along axes and normalisations, by every executor, as the f64 reference has
//! them; and layers made of them as Keras has them (`operations/keras.rs`).

mod keras;

use crate::common::{Arrays, Planned, ProgramRun, activations, assert_near, on_every_executor, profile, random};
use locally_connected::ops::{
    Activate, ActivateGrad, BufferId, Combine, CombineGrad, How, LayerNorm, LayerNormGrad, NormFactor, Normalise,
    NormaliseGrad, Operation, Part, Shape, Sizes, Sum, Usage, Variance,
};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::reference;
use locally_connected::{Activation, DeviceProfile, Error};

/// Numbers below `count` from a seed.
struct Draws(u64);

impl Draws {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn of(&mut self, values: &[u64]) -> u64 {
        values[self.below(values.len() as u64) as usize]
    }
}

/// Samples of no elements are none: every operation by elements or rows says so, and no planner divides by them.
#[test]
fn operations_on_no_elements_are_refused() {
    let (elements, row, epsilon, activation) = (0, 1, 1.0, Activation::Tanh);
    let with = |operation: &dyn Fn([BufferId; 3], BufferId) -> Operation| {
        let mut one = One::new();
        let [input, grad_output] = ["input", "dy"].map(|name| one.samples(name, 0));
        let fixed = one.given("fixed", Shape::Fixed(1));
        let output = one.output(Shape::Samples(0));
        one.operation(operation([input, grad_output, fixed], output))
    };
    for program in [
        with(&|[input, ..], output| {
            Operation::LayerNorm(LayerNorm { elements, row, epsilon, input, gamma: None, beta: None, output })
        }),
        with(&|[input, grad_output, _], grad_input| {
            Operation::LayerNormGrad(LayerNormGrad {
                elements,
                row,
                epsilon,
                input,
                gamma: None,
                grad_output,
                grad_input,
            })
        }),
        with(&|[input, _, fixed], output| {
            let (mean, factor, beta) = (fixed, fixed, None);
            let activation = Activation::Linear;
            Operation::Normalise(Normalise {
                elements,
                channels: 1,
                inner: 1,
                input,
                mean,
                factor,
                beta,
                activation,
                output,
            })
        }),
        with(&|[input, ..], output| Operation::Activate(Activate { activation, elements, row, input, output })),
        with(&|[saved, grad_output, _], grad_input| {
            Operation::ActivateGrad(ActivateGrad { activation, elements, row, saved, grad_output, grad_input })
        }),
    ] {
        let operation = program.operations[0].name();
        let refused = |found| matches!(found, Err(Error::Program { why: "a sample has no elements", .. }));
        assert!(refused(program.check()), "{operation}");
        let profile = profile();
        let planner = Planner::new(&profile);
        assert!(refused(planner.plan(&program.operations[0], 2).map(drop)), "{operation}");
        assert!(refused(planner.program(&program, 2).map(drop)), "{operation}");
    }
}

fn elements(sizes: Sizes) -> u64 {
    sizes.iter().product()
}

/// A program of one operation, whose operands are inputs and whose result is an output.
struct One(Program);

impl One {
    fn new() -> Self {
        Self(Program::default())
    }

    fn given(&mut self, name: &str, shape: Shape) -> BufferId {
        // What no sample has is a parameter.
        let usage = if matches!(shape, Shape::Samples(_)) { Usage::Input } else { Usage::Parameter };
        self.0.add(name, usage, shape)
    }

    fn samples(&mut self, name: &str, elements: u64) -> BufferId {
        self.given(name, Shape::Samples(elements))
    }

    fn some_fixed(&mut self, name: &str, elements: u64, there: bool) -> Option<BufferId> {
        there.then(|| self.given(name, Shape::Fixed(elements)))
    }

    fn output(&mut self, shape: Shape) -> BufferId {
        self.0.add("output", Usage::Output, shape)
    }

    fn operation(mut self, operation: Operation) -> Program {
        self.0.operations.push(operation);
        self.0
    }
}

fn part(one: &mut One, name: &str, sizes: Sizes, draws: &mut Draws) -> Part {
    let sizes = sizes.map(|size| if draws.below(3) == 0 { 1 } else { size });
    let batched = draws.below(3) > 0;
    let shape = if batched { Shape::Samples(elements(sizes)) } else { Shape::Fixed(elements(sizes)) };
    Part { buffer: one.given(name, shape), sizes, batched }
}

fn combine(how: How, sizes: Sizes, draws: &mut Draws) -> Program {
    let mut one = One::new();
    let (a, b) = (part(&mut one, "a", sizes, draws), part(&mut one, "b", sizes, draws));
    let batched = a.batched || b.batched;
    let shape = if batched { Shape::Samples(elements(sizes)) } else { Shape::Fixed(elements(sizes)) };
    let output = one.output(shape);
    let divisor = [1.0, 3.0, -1.0][draws.below(3) as usize];
    one.operation(Operation::Combine(Combine { how, sizes, a, b, divisor, output }))
}

fn combine_grad(how: How, of_second: bool, sizes: Sizes, draws: &mut Draws) -> Program {
    let mut one = One::new();
    let (a, b) = (part(&mut one, "a", sizes, draws), part(&mut one, "b", sizes, draws));
    let grad_output = one.samples("dy", elements(sizes));
    let grad = one.output(Shape::Samples(elements(sizes)));
    one.operation(Operation::CombineGrad(CombineGrad { how, of_second, sizes, a, b, grad_output, grad }))
}

fn sum(sizes: Sizes, draws: &mut Draws) -> Program {
    let mut one = One::new();
    let along = [draws.flag(), draws.flag(), draws.flag(), draws.flag()];
    let over_batch = draws.flag();
    let input = one.samples("input", elements(sizes));
    let left = (0..4).filter(|&axis| !along[axis]).map(|axis| sizes[axis]).product();
    let output = one.output(if over_batch { Shape::Fixed(left) } else { Shape::Samples(left) });
    let (divisor, by_batch) = ([1.0, 7.0, -1.0][draws.below(3) as usize], over_batch && draws.flag());
    one.operation(Operation::Sum(Sum { sizes, along, over_batch, divisor, by_batch, input, output, accumulate: false }))
}

fn variance(sizes: Sizes, draws: &mut Draws) -> Program {
    let mut one = One::new();
    let along = [draws.flag(), draws.flag(), draws.flag(), draws.flag()];
    let input = one.samples("input", elements(sizes));
    let left = (0..4).filter(|&axis| !along[axis]).map(|axis| sizes[axis]).product();
    let mean = one.given("mean", Shape::Fixed(left));
    let output = one.output(Shape::Fixed(left));
    one.operation(Operation::Variance(Variance { sizes, along, input, mean, output }))
}

fn normalise_grad(outer: u64, channels: u64, inner: u64) -> Program {
    let mut one = One::new();
    let elements = outer * channels * inner;
    let [normalised, grad_output] = ["normalised", "dy"].map(|name| one.samples(name, elements));
    let [mean, slope, factor] = ["mean", "slope", "factor"].map(|name| one.given(name, Shape::Fixed(channels)));
    let grad_input = one.output(Shape::Samples(elements));
    one.operation(Operation::NormaliseGrad(NormaliseGrad {
        elements,
        channels,
        inner,
        normalised,
        grad_output,
        mean,
        slope,
        factor,
        grad_input,
    }))
}

fn norm_factor(channels: u64, draws: &mut Draws) -> Program {
    let mut one = One::new();
    let variance = one.given("variance", Shape::Fixed(channels));
    let gamma = one.some_fixed("gamma", channels, draws.flag());
    let factor = one.output(Shape::Fixed(channels));
    one.operation(Operation::NormFactor(NormFactor { channels, epsilon: 1.5, variance, gamma, factor }))
}

fn normalise([outer, channels, inner]: [u64; 3], activation: Activation, draws: &mut Draws) -> Program {
    let mut one = One::new();
    let elements = outer * channels * inner;
    let input = one.samples("input", elements);
    let [mean, factor] = ["mean", "factor"].map(|name| one.given(name, Shape::Fixed(channels)));
    let beta = one.some_fixed("beta", channels, draws.flag());
    let output = one.output(Shape::Samples(elements));
    one.operation(Operation::Normalise(Normalise {
        elements,
        channels,
        inner,
        input,
        mean,
        factor,
        beta,
        activation,
        output,
    }))
}

fn layer_norm(rows: u64, row: u64, draws: &mut Draws) -> Program {
    let mut one = One::new();
    let (elements, epsilon) = (rows * row, 0.01);
    let input = one.samples("input", elements);
    let gamma = one.some_fixed("gamma", row, draws.flag());
    let beta = one.some_fixed("beta", row, draws.flag());
    let output = one.output(Shape::Samples(elements));
    one.operation(Operation::LayerNorm(LayerNorm { elements, row, epsilon, input, gamma, beta, output }))
}

fn layer_norm_grad(rows: u64, row: u64, draws: &mut Draws) -> Program {
    let mut one = One::new();
    let (elements, epsilon) = (rows * row, 0.01);
    let [input, grad_output] = ["input", "dy"].map(|name| one.samples(name, elements));
    let gamma = one.some_fixed("gamma", row, draws.flag());
    let grad_input = one.output(Shape::Samples(elements));
    one.operation(Operation::LayerNormGrad(LayerNormGrad {
        elements,
        row,
        epsilon,
        input,
        gamma,
        grad_output,
        grad_input,
    }))
}

/// Programs of one operation each, of every kind and at random sizes.
pub(crate) fn programs(seed: u64) -> Vec<Program> {
    let draws = &mut Draws(seed);
    let sizes = |draws: &mut Draws| -> Sizes {
        [draws.of(&[1, 1, 3]), draws.of(&[1, 2, 5]), draws.of(&[1, 4, 7]), draws.of(&[1, 6, 70])]
    };
    let mut all: Vec<Program> = Vec::new();
    for how in How::ALL {
        let sizes = sizes(draws);
        all.push(combine(how, sizes, draws));
    }
    for how in [How::Maximum, How::Minimum, How::PRelu] {
        for of_second in [false, true] {
            let sizes = sizes(draws);
            all.push(combine_grad(how, of_second, sizes, draws));
        }
    }
    for _ in 0..4 {
        let sizes = sizes(draws);
        all.push(sum(sizes, draws));
        all.push(variance(sizes, draws));
    }
    let channels = draws.of(&[1, 5, 70]);
    all.push(norm_factor(channels, draws));
    for activation in activations().into_iter().filter(|activation| !activation.over_rows()) {
        let sizes = [draws.of(&[1, 3]), draws.of(&[1, 5, 70]), draws.of(&[1, 1, 9])];
        all.push(normalise(sizes, activation, draws));
    }
    let (outer, channels, inner) = (draws.of(&[1, 3]), draws.of(&[1, 5, 70]), draws.of(&[1, 1, 9]));
    all.push(normalise_grad(outer, channels, inner));
    let (rows, row) = (draws.of(&[1, 3, 6]), draws.of(&[1, 2, 7, 150]));
    all.push(layer_norm(rows, row, draws));
    all.push(layer_norm_grad(rows, row, draws));
    all
}

/// What is given to a program, at random; some of it twice the same, so that maxima have ties.
fn given(program: &Program, batch: u32) -> Arrays {
    let needed = program.buffers.iter().zip(program.given()).zip(3..).filter(|((_, given), _)| *given);
    needed
        .map(|((buffer, _), seed)| {
            let mut values = random(seed, buffer.shape.elements(batch));
            values.iter_mut().step_by(3).for_each(|value| *value = (*value * 2.0).round() / 2.0);
            (buffer.name.clone(), values)
        })
        .collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

#[test]
fn operations_equal_the_reference() {
    for seed in 0..12 {
        for program in programs(seed) {
            for batch in [1, 3, 0] {
                let mut results = on_every_executor(&program, batch, &given(&program, batch)).into_iter();
                let (_, expected) = results.next().expect("the reference");
                // Of no samples only what is summed over them has elements.
                for (executor, found) in results.filter(|_| !expected["output"].is_empty()) {
                    let what = format!("{:?} of {batch} by {executor}", program.operations);
                    assert_near(what, &found["output"], &wide(&expected["output"]), 3e-6);
                }
            }
        }
    }
}

/// With bindings so short that batches are cut, and with loops so short that sums are.
#[test]
fn operations_are_cut_where_a_device_s_limits_are() {
    let narrow = DeviceProfile { max_binding: 6000, storage_alignment: 256, max_iterations: 3150, ..profile() };
    let mut cut = 0;
    let long = [[2, 3, 2, 60], [1, 1, 100, 10]].map(|sizes| {
        let mut one = One::new();
        let input = one.samples("input", elements(sizes));
        let output = one.output(Shape::Fixed(sizes[0] * sizes[1]));
        let along = [false, false, true, true];
        one.operation(Operation::Sum(Sum {
            sizes,
            along,
            over_batch: true,
            divisor: 1.0,
            by_batch: false,
            input,
            output,
            accumulate: false,
        }))
    });
    for program in programs(5).into_iter().chain(programs(6)).chain(long) {
        let batch = 37;
        let planner = Planner::new(&narrow);
        let planned = match Planned::new(program.clone(), batch, &planner) {
            Ok(planned) => planned,
            Err(Error::Limit { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        planned.assert_keeps_limits(&narrow);
        cut += usize::from(planned.plan.dispatches().count() > 1);
        let given = given(&program, batch);
        let expected = reference::run(&program, batch, &given.iter().map(|(n, v)| (n.clone(), wide(v))).collect());
        let found = ProgramRun::new(&program, batch, &given, &narrow).expect("it runs").run();
        let what = format!("{:?}", program.operations);
        assert_near(what, &found["output"], &expected.expect("it runs")["output"], 1e-5);
    }
    assert!(cut > 10, "{cut} were cut");
}

#[test]
fn operations_that_are_none_are_refused() {
    let sizes = [1, 1, 2, 3];
    let why = |change: &dyn Fn(&mut Combine)| {
        let mut program = combine(How::Add, sizes, &mut Draws(1));
        let Operation::Combine(o) = &mut program.operations[0] else { panic!("it is one") };
        change(o);
        program.check().expect_err("it is wrong").to_string()
    };
    assert!(why(&|o| o.divisor = 0.0).contains("it divides by 0"));
    assert!(why(&|o| o.sizes = [1, 1, 2, 0]).contains("an axis is empty"));
    assert!(why(&|o| o.sizes = [1, 1, 5, 3]).contains("neither as long as the result nor 1"));
    let mut program = combine_grad(How::Maximum, true, sizes, &mut Draws(1));
    let Operation::CombineGrad(o) = &mut program.operations[0] else { panic!("it is one") };
    o.how = How::Add;
    assert!(program.check().expect_err("wrong").to_string().contains("combinations themselves"));
    let mut program = layer_norm(2, 3, &mut Draws(1));
    let Operation::LayerNorm(o) = &mut program.operations[0] else { panic!("it is one") };
    o.row = 4;
    assert!(program.check().expect_err("wrong").to_string().contains("isn't made of its rows"));
}

//! Updates where gradients of weights are computed: the same bits as a gradient that is kept and then an update by it, on every executor.

mod trainings;

use crate::common::{Arrays, ProgramRun, STRATEGIES, implementations, profile, random, runs};
use crate::properties::{batch, cases, layers};
use crate::updates::rules;
use locally_connected::ops::{
    BufferId, Change, LocalGradInput, LocalGradWeights, LocalUpdate, Operation, PenaltyGrad, Rule, STEP_NUMBERS, Shape,
    StepNumbers, Update, Usage,
};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::{
    Activation, Bias, Config, DataFormat, DeviceProfile, Geometry, Implementation, Padding, Pattern, WeightType,
    reference,
};
use proptest::prelude::*;
use std::sync::Arc;

/// What stands between a gradient and a weight.
#[derive(Debug, Clone, Copy)]
struct How {
    rule: Rule,
    clip_value: Option<f32>,
    weight_decay: Option<f64>,
    penalty: [f32; 2],
}

/// Every optimizer, with every option in turn.
fn hows() -> Vec<How> {
    let penalties = [[0.0; 2], [0.2, 0.0], [0.1, 0.3]];
    let options = (0..12usize).map(|at| ([None, Some(0.05)][at % 2], [None, Some(0.1)][at / 2 % 2], penalties[at % 3]));
    let of = |rule| {
        let how = move |(clip_value, weight_decay, penalty)| How { rule, clip_value, weight_decay, penalty };
        options.clone().map(how)
    };
    rules().into_iter().flat_map(of).collect()
}

/// A layer's operands in a program that is being made.
struct Making {
    program: Program,
    layer: Arc<Geometry>,
    input: BufferId,
    grad_output: BufferId,
    change: Change,
}

const WEIGHTS: &str = "weights";
const STEP: &str = "step";

impl Making {
    fn new(layer: &Arc<Geometry>, how: How) -> Self {
        let mut program = Program::default();
        let shape = Shape::of_weights(layer);
        let input = program.add("input", Usage::Input, Shape::Samples(layer.inputs()));
        let grad_output = program.add("grad_output", Usage::Input, Shape::Samples(layer.outputs()));
        let parameter = program.add(WEIGHTS, Usage::Parameter, shape.clone());
        let step = program.add(STEP, Usage::Input, Shape::Fixed(STEP_NUMBERS));
        let slots = how.rule.slots().iter();
        let state = slots.map(|slot| program.add(*slot, Usage::State, shape.clone())).collect();
        let How { rule, clip_value, weight_decay, penalty: [l1, l2] } = how;
        let change = Change { rule, parameter, state, step, clip_value, weight_decay, l1, l2 };
        Self { program, layer: layer.clone(), input, grad_output, change }
    }

    /// In one operation.
    fn fused(mut self, implementation: Option<Implementation>) -> Program {
        let Self { layer, input, grad_output, change, .. } = self;
        let update = LocalUpdate { layer, implementation, input, grad_output, change };
        self.program.operations.push(Operation::LocalUpdate(update));
        self.program
    }

    /// In those that it stands for.
    fn apart(mut self, implementation: Option<Implementation>) -> Program {
        let (shape, layer) = (Shape::of_weights(&self.layer), self.layer);
        let grad_weights = self.program.add("gradient", Usage::Gradient, shape.clone());
        let (input, grad_output, accumulate) = (self.input, self.grad_output, false);
        let gradient = LocalGradWeights { layer, implementation, input, grad_output, grad_weights, accumulate };
        self.program.operations.push(Operation::LocalGradWeights(gradient));
        let Change { parameter: of, l1, l2, .. } = self.change;
        if (l1, l2) != (0.0, 0.0) {
            let (shape, output, accumulate) = (shape.clone(), grad_weights, true);
            let penalty = PenaltyGrad { l1, l2, shape, of, step: None, output, accumulate };
            self.program.operations.push(Operation::PenaltyGrad(penalty));
        }
        let change = Change { l1: 0.0, l2: 0.0, ..self.change };
        let update = Update { shape, gradient: grad_weights, scale: None, change };
        self.program.operations.push(Operation::Update(update));
        self.program
    }
}

fn programs(layer: &Arc<Geometry>, how: How, implementation: Option<Implementation>) -> [Program; 2] {
    [Making::new(layer, how).fused(implementation), Making::new(layer, how).apart(implementation)]
}

/// An update of a layer's weights by an optimizer that keeps so many states; none of weights that locations share.
pub(crate) fn program(layer: &Geometry, states: usize) -> Option<Program> {
    let how = hows().into_iter().find(|how| how.rule.slots().len() == states).expect("there is one");
    let program = Making::new(&Arc::new(layer.clone()), how).fused(layer.config().implementation);
    program.check().is_ok().then_some(program)
}

/// Values of everything that a program of this file is given.
fn given(layer: &Geometry, how: How, batch: u32, seed: u64) -> Arrays {
    let samples = u64::from(batch);
    let mut all: Arrays = [
        ("input".to_owned(), random(seed, samples * layer.inputs())),
        ("grad_output".to_owned(), random(seed + 1, samples * layer.outputs())),
        (WEIGHTS.to_owned(), random(seed + 2, layer.weights())),
    ]
    .into();
    for (slot, seed) in how.rule.slots().iter().zip(seed + 3..) {
        let mut values = random(seed, layer.weights());
        if ["v", "vhat", "velocity"].contains(slot) {
            // Above the squares of what is averaged beside them.
            values.iter_mut().for_each(|value| *value = value.abs() + 1.0);
        }
        all.insert((*slot).to_owned(), values);
    }
    let numbers = StepNumbers { learning_rate: 0.1, correction: 0.3, per_sample: 1.0 / batch.max(1) as f32, draw: 5 };
    all.insert(STEP.to_owned(), numbers.to_floats().to_vec());
    all
}

/// The bits of weights and states.
fn bits(written: &Arrays) -> Vec<(&str, Vec<u32>)> {
    let kept = written.iter().filter(|(name, _)| *name != "gradient");
    kept.map(|(name, values)| (name.as_str(), values.iter().map(|value| value.to_bits()).collect())).collect()
}

/// Where two runs differ first.
#[track_caller]
fn assert_same_bits(what: &str, fused: &Arrays, apart: &Arrays) {
    let (fused, apart) = (bits(fused), bits(apart));
    assert_eq!(fused.len(), apart.len(), "{what}");
    for ((name, a), (_, b)) in fused.iter().zip(&apart) {
        let differs = a.iter().zip(b).position(|(a, b)| a != b);
        let values = differs.map(|at| (at, f32::from_bits(a[at]), f32::from_bits(b[at])));
        assert!(a.len() == b.len() && differs.is_none(), "{what}: {name} differs at {values:?} of {}", a.len());
    }
}

fn by_reference(what: &str, [fused, apart]: [&Program; 2], batch: u32, given: &Arrays) {
    let wide = |values: &Vec<f32>| values.iter().map(|&value| value.into()).collect();
    let exact: reference::Values = given.iter().map(|(name, values)| (name.clone(), wide(values))).collect();
    let [fused, mut apart] = [fused, apart].map(|program| reference::run(program, batch, &exact).expect("it runs"));
    apart.remove("gradient");
    assert_eq!(fused, apart, "{what} by the reference");
}

#[cfg(feature = "cpu")]
fn by_cpus(what: &str, [fused, apart]: [&Program; 2], batch: u32, (given, number): (&Arrays, usize)) {
    // A third of them in turn: each comes to each rule and each option.
    let turn = (number + number / 3) % 3;
    for (name, executor) in crate::cpu::EXECUTORS.iter().skip(turn).step_by(3) {
        let run = |program| crate::cpu::run(executor, program, batch, given).expect("it runs");
        assert_same_bits(&format!("{what} by {name}"), &run(fused), &run(apart));
    }
}

#[cfg(not(feature = "cpu"))]
fn by_cpus(_: &str, _: [&Program; 2], _: u32, _: (&Arrays, usize)) {}

/// By the implementations and forms that a device with these limits has.
fn by_device(what: &str, (layer, how): (&Arc<Geometry>, How), (batch, given): (u32, &Arrays), device: &DeviceProfile) {
    let chosen = std::iter::once((None, device.clone()));
    let forced = runs(&implementations(layer, device), layer, device).into_iter();
    for (implementation, device) in chosen.chain(forced.map(|(by, device)| (Some(by), device))) {
        let run = |program: &Program| {
            let run = ProgramRun::new(program, batch, given, &device).expect("it is bound");
            let (first, memory) = (run.run(), run.bound.plan().memory);
            (first, memory)
        };
        let [fused, apart] = programs(layer, how, implementation);
        let what = format!("{what} by {implementation:?} and {:?}", device.strategy);
        let ((fused, with), (apart, without)) = (run(&fused), run(&apart));
        assert_same_bits(&what, &fused, &apart);
        assert_eq!((with.gradients, without.gradients), (0, 4 * layer.weights().max(1)), "{what}");
    }
}

fn geometry(config: &Config, input_shape: &[usize]) -> Arc<Geometry> {
    Arc::new(Geometry::new(config, input_shape).expect("a layer"))
}

/// Layers of every rank and format, of one filter and of many, of few long windows and of many short ones, with groups, gaps and
/// clipped taps, with a connectivity of their own, and dense ones.
fn geometries() -> Vec<Arc<Geometry>> {
    // A row without connections is among them.
    let pattern = Pattern::from_csr(9, vec![0, 3, 3, 8, 9], vec![0, 3, 8, 1, 2, 4, 5, 6, 7]).expect("a pattern");
    let connected = Geometry::from_pattern(pattern, 4, Bias::None, Activation::Linear);
    let dense = |filters, input: &[usize]| {
        Arc::new(Geometry::dense(filters, input, true, Activation::Linear).expect("a layer"))
    };
    vec![
        geometry(&Config::new(8, [3]), &[10, 4]),
        geometry(&Config::new(5, [2, 3]).padding(Padding::Same).strides([2, 1]), &[5, 6, 3]),
        geometry(&Config::new(4, [2, 2]).data_format(DataFormat::ChannelsFirst), &[3, 4, 5]),
        geometry(&Config::new(6, [2, 1, 2]).padding(Padding::Same), &[3, 2, 3, 2]),
        geometry(&Config::new(8, [3]).groups(2).dilation_rate([2]), &[9, 8]),
        geometry(&Config::new(1, [4]), &[40, 1]),
        geometry(&Config::new(1, [2, 3]).padding(Padding::Same), &[6, 9, 1]),
        geometry(&Config::new(24, [3]), &[4, 70]),
        geometry(&Config::new(3, [1]), &[150, 2]),
        dense(7, &[33]),
        dense(16, &[5, 12]),
        Arc::new(connected.expect("a layer")),
    ]
}

#[test]
fn every_optimizer_and_option_has_the_bits_of_an_update_apart() {
    for (layer, at) in geometries().into_iter().zip(0usize..) {
        for (how, number) in hows().into_iter().zip(at..) {
            let batch = [3, 1, 9, 0, 33][number % 5];
            let given = given(&layer, how, batch, number as u64);
            let what = format!("{how:?} of {batch} samples of {:?}, {:?}", layer.input_shape(), layer.config());
            let programs = programs(&layer, how, None);
            by_reference(&what, programs.each_ref(), batch, &given);
            by_cpus(&what, programs.each_ref(), batch, (&given, number));
            // All of one layer, and of each of the others some.
            if at == 0 || number % 7 == at % 7 {
                by_device(&what, (&layer, how), (batch, &given), &profile());
            }
        }
    }
}

/// With bindings so short that weights are cut between cells and between filters, and the batch as well.
#[test]
fn what_a_device_s_limits_cut_has_the_bits_of_an_update_apart() {
    let narrow = DeviceProfile { max_binding: 1024, storage_alignment: 256, ..profile() };
    let (mut chunks, mut pieces) = (0, 0);
    for (layer, at) in geometries().into_iter().zip(0usize..) {
        for (how, number) in hows().into_iter().zip(0usize..).filter(|(_, number)| number % 11 == at % 11) {
            let batch = 9;
            let [fused, _] = programs(&layer, how, None);
            let Ok(plan) = Planner::new(&narrow).program(&fused, batch) else { continue };
            chunks += usize::from(plan.cuts.iter().any(|cuts| cuts.len() > 1));
            pieces += usize::from(4 * u64::from(batch) * layer.inputs().max(layer.outputs()) > narrow.max_binding);
            let given = given(&layer, how, batch, number as u64);
            let what = format!("{how:?} of {batch} samples of {:?}, cut, {:?}", layer.input_shape(), layer.config());
            by_device(&what, (&layer, how), (batch, &given), &narrow);
        }
    }
    assert!(chunks > 20 && pieces > 20, "{chunks} had weights that were cut, {pieces} samples");
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn random_layers_have_the_bits_of_an_update_apart(
        (config, input_shape) in layers(), wanted in 0..20u64, number in any::<prop::sample::Index>(), seed in 0..1000u64,
    ) {
        let layer = geometry(&config.dtype(WeightType::F32), &input_shape);
        let (batch, hows) = (batch(&layer, wanted) as u32, hows());
        let how = hows[number.index(hows.len())];
        let given = given(&layer, how, batch, seed);
        let what = format!("{how:?} of {batch} samples of {input_shape:?}, {:?}", layer.config());
        let programs = programs(&layer, how, None);
        by_reference(&what, programs.each_ref(), batch, &given);
        by_cpus(&what, programs.each_ref(), batch, (&given, seed as usize));
        by_device(&what, (&layer, how), (batch, &given), &profile());
    }
}

/// An update whose gradients are summed in workgroup memory, by one thread for each sum and by several, with its batch.
pub(crate) fn tiled() -> [(Program, u32, DeviceProfile); 2] {
    let layer = geometry(&Config::new(8, [3]), &[11, 4]).with_implementation(Implementation::Loop);
    let program = program(&layer, 2).expect("nothing is shared");
    [1, 2].map(|at| (program.clone(), 40, DeviceProfile { strategy: STRATEGIES[at], ..profile() }))
}

#[test]
fn from_the_same_weights_come_the_same_bits() {
    let (how, layer) =
        (hows().into_iter().find(|how| how.rule.slots().len() == 2), geometry(&Config::new(8, [3]), &[11, 4]));
    let given = given(&layer, how.expect("there is one"), 40, 3);
    for (program, batch, device) in tiled() {
        let run = || ProgramRun::new(&program, batch, &given, &device).expect("it is bound").run();
        let first = run();
        (0..30).for_each(|number| assert_same_bits(&format!("run {number}"), &run(), &first));
    }
}

/// What executors rely on: weights are read no more once they are updated, and no locations share them.
#[test]
fn an_update_comes_last_and_is_of_weights_that_no_locations_share() {
    let how = hows()[0];
    let layer = geometry(&Config::new(2, [3]), &[6, 2]);
    let mut program = Making::new(&layer, how).fused(None);
    assert_eq!(program.check(), Ok(()));
    let find = |program: &Program, name: &str| program.find(name).expect("there");
    let (weights, grad_output) = (find(&program, WEIGHTS), find(&program, "grad_output"));
    let grad_input = program.add("grad_input", Usage::Output, Shape::Samples(layer.inputs()));
    let implementation = None;
    let back = LocalGradInput { layer: layer.clone(), implementation, weights, grad_output, grad_input };
    program.operations.push(Operation::LocalGradInput(back));
    let refused = program.check().expect_err("too late").to_string();
    assert!(refused.contains("it reads a parameter after its update"), "{refused}");
    program.operations.reverse();
    assert_eq!(program.check(), Ok(()));

    let convolution = Arc::new(Geometry::convolution(&Config::new(2, [3]), &[6, 2]).expect("a layer"));
    let refused = Making::new(&convolution, how).fused(None).check().expect_err("shared").to_string();
    assert!(refused.contains("locations share its weights"), "{refused}");
    let penalty = How { penalty: [f32::NAN, 0.0], ..how };
    let refused = Making::new(&layer, penalty).fused(None).check().expect_err("no number").to_string();
    assert!(refused.contains("penalty isn't finite"), "{refused}");
}

//! Whole steps, fused and with all gradients kept.

use crate::common::{GPU, Planned, ReferenceRunner, profile, random};
use locally_connected::headless::GpuRunner;
use locally_connected::model::{Convolution, Dense, Flatten, Graph, Layer, Merge, Sequential, names};
use locally_connected::ops::{Operation, Usage};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::train::{Ema, FanRule, Loss, Optimizer, Rule, Run, Runner, Training, initial_parameters};
use locally_connected::{Activation, Axes, Config, Constraint, OrthogonalMode, Padding, Regularizer, Result};
use pollster::block_on;
use std::collections::BTreeMap;
use std::sync::Arc;

const BATCH: usize = 9;

/// A chain with all kinds of weights, two of them with a penalty and one with a constraint.
fn graph() -> Graph {
    let tanh = |config: Config| config.activation(Activation::Tanh);
    let local = tanh(Config::local2d(3, 3))
        .kernel_regularizer(Regularizer::L1L2 { l1: 0.001, l2: 0.01 })
        .activity_regularizer(Regularizer::L2 { l2: 0.01 })
        .kernel_constraint(Constraint::MaxNorm { max_value: 0.8, axis: Axes::One(1) });
    let chain = Sequential::new([6, 5, 2])
        .add(Layer::new(Convolution(tanh(Config::new(4, [2, 2])))).named("conv"))
        .add(Layer::new(local).named("local"))
        .add(Layer::new(tanh(Config::local2d(4, 2).padding(Padding::Same))).named("other"))
        .add(Flatten::default())
        .add(Layer::new(Dense::new(5)).named("head").regularizer("kernel", Regularizer::L2 { l2: 0.1 }));
    chain.graph().expect("fits")
}

/// Every optimizer, with all that leaves its updates where gradients are, and all that doesn't.
fn optimizers() -> Vec<(Optimizer, bool)> {
    let ema = Ema { momentum: 0.8, overwrite_frequency: Some(2) };
    let of = |rule| {
        let mut optimizer = Optimizer::sgd();
        optimizer.rule = rule;
        optimizer
    };
    let amsgrad = Rule::Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: true };
    vec![
        (Optimizer::sgd(), true),
        (Optimizer::sgd().momentum(0.9).clipvalue(0.01), true),
        (of(Rule::Sgd { momentum: 0.9, nesterov: true }), true),
        (Optimizer::adam().weight_decay(0.01), true),
        (of(amsgrad).ema(ema), true),
        (Optimizer::adamw(), true),
        (Optimizer::rmsprop(), true),
        (of(Rule::RmsProp { rho: 0.9, momentum: 0.5, epsilon: 1e-7, centered: true }), true),
        (Optimizer::adam().clipnorm(0.1), false),
        (Optimizer::sgd().global_clipnorm(0.1), false),
    ]
}

fn training(graph: &Graph, optimizer: Optimizer) -> Training {
    Training::new(graph, optimizer, Loss::MeanSquaredError).expect("fits")
}

/// The parameters that a program updates where their gradients are.
fn updated(program: &Program) -> Vec<&str> {
    let at_once = program.operations.iter().filter(|operation| matches!(operation, Operation::LocalUpdate(_)));
    at_once.map(|operation| &*program.buffer(operation.writes()).expect("there").name).collect()
}

fn gradients(program: &Program) -> Vec<&str> {
    program.used_as(Usage::Gradient).map(|buffer| &*buffer.name).collect()
}

/// All that is held after three steps of a program, as bits, and the losses.
async fn steps<R: Runner>(mut runner: R, training: &Training, program: Program) -> Result<BTreeMap<String, Vec<u32>>> {
    let (store, program) = (training.store(), Arc::new(program));
    runner.hold(&store).await?;
    for (name, values) in initial_parameters(training.graph(), FanRule::PerPatch, 5)? {
        runner.write(&name, &values).await?;
    }
    let graph = training.graph();
    let x = random(1, BATCH as u64 * graph.inputs()[0].elements());
    let y = random(2, BATCH as u64 * graph.outputs()[0].elements());
    let mut all = BTreeMap::new();
    for step in 0..3 {
        let numbers = training.numbers(step, BATCH, step as u32).to_floats();
        let inputs: [(&str, &[f32]); 4] =
            [(names::INPUT, &x), (names::TARGET, &y), (names::SAMPLE_WEIGHT, &[1.0; BATCH]), (names::STEP, &numbers)];
        for (name, values) in runner.run(Run { program: &program, batch: BATCH as u32, inputs: &inputs }).await? {
            all.insert(format!("{name} of step {step}"), values);
        }
    }
    for buffer in &store.buffers {
        all.insert(buffer.name.clone(), runner.read(&buffer.name).await?);
    }
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    Ok(all.into_iter().map(|(name, values)| (name, bits(values))).collect())
}

#[test]
fn steps_have_the_bits_of_steps_that_keep_their_gradients() {
    for (optimizer, at_once) in optimizers() {
        let training = training(&graph(), optimizer);
        let what = format!("{:?}", training.optimizer());
        let (step, apart) = (training.step(), training.step_with_gradients());
        assert_eq!((step.check(), apart.check()), (Ok(()), Ok(())), "{what}");
        let expected = if at_once { &["head/kernel", "other/kernel", "local/kernel"][..] } else { &[] };
        assert_eq!((updated(&step), updated(&apart)), (expected.to_vec(), vec![]), "{what}");
        let run = |runner: &dyn Fn(Program) -> BTreeMap<String, Vec<u32>>| {
            let (fused, apart) = (runner(step.clone()), runner(apart.clone()));
            assert_eq!(fused.keys().collect::<Vec<_>>(), apart.keys().collect::<Vec<_>>(), "{what}");
            for (name, values) in &fused {
                assert!(*values == apart[name], "{what}: {name}");
            }
        };
        run(&|program| block_on(steps(ReferenceRunner::default(), &training, program)).expect("it runs"));
        #[cfg(feature = "cpu")]
        run(&|program| {
            let runner = locally_connected::cpu::Runner::default();
            block_on(steps(runner, &training, program)).expect("it runs")
        });
        run(&|program| block_on(steps(GpuRunner::new(&GPU), &training, program)).expect("it runs"));
    }
}

/// What is no longer there is not counted.
#[test]
fn a_step_takes_less_memory_without_gradients() {
    let training = training(&graph(), Optimizer::adam());
    let (step, apart) = (training.step(), training.step_with_gradients());
    let bytes = |name: &str| apart.buffer(apart.find(name).expect("a gradient")).expect("there").bytes(0);
    let gone: u64 = ["head/grad_kernel", "other/grad_kernel", "local/grad_kernel"].map(bytes).iter().sum();
    assert_eq!(
        gradients(&step),
        ["head/grad_bias", "other/grad_bias", "local/grad_bias", "conv/grad_kernel", "conv/grad_bias"]
    );
    assert_eq!(apart.bytes(9) - step.bytes(9), gone);
    let plan = |program: &Program| {
        let planned = Planned::new(program.clone(), 9, &Planner::new(&profile())).expect("it is planned");
        planned.assert_keeps_limits(&profile());
        planned.plan.written(program).expect("it is written");
        planned.plan.memory
    };
    let (fused, kept) = (plan(&step), plan(&apart));
    assert_eq!(kept.gradients - fused.gradients, gone);
    assert!(fused.total() < kept.total(), "{fused:?} and {kept:?}");
}

/// Weights whose gradients are needed whole keep them: those that calls share, and those that are to be orthogonal.
#[test]
fn what_needs_its_gradient_whole_keeps_it() {
    let mut graph = Graph::new();
    let input = graph.input([4, 3]).expect("a shape");
    let twice = graph.add(Layer::new(Config::new(3, [1])).named("twice"), &[input]).expect("a layer");
    let again = graph.call(twice, &[twice]).expect("the same shape");
    let sum = graph.add(Merge::Add, &[twice, again]).expect("a layer");
    let once = graph.add(Layer::new(Config::new(2, [2])).named("once"), &[sum]).expect("a layer");
    let flat = graph.add(Flatten::default(), &[once]).expect("a layer");
    let orthogonal = Regularizer::Orthogonal { factor: 0.1, mode: OrthogonalMode::Rows };
    let head = Layer::new(Dense::new(3)).named("head").regularizer("kernel", orthogonal);
    let head = graph.add(head, &[flat]).expect("a layer");
    graph.output(head);
    let training = training(&graph, Optimizer::adam());
    let step = training.step();
    assert_eq!(step.check(), Ok(()));
    assert_eq!(updated(&step), ["once/kernel"]);
    graph.set_trainable("once", false).expect("there");
    assert_eq!(updated(&self::training(&graph, Optimizer::adam()).step()), [""; 0]);
}

//! Programs that are none, and the derivatives that operations go by. Those of real models: keras/tests/programs.rs.

use crate::common::{FORWARD, GPU, ProgramRun, assert_near, implementations, profile, random};
use locally_connected::gpu::{Bindings, Weights};
use locally_connected::model::{Flatten, Layer, Model, Sequential, Wanted, layer_backward};
use locally_connected::ops::{Operation, Shape, Transpose, Usage};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::reference::{self, Values};
use locally_connected::{
    Activation, Bias, Config, DataFormat, DeviceProfile, Error, Geometry, Gradients, Padding, Pattern, PlanOptions,
    WeightType,
};
use std::sync::Arc;

/// A derivative by the output is the derivative at what gave it.
#[test]
fn outputs_determine_the_derivatives_that_they_are_saved_for() {
    let mut compared = 0;
    for activation in crate::common::activations() {
        if activation.over_rows() || activation.saved() != locally_connected::Saved::Output {
            continue;
        }
        for z in (-40..=40).map(|i| f64::from(i) * 0.25 + 0.01) {
            let by_output = reference::derivative_from_output(reference::activation(z, activation), activation);
            let expected = reference::derivative(z, activation);
            assert!((by_output - expected).abs() < 1e-9, "{activation:?} at {z}: {by_output}, not {expected}");
        }
        compared += 1;
    }
    assert!(compared >= 7, "{compared}");
    assert!(reference::derivative_from_output(1.0, Activation::Swish).is_nan());
}

#[test]
fn programs_that_are_none_are_refused() {
    let why = |program: &Program| match (program.check(), reference::run(program, 1, &Values::new())) {
        (Err(Error::Program { what, why }), Err(same)) => {
            assert_eq!(same, Error::Program { what: what.clone(), why });
            format!("{what}: {why}")
        }
        other => panic!("{other:?}"),
    };
    let transpose = |rows, columns, from: u64, to: u64| {
        let mut program = Program::default();
        let input = program.add("input", Usage::Input, Shape::Samples(from));
        let output = program.add("output", Usage::Output, Shape::Samples(to));
        program.operations.push(Operation::Transpose(Transpose { rows, columns, input, output }));
        (program, input, output)
    };
    assert_eq!(transpose(2, 3, 6, 6).0.check(), Ok(()));
    assert_eq!(why(&transpose(2, 3, 6, 5).0), "operation 0, buffer \"output\": it needs another shape");
    assert_eq!(why(&transpose(0, 6, 0, 0).0), "operation 0: it has no rows or no columns");
    assert_eq!(why(&transpose(u64::MAX, 2, 6, 6).0), "operation 0, buffer \"input\": it needs another shape");
    let (mut program, _, output) = transpose(2, 3, 6, 6);
    program.operations[0] = Operation::Transpose(Transpose { rows: 2, columns: 3, input: output, output });
    assert_eq!(why(&program), "operation 0: it reads what nothing wrote before it");
    let (mut program, input, _) = transpose(2, 3, 6, 6);
    program.operations[0] = Operation::Transpose(Transpose { rows: 2, columns: 3, input, output: input });
    assert_eq!(why(&program), "operation 0: it writes what is there already");
    let (mut program, ..) = transpose(2, 3, 6, 6);
    let elsewhere = program.clone().add("elsewhere", Usage::Scratch, Shape::Samples(6));
    program.operations[0] =
        Operation::Transpose(Transpose { rows: 2, columns: 3, input: elsewhere, output: elsewhere });
    assert_eq!(why(&program), "operation 0: it writes a buffer that isn't there");
    assert_eq!(program.scratch().pieces, []);
    let softmax = Sequential::new([6]).add(Activation::Softmax).graph().expect("a layer").forward();
    for wrong in [4, 0] {
        let mut program = softmax.clone();
        if let [Operation::Activate(o)] = &mut program.operations[..] {
            o.row = wrong;
        }
        assert_eq!(why(&program), "operation 0: a sample isn't made of its rows");
    }
    // Of two buffers of one name, one would have the other's values.
    let mut twice =
        Sequential::new([6]).add(Activation::Softmax).add(Activation::Softmax).graph().expect("it").forward();
    twice.buffers[1].name = "output".into();
    assert_eq!(why(&twice), "buffer \"output\": another has its name");
}

/// The pieces of a batch add to the gradients on the device, by every implementation.
#[test]
fn the_device_adds_to_gradients() {
    let narrow = DeviceProfile { max_binding: 6000, storage_alignment: 256, ..profile() };
    let config = || Config::new(8, [3, 3]).padding(Padding::Same);
    let window = |config: Config| Geometry::new(&config, &[6, 5, 4]).expect("a layer");
    // Rows 1 and 3 of 5 have no connections.
    let mask: Vec<bool> = (0..5 * 30).map(|i| i / 30 % 2 == 0 && i % 3 != 0).collect();
    let pattern = Pattern::from_mask(5, 30, &mask).expect("a pattern");
    let pattern = Geometry::from_pattern(pattern, 3, Bias::PerFilter, Activation::Linear).expect("a layer");
    for layer in [
        window(config().bias(Bias::PerLocation)),
        window(config().bias(Bias::PerFilter)),
        window(config().dtype(WeightType::F16)),
        pattern,
    ] {
        for (batch, profile) in [(5, &profile()), (23, &narrow), (0, &narrow)] {
            for implementation in implementations(&layer, profile) {
                adds(layer.with_implementation(implementation), batch, profile);
            }
        }
    }
}

/// A pass of `batch` samples, and then the same one added twice.
fn adds(geometry: Geometry, batch: u32, profile: &DeviceProfile) {
    let what = format!("{:?}, batch {batch}", geometry.config());
    let layer = Sequential::new(geometry.input_shape()).add(Arc::new(geometry.clone()));
    let program = layer.graph().expect("a layer").backward(Wanted::Parameters);
    let given: crate::common::Arrays = program
        .buffers
        .iter()
        .zip(0..)
        .map(|(buffer, seed)| (buffer.name.clone(), random(seed, buffer.shape.elements(batch))))
        .collect();
    let once = ProgramRun::new(&program, batch, &given, profile).expect("it runs").run();
    let adding = ProgramRun::new(&program.accumulating(), batch, &given, profile).expect("it runs");
    let memory = adding.bound.plan().memory;
    assert_eq!([adding.bound.bytes(), adding.shared], [memory.bound(), memory.parameters + memory.constants]);
    adding.run();
    adding.run();
    for (name, thrice) in adding.run().iter().filter(|(name, _)| name.contains("/grad_")) {
        let expected: Vec<f64> = once[name].iter().map(|&value| 3.0 * f64::from(value)).collect();
        assert_near(format!("{name} of {what}"), thrice, &expected, FORWARD);
    }
}

/// What can be done in one way only has its scratch first; the others take a way that needs less.
#[test]
fn a_budget_leaves_the_choice() {
    let config = Config::new(8, [3, 3]).bias(Bias::PerFilter).activation(Activation::Tanh);
    let layer = Arc::new(Geometry::new(&config, &[8, 8, 4]).expect("a layer"));
    let program = layer_backward(&layer, Gradients::ALL);
    let profile = DeviceProfile::webgpu_defaults();
    let planned = |memory_budget| {
        let options = PlanOptions { memory_budget, ..PlanOptions::default() };
        Planner::new(&profile).with_options(options).program(&program, 40)
    };
    let sums = 4 * layer.outputs();
    let least = 40 * sums + sums;
    // All that dense could take beside the values between operations; the sums over the samples come first.
    let matrix = 4 * layer.inputs() * layer.outputs();
    for budget in [least, least + matrix / 2, 40 * sums + matrix] {
        let memory = planned(Some(budget)).expect("loop needs no scratch").memory;
        assert!((least..=budget).contains(&memory.scratch), "{} of {budget}", memory.scratch);
    }
    assert!(matches!(planned(Some(least - 1)), Err(Error::OverBudget { needed, .. }) if needed == least));
}

/// Equal layers share what kernels look up, whoever made them; names that are the program's own can't be bound.
#[test]
fn layers_that_connect_alike_share_their_tables() {
    let layer = |name: &str| Layer::new(Config::new(4, [3]).padding(Padding::Same)).named(name);
    let graph = || Sequential::new([20, 4]).add(layer("a")).add(layer("b")).graph().expect("layers");
    let forward = graph().forward();
    let context = crate::common::context(&profile());
    let (x, y) = (GPU.empty(80), GPU.empty(80));
    pollster::block_on(async {
        let weights = Weights::new(&context, &forward).await.expect("memory");
        let parameters = weights.bytes();
        let bindings = Bindings::default().with("input", &x).with("output", &y);
        let bound = weights.bind(&forward, 1, &bindings).await.expect("bound");
        let constants = bound.plan().memory.constants;
        assert_eq!(weights.bytes() - parameters, constants);
        // Another graph of equal layers needs nothing more.
        weights.bind(&graph().forward(), 1, &bindings).await.expect("bound");
        assert_eq!(weights.bytes() - parameters, constants);
        for own in ["a/kernel", "a/output"] {
            let refused = weights.bind(&forward, 1, &bindings.clone().with(own, &x)).await.map(drop);
            assert!(matches!(refused, Err(Error::Program { .. })), "{own}: {refused:?}");
        }
        let unknown = weights.bind(&forward, 1, &bindings.clone().with("nobody", &x)).await.map(drop);
        assert_eq!(unknown, Err(Error::NoBuffer { name: "nobody".into() }));
        let wrong = weights.write("b/kernel", &[0.0; 3]).await.expect_err("too few");
        assert!(matches!(wrong.cause(), Error::Length { what: "kernel", found: 3, .. }) && wrong != *wrong.cause());
        let nothing = Model::default().upload(&context).await.map(drop);
        assert_eq!(nothing, Err(Error::Missing { what: "an input", why: "the graph has none" }));
    });
}

/// What the executors rely on of buffers and of what is added to.
#[test]
fn buffers_that_fit_no_use_are_refused() {
    let why = |usage, shape| {
        let mut program = Program::default();
        program.add("it", usage, shape);
        program.check().expect_err("it is wrong").to_string()
    };
    let weights = || Shape::Weights { cells: 1, window: 2, filters: 3 };
    let connections = |starts: &[u32]| Shape::Connections { starts: starts.into(), filters: 1 };
    for (usage, shape) in [
        (Usage::Input, weights()),
        (Usage::Scratch, weights()),
        (Usage::Parameter, Shape::Samples(3)),
        (Usage::Parameter, Shape::Fixed(u64::MAX)),
        (Usage::Input, Shape::Samples(1 << 33)),
        (Usage::Gradient, connections(&[])),
        (Usage::Gradient, connections(&[3, 5])),
        (Usage::Gradient, connections(&[0, 5, 4])),
    ] {
        let message = why(usage, shape.clone());
        assert!(message.starts_with("buffer \"it\" of the program: "), "{shape:?}: {message}");
    }
    let geometry = Geometry::new(&Config::new(2, [3]), &[5, 1]).expect("a layer");
    let mut program = layer_backward(&Arc::new(geometry), Gradients { input: false, weights: false, bias: true });
    let gradient = program.find("grad_bias").expect("it");
    program.buffers[gradient.index()].usage = Usage::Scratch;
    assert_eq!(program.clone().accumulating(), program);
    for operation in &mut program.operations {
        if let Operation::GradBias(o) = operation {
            o.accumulate = true;
        }
    }
    assert!(program.check().expect_err("no gradient").to_string().contains("adds to what is no gradient"));
}

/// Rows and columns of transposes for which every kernel of theirs is planned.
pub(crate) const TRANSPOSES: [(u64, u64); 4] = [(20, 30), (33, 15), (1, 70), (70, 1)];

/// The values of the reference, bit by bit: a transpose computes nothing.
#[test]
fn transposes_move_every_value_to_its_place() {
    for (rows, columns) in TRANSPOSES {
        let flatten = Flatten { data_format: DataFormat::ChannelsFirst };
        let graph = Sequential::new([rows as usize, columns as usize]).add(flatten).graph();
        let program = graph.expect("a layer").forward();
        let x = random(3, 5 * rows * columns);
        let given = [("input".to_owned(), x.clone())].into();
        let found = ProgramRun::new(&program, 5, &given, &profile()).expect("it fits").run();
        let wide: Vec<f64> = x.iter().map(|&x| x.into()).collect();
        let expected = reference::transpose(&wide, rows as usize, columns as usize);
        assert_near(format_args!("{rows} rows of {columns}"), &found["output"], &expected, 0.0);
    }
}

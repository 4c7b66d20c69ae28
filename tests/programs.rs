//! Programs that are none, and the derivatives that operations go by. Those of real models: keras/tests/programs.rs.

use crate::common::{FORWARD, ProgramRun, assert_near, profile, random};
use locally_connected::model::{Chain, Kind, Layer, Wanted};
use locally_connected::ops::{Operation, Shape, Transpose, Usage};
use locally_connected::program::Program;
use locally_connected::reference::{self, Values};
use locally_connected::{Activation, Bias, Config, Error, Geometry, Implementation, Padding};
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
    assert_eq!(why(&transpose(2, 3, 6, 5).0), "operation 0: an operand has another shape");
    assert_eq!(why(&transpose(0, 6, 0, 0).0), "operation 0: it has no rows or no columns");
    assert_eq!(why(&transpose(u64::MAX, 2, 6, 6).0), "operation 0: an operand has another shape");
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
    // Of two layers of one name, one would have the other's values.
    let softmax = |row| Kind::Activation { activation: Activation::Softmax, row };
    let layer = |name: &str, row| Layer { name: name.into(), kind: softmax(row) };
    let chain = |layers| Chain { inputs: 6, layers };
    assert_eq!(why(&chain(vec![layer("a", 4)]).forward()), "operation 0: a sample isn't made of its rows");
    assert_eq!(why(&chain(vec![layer("a", 0)]).forward()), "operation 0: a sample isn't made of its rows");
    let twice = chain(vec![layer("a", 6), layer("a", 6), layer("b", 6)]);
    assert_eq!(why(&twice.forward()), "buffer \"a/output\": another has its name");
}

/// The pieces of a batch add to the gradients on the device, by every implementation.
#[test]
fn the_device_adds_to_gradients() {
    let (batch, profile) = (5, profile());
    for (bias, implementation) in
        [Bias::PerLocation, Bias::PerFilter].into_iter().flat_map(|bias| Implementation::ALL.map(|by| (bias, by)))
    {
        let config = Config::new(8, [3, 3]).bias(bias).padding(Padding::Same).implementation(implementation);
        let geometry = Geometry::new(&config, &[6, 5, 4]).expect("a layer");
        let kind = Kind::Local { geometry: Arc::new(geometry), trainable: true };
        let chain = Chain { inputs: 6 * 5 * 4, layers: vec![Layer { name: "local".into(), kind }] };
        let program = chain.backward(Wanted::Parameters);
        let given: crate::common::Values = program
            .buffers
            .iter()
            .zip(0..)
            .map(|(buffer, seed)| (buffer.name.clone(), random(seed, buffer.shape.elements(batch))))
            .collect();
        let once = ProgramRun::new(&program, batch, &given, &profile).expect("it runs").run();
        let adding = ProgramRun::new(&program.accumulating(), batch, &given, &profile).expect("it runs");
        let memory = adding.bound.plan().memory;
        assert_eq!([adding.bound.bytes(), adding.shared], [memory.bound(), memory.parameters + memory.constants]);
        adding.run();
        adding.run();
        for (name, thrice) in adding.run().iter().filter(|(name, _)| name.contains("/grad_")) {
            let expected: Vec<f64> = once[name].iter().map(|&value| 3.0 * f64::from(value)).collect();
            assert_near(format!("{name} by {implementation:?}, {bias:?}"), thrice, &expected, FORWARD);
        }
    }
}

//! What changes parameters: steps of optimizers, penalties, clipping, constraints and averages, by every executor as the f64 reference
//! has them; the reference as Keras has them (`updates/keras.rs`).

mod keras;
mod programs;

use crate::common::{Arrays, Planned, ProgramRun, assert_near, context, on_every_executor, profile, random};
use locally_connected::geometry::Groups;
use locally_connected::gpu::Weights;
use locally_connected::ops::{BufferId, MovingAverage, NonNegative, Operation, PenaltyGrad, Shape, Term, Total, Usage};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::{DeviceProfile, Error, WeightType, reference};
use programs::{given, shapes};
pub(crate) use programs::{programs, rules};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// What is computed in f32 by formulas with roots and quotients.
const NEAR: f64 = 3e-6;

#[test]
fn updates_equal_the_reference() {
    for seed in 0..6 {
        for program in programs(seed) {
            let given = given(&program, 3, seed);
            let mut results = on_every_executor(&program, 3, &given).into_iter();
            let (_, expected) = results.next().expect("the reference");
            assert!(!expected.is_empty(), "nothing was written");
            for (executor, found) in results {
                let what = format!("{:?} by {executor}", program.operations);
                assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
                for (name, expected) in &expected {
                    assert_near(format!("{name} of {what}"), &found[name], &wide(expected), NEAR);
                }
            }
        }
    }
}

/// The bits of all CPU executors are the same, however many threads, with several parts of sums.
#[cfg(feature = "cpu")]
#[test]
fn bits_are_the_same_on_any_number_of_threads() {
    use crate::cpu::{EXECUTORS, run};
    let shape = || Shape::Weights { cells: 90, window: 50, filters: 11 };
    for seed in 0..4 {
        for program in programs::of_shape(&shape(), seed) {
            let given = given(&program, 2, 9);
            let mut runs = EXECUTORS.iter().map(|(name, executor)| {
                let found = run(executor, &program, 2, &given).expect("it runs");
                let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                (name, found.into_iter().map(|(name, values)| (name, bits(values))).collect::<Vec<_>>())
            });
            let (first, expected) = runs.next().expect("an executor");
            for (name, found) in runs {
                assert!(found == expected, "{:?} by {first} and {name}", program.operations);
            }
        }
    }
}

/// With bindings so short that weights are cut between cells and between filters, and loops so short that sums are.
#[test]
fn updates_are_cut_where_a_device_s_limits_are() {
    let narrow = DeviceProfile { max_binding: 1024, storage_alignment: 256, max_iterations: 5000, ..profile() };
    let mut cut = 0;
    let long = Shape::Weights { cells: 7, window: 9, filters: 20 };
    let wide_rows = Shape::Weights { cells: 2, window: 40, filters: 13 };
    let all = shapes(3).into_iter().chain([long, wide_rows]);
    for (shape, seed) in all.zip(0..) {
        for program in programs::of_shape(&shape, seed) {
            let planner = Planner::new(&narrow);
            let planned = match Planned::new(program.clone(), 3, &planner) {
                Ok(planned) => planned,
                // A matrix that is to be orthogonal is bound in one piece, and so are biases and norms.
                Err(Error::Limit { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            planned.assert_keeps_limits(&narrow);
            planned.plan.written(&program).expect("it is written");
            cut += usize::from(planned.plan.cuts.iter().any(|chunks| chunks.len() > 1));
            let given = given(&program, 3, 1);
            let exact = given.iter().map(|(name, values)| (name.clone(), wide(values))).collect();
            let expected = reference::run(&program, 3, &exact).expect("it runs");
            let run = ProgramRun::new(&program, 3, &given, &narrow).expect("it runs");
            let memory = run.bound.plan().memory;
            assert_eq!(run.shared, memory.parameters + memory.state + memory.constants);
            for (name, found) in run.run() {
                assert_near(format!("{name} of {:?}", program.operations), &found, &expected[&name], NEAR);
            }
        }
    }
    assert!(cut > 30, "{cut} were cut");
}

/// The second run goes on from what the first one left.
#[test]
fn states_last_from_run_to_run() {
    let program = programs::adam(&Shape::Fixed(70));
    let given = given(&program, 1, 4);
    let mut values: reference::Values = given.iter().map(|(name, values)| (name.clone(), wide(values))).collect();
    for _ in 0..3 {
        values.extend(reference::run(&program, 1, &values).expect("it runs"));
    }
    let run = ProgramRun::new(&program, 1, &given, &profile()).expect("it runs");
    run.run();
    run.run();
    for (name, found) in run.run() {
        assert_near(&name, &found, &values[&name], NEAR);
    }
    #[cfg(feature = "cpu")]
    {
        use locally_connected::cpu::{Executor, Weights};
        let mut weights = Weights::new();
        for buffer in program.used_as(Usage::Parameter) {
            weights.set(&program, &buffer.name, &given[&buffer.name]).expect("a parameter");
        }
        let mut bound = Executor::default().bind(&program, 1).expect("it binds");
        let inputs: Vec<(&str, &[f32])> = given.iter().map(|(name, values)| (name.as_str(), &values[..])).collect();
        let mut gradient = vec![0.0; 70];
        let mut outputs = [("gradient", &mut gradient[..])];
        let refused = bound.run(&weights, &inputs, &mut outputs).expect_err("it isn't the run's to change");
        assert!(refused.to_string().contains("&mut"), "{refused}");
        for (name, at) in program.used_as(Usage::State).map(|buffer| &buffer.name).zip(0..) {
            // One is made by the run, the other is given.
            if at > 0 {
                weights.set(&program, name, &given[name]).expect("a state");
            } else {
                weights.set(&program, name, given[name].clone()).expect("a state");
            }
        }
        for _ in 0..3 {
            bound.run(&mut weights, &inputs, &mut outputs).expect("it runs");
        }
        for buffer in program.used_as(Usage::Parameter).chain(program.used_as(Usage::State)) {
            let found = weights.get(&buffer.name).expect("it is there");
            assert_near(&buffer.name, &found, &values[&buffer.name], NEAR);
        }
        // What was lent is as it was.
        assert_ne!(*weights.get("weights").expect("it is there"), given["weights"]);
    }
}

/// Programs go from module to module, and from machine to machine, as data.
#[test]
fn updates_survive_being_written() {
    for program in programs(2) {
        let json = serde_json::to_string(&program).expect("it is data");
        assert_eq!(serde_json::from_str::<Program>(&json).expect("it was written so"), program);
    }
    let refused = serde_json::from_str::<Groups>(r#"{"of_row":[0,2],"by_filter":false}"#);
    assert!(refused.expect_err("there is no group 1").to_string().contains("without gaps"));
}

/// States that aren't there are made beside parameters that are, zero.
#[test]
fn a_store_takes_in_what_a_program_adds() {
    let (shape, context) = (Shape::Weights { cells: 2, window: 3, filters: 4 }, context(&profile()));
    let mut evaluation = Program::default();
    let input = evaluation.add("weights", Usage::Parameter, shape.clone());
    let output = evaluation.add("sum", Usage::Output, Shape::Fixed(1));
    let (of, factor, step, accumulate) = (Term::Value, 1.0, None, false);
    let total = Total { of, factor, shape: shape.clone(), input, step, output, accumulate };
    evaluation.operations.push(Operation::Total(total));
    pollster::block_on(async {
        let mut weights = Weights::new(&context, &evaluation).await.expect("memory");
        let before = weights.bytes();
        weights.extend(&programs::adam(&shape)).await.expect("memory");
        assert_eq!(weights.bytes(), 3 * before);
        assert_eq!(weights.names().count(), 3);
        weights.extend(&programs::adam(&shape)).await.expect("nothing to add");
        assert_eq!(weights.bytes(), 3 * before);
        let other = weights.extend(&programs::adam(&Shape::Fixed(24))).await;
        assert!(matches!(other, Err(Error::Program { why: "the parameter of its name has another shape", .. })));
    });
}

/// What executors rely on of what is changed in place.
#[test]
fn what_is_updated_is_read_by_updates_only() {
    let shape = || Shape::Fixed(3);
    let why = |program: &Program| program.check().expect_err("it is wrong").to_string();
    let parameter = |program: &mut Program| program.add("w", Usage::Parameter, shape());
    let penalty = |of: BufferId, output: BufferId| {
        Operation::PenaltyGrad(PenaltyGrad {
            l1: 0.0,
            l2: 1.0,
            shape: shape(),
            of,
            step: None,
            output,
            accumulate: false,
        })
    };
    let non_negative = |parameter| Operation::NonNegative(NonNegative { shape: shape(), parameter });
    let average = |value, average| {
        Operation::MovingAverage(MovingAverage { momentum: 0.5, shape: shape(), value, average, bessel: None })
    };

    let mut program = Program::default();
    let w = parameter(&mut program);
    let output = program.add("g", Usage::Gradient, shape());
    program.operations = vec![penalty(w, output), non_negative(w)];
    assert_eq!(program.check(), Ok(()));
    program.operations.reverse();
    assert!(why(&program).contains("it reads a parameter after its update"), "{}", why(&program));

    // An average is of the weights after their update.
    let kept = program.add("a", Usage::State, shape());
    program.operations = vec![penalty(w, output), non_negative(w), average(w, kept)];
    assert_eq!(program.check(), Ok(()));
    program.operations.push(average(kept, kept));
    assert!(why(&program).contains("it updates what it also reads"), "{}", why(&program));
    program.operations[3] = average(w, output);
    assert!(why(&program).contains("no parameter and no state"), "{}", why(&program));
    program.operations[3] = penalty(output, w);
    assert!(why(&program).contains("it writes what is there already"), "{}", why(&program));

    let mut program = Program::default();
    let w = parameter(&mut program);
    program.buffers[w.index()].dtype = WeightType::F16;
    program.operations.push(non_negative(w));
    assert!(why(&program).contains("16 bits"), "{}", why(&program));

    // What adds adds to something.
    let mut program = Program::default();
    let w = parameter(&mut program);
    let sum = program.add("sum", Usage::Output, Shape::Fixed(1));
    let total = |accumulate| {
        let (of, factor, step) = (Term::Square, 1.0, None);
        Operation::Total(Total { of, factor, shape: shape(), input: w, step, output: sum, accumulate })
    };
    program.operations = vec![total(false), total(true)];
    assert_eq!(program.check(), Ok(()));
    program.operations.remove(0);
    assert!(why(&program).contains("nothing wrote before it"), "{}", why(&program));
}

/// The sums of values, of magnitudes and of squares of samples, together.
pub(crate) fn totals(elements: u64) -> Program {
    let mut program = Program::default();
    let input = program.add("x", Usage::Input, Shape::Samples(elements));
    let output = program.add("sum", Usage::Output, Shape::Fixed(1));
    for (of, accumulate) in [(Term::Value, false), (Term::Magnitude, true), (Term::Square, true)] {
        let (factor, shape) = (0.5, Shape::Samples(elements));
        program.operations.push(Operation::Total(Total { of, factor, shape, input, step: None, output, accumulate }));
    }
    program
}

/// Sums of nothing, of a part and of parts of parts.
#[test]
fn totals_of_any_length_equal_the_reference() {
    for elements in [0, 1, 4095, 4096, 4097, 70_000] {
        let program = totals(elements);
        for batch in [0, 1, 3] {
            let given: Arrays = [("x".to_owned(), random(elements, elements * u64::from(batch)))].into();
            let mut results = on_every_executor(&program, batch, &given).into_iter();
            let (_, expected) = results.next().expect("the reference");
            for (executor, found) in results {
                let what = format!("{batch} times {elements} by {executor}");
                assert_near(what, &found["sum"], &wide(&expected["sum"]), 1e-6);
            }
        }
    }
}

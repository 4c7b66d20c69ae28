//! Losses, their gradients and accuracy, by every executor, as the f64 reference has them; and that as Keras has them
//! (`losses/keras.rs`).

pub(crate) mod keras;

use crate::common::{Arrays, Given, Planned, ProgramRun, assert_everywhere, assert_near, profile, random};
use locally_connected::DeviceProfile;
use locally_connected::ops::{Hits, HitsKind, Judged, Loss, LossGrad, LossKind, Operation, Shape, StepNumbers, Usage};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::reference;

/// Every loss, with and without what it can be told.
pub(crate) fn kinds() -> Vec<LossKind> {
    let mut all = vec![LossKind::MeanSquaredError, LossKind::MeanAbsoluteError];
    all.extend([1.0, 0.25].map(|delta| LossKind::Huber { delta }));
    for from_logits in [false, true] {
        for label_smoothing in [0.0, 0.1] {
            all.push(LossKind::BinaryCrossentropy { from_logits, label_smoothing });
            all.push(LossKind::CategoricalCrossentropy { from_logits, label_smoothing });
        }
        all.push(LossKind::SparseCategoricalCrossentropy { from_logits });
    }
    all
}

const HITS: [HitsKind; 3] = [HitsKind::Binary { threshold: 0.5 }, HitsKind::Categorical, HitsKind::Sparse];

/// What is asked of predictions and targets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    Loss(LossKind),
    Gradient(LossKind),
    Hits(HitsKind),
}

impl Asked {
    pub(crate) fn is_sparse(self) -> bool {
        matches!(
            self,
            Self::Loss(LossKind::SparseCategoricalCrossentropy { .. })
                | Self::Gradient(LossKind::SparseCategoricalCrossentropy { .. })
                | Self::Hits(HitsKind::Sparse)
        )
    }

    fn takes_probabilities(self) -> bool {
        match self {
            Self::Loss(kind) | Self::Gradient(kind) => matches!(
                kind,
                LossKind::BinaryCrossentropy { from_logits: false, .. }
                    | LossKind::CategoricalCrossentropy { from_logits: false, .. }
                    | LossKind::SparseCategoricalCrossentropy { from_logits: false }
            ),
            Self::Hits(_) => true,
        }
    }
}

/// A program that answers, from the inputs `prediction`, `target`, `sample_weight` and `step`.
pub(crate) fn program(asked: Asked, rows: u64, classes: u64, weighted: bool) -> Program {
    let mut program = Program::default();
    let elements = rows * classes;
    let prediction = program.add("prediction", Usage::Input, Shape::Samples(elements));
    let targets = if asked.is_sparse() { rows } else { elements };
    let target = program.add("target", Usage::Input, Shape::Samples(targets));
    let sample_weight = weighted.then(|| program.add("sample_weight", Usage::Input, Shape::Samples(1)));
    let of = Judged { rows, classes, prediction, target, sample_weight };
    let operation = match asked {
        Asked::Loss(kind) => {
            let output = program.add("output", Usage::Output, Shape::Samples(1));
            Operation::Loss(Loss { kind, of, output })
        }
        Asked::Hits(kind) => {
            let output = program.add("output", Usage::Output, Shape::Samples(1));
            Operation::Hits(Hits { kind, of, output })
        }
        Asked::Gradient(kind) => {
            let step = program.add("step", Usage::Input, Shape::Fixed(4));
            let grad = program.add("output", Usage::Output, Shape::Samples(elements));
            Operation::LossGrad(LossGrad { kind, of, step, grad })
        }
    };
    program.operations.push(operation);
    program
}

/// A step's numbers as a buffer holds them.
pub(crate) fn step(numbers: StepNumbers) -> Vec<f32> {
    numbers.to_floats().into()
}

/// Predictions and targets at random: some probabilities are clipped, some predictions are their targets, some rows have two largest.
fn given(asked: Asked, rows: u64, classes: u64, batch: u32) -> Arrays {
    let elements = rows * classes * u64::from(batch);
    let mut prediction = random(3, elements);
    if asked.takes_probabilities() {
        prediction.iter_mut().for_each(|p| *p = ((0.5 + 0.48 * *p) * 64.0).round() / 64.0);
        prediction.iter_mut().step_by(7).for_each(|p| *p = p.round());
    } else {
        prediction.iter_mut().for_each(|p| *p *= 4.0);
    }
    let target = match asked.is_sparse() {
        true => random(4, rows * u64::from(batch)).iter().map(|t| ((t + 1.0) / 2.0 * classes as f32).floor()).collect(),
        false => random(4, elements).iter().map(|t| (t + 1.0).round() / 2.0).collect::<Vec<f32>>(),
    };
    if !asked.is_sparse() {
        prediction.iter_mut().zip(&target).step_by(5).for_each(|(p, t)| *p = *t);
    }
    let numbers = StepNumbers { per_sample: 1.0 / batch.max(1) as f32, ..StepNumbers::default() };
    let weight = random(5, batch.into());
    let all = [("prediction", prediction), ("target", target), ("sample_weight", weight), ("step", step(numbers))];
    all.map(|(name, values)| (name.to_owned(), values)).into()
}

/// Programs of every kind at some sizes.
pub(crate) fn programs(seed: u64) -> Vec<Program> {
    let losses = kinds().into_iter().flat_map(|kind| [Asked::Loss(kind), Asked::Gradient(kind)]);
    let (rows, classes) = [(1, 1), (1, 10), (6, 3), (5, 1000), (3, 70)][seed as usize % 5];
    losses.chain(HITS.map(Asked::Hits)).map(|asked| program(asked, rows, classes, seed % 2 == 1)).collect()
}

/// A program of every kernel that judges rows or pieces of samples.
pub(crate) fn every_kernel() -> Program {
    let mut program = Program::default();
    let (rows, classes) = (60, 70);
    let [prediction, target] =
        ["prediction", "target"].map(|name| program.add(name, Usage::Input, Shape::Samples(rows * classes)));
    let sample_weight = Some(program.add("sample_weight", Usage::Input, Shape::Samples(1)));
    let of = Judged { rows, classes, prediction, target, sample_weight };
    let crossentropy = LossKind::CategoricalCrossentropy { from_logits: true, label_smoothing: 0.1 };
    for (name, kind) in [("squares", LossKind::MeanSquaredError), ("crossentropy", crossentropy)] {
        let output = program.add(name, Usage::Output, Shape::Samples(1));
        program.operations.push(Operation::Loss(Loss { kind, of, output }));
    }
    let (kind, step) = (crossentropy, program.step());
    let grad = program.add("gradient", Usage::Output, Shape::Samples(rows * classes));
    program.operations.push(Operation::LossGrad(LossGrad { kind, of, step, grad }));
    let output = program.add("hits", Usage::Output, Shape::Samples(1));
    // Each row is largest where it is itself.
    let of = Judged { target: prediction, ..of };
    program.operations.push(Operation::Hits(Hits { kind: HitsKind::Categorical, of, output }));
    program
}

fn all() -> impl Iterator<Item = Asked> {
    let losses = kinds().into_iter().flat_map(|kind| [Asked::Loss(kind), Asked::Gradient(kind)]);
    losses.chain(HITS.map(Asked::Hits))
}

#[test]
fn losses_equal_the_reference() {
    for asked in all() {
        for (rows, classes, weighted, batch) in [
            (1, 1, false, 3),
            (1, 10, true, 5),
            (7, 3, true, 4),
            (3, 150, false, 2),
            (2, 4, true, 0),
            (30, 400, true, 2),
        ] {
            let program = program(asked, rows, classes, weighted);
            let given = given(asked, rows, classes, batch);
            let what = format!("{asked:?} of {rows} rows of {classes} in {batch}");
            assert_everywhere(&what, Given { program: &program, batch, values: &given }, 4e-6);
        }
    }
}

/// Long axes of classes, and samples of many rows: nothing is summed by a loop that a driver would end.
#[test]
fn long_rows_and_samples_are_judged() {
    for (asked, rows, classes) in [
        (Asked::Loss(LossKind::MeanSquaredError), 1, 300_000),
        (Asked::Loss(LossKind::CategoricalCrossentropy { from_logits: true, label_smoothing: 0.1 }), 1, 70_000),
        (Asked::Gradient(LossKind::CategoricalCrossentropy { from_logits: false, label_smoothing: 0.0 }), 1, 70_000),
        (Asked::Loss(LossKind::SparseCategoricalCrossentropy { from_logits: true }), 70_000, 3),
        (Asked::Hits(HitsKind::Sparse), 70_000, 3),
        (Asked::Hits(HitsKind::Binary { threshold: 0.5 }), 70_000, 2),
    ] {
        let program = program(asked, rows, classes, true);
        let given = given(asked, rows, classes, 2);
        assert_everywhere(&format!("{asked:?}"), Given { program: &program, batch: 2, values: &given }, 4e-6);
        let planned = Planned::new(program, 2, &Planner::new(&profile())).expect("planned");
        assert!(planned.plan.dispatches().count() <= 3);
    }
}

#[test]
fn losses_are_cut_where_a_device_s_limits_are() {
    let narrow = DeviceProfile { max_binding: 6000, storage_alignment: 256, max_iterations: 3150, ..profile() };
    for asked in all() {
        for (rows, classes) in [(1, 10), (6, 30)] {
            let (program, batch) = (program(asked, rows, classes, true), 67);
            let given = given(asked, rows, classes, batch);
            let planned = Planned::new(program.clone(), batch, &Planner::new(&narrow)).expect("planned");
            planned.assert_keeps_limits(&narrow);
            let wide = given.iter().map(|(n, v)| (n.clone(), v.iter().map(|&v| f64::from(v)).collect())).collect();
            let expected = reference::run(&program, batch, &wide).expect("it runs");
            let found = ProgramRun::new(&program, batch, &given, &narrow).expect("it runs").run();
            assert_near(format!("{asked:?}"), &found["output"], &expected["output"], 4e-6);
        }
    }
}

/// What isn't a number must show, on every executor: training stops at it. And so must a class that isn't there.
#[test]
fn what_is_no_number_shows() {
    for asked in all().filter(|asked| !matches!(asked, Asked::Hits(_))) {
        let (rows, classes) = (2, 5);
        let program = program(asked, rows, classes, false);
        let mut given = given(asked, rows, classes, 2);
        given.get_mut("prediction").expect("it").iter_mut().take(5).for_each(|p| *p = f32::NAN);
        if asked.is_sparse() {
            given.get_mut("target").expect("it")[2] = 5.0;
        }
        for (by, found) in crate::common::everywhere(&program, 2, &given) {
            let found = &found["output"];
            let is_nan: Vec<bool> = found.iter().map(|value| value.is_nan()).collect();
            let of_sample = found.len() / 2;
            assert!(is_nan[0], "{asked:?} by {by}: {found:?}");
            assert_eq!(is_nan[of_sample], asked.is_sparse(), "{asked:?} by {by}: {found:?}");
            assert!(!is_nan[found.len() - 1] || found.len() == 2, "{asked:?} by {by}: {found:?}");
        }
    }
}

#[test]
fn losses_that_are_none_are_refused() {
    let why = |asked, rows, classes| program(asked, rows, classes, false).check().expect_err("it is wrong").to_string();
    assert!(why(Asked::Loss(LossKind::MeanSquaredError), 0, 3).contains("no rows or no classes"));
    assert!(why(Asked::Hits(HitsKind::Sparse), 1, (1 << 24) + 1).contains("2²⁴ classes"));
    assert!(why(Asked::Loss(LossKind::MeanSquaredError), 1 << 20, 1 << 20).contains("2³² elements"));
    assert!(why(Asked::Loss(LossKind::Huber { delta: f32::NAN }), 1, 1).contains("delta"));
    let smoothed = LossKind::BinaryCrossentropy { from_logits: true, label_smoothing: 1.5 };
    assert!(why(Asked::Gradient(smoothed), 1, 1).contains("label smoothing"));
}

//! Dropout and noise: the same numbers by every executor, distributed as Keras's layers say.

use crate::common::{Arrays, Given, Planned, ProgramRun, assert_everywhere, everywhere, profile, random as values};
use crate::losses::step;
use locally_connected::DeviceProfile;
use locally_connected::ops::{Noise, Operation, Random, RandomGrad, RandomKind, Shape, Sizes, StepNumbers, Usage};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::reference;

const KINDS: [RandomKind; 4] = [
    RandomKind::Dropout { rate: 0.3 },
    RandomKind::GaussianDropout { rate: 0.2 },
    RandomKind::GaussianNoise { stddev: 0.5 },
    RandomKind::AlphaDropout { rate: 0.25 },
];

fn noise(kind: RandomKind, sizes: Sizes, shared: [bool; 4], batched: bool) -> Noise {
    let noise = std::array::from_fn(|axis| if shared[axis] { 1 } else { sizes[axis] });
    Noise { kind, seed: 0x1234_5678_9abc_def0, sizes, noise, batched }
}

/// A program of the operation alone, or of its gradient.
fn program(noise: Noise, gradient: bool) -> Program {
    let mut program = Program::default();
    let elements = noise.sizes.iter().product();
    let step = program.add("step", Usage::Input, Shape::Fixed(4));
    let input = program.add("input", Usage::Input, Shape::Samples(elements));
    let output = program.add("output", Usage::Output, Shape::Samples(elements));
    program.operations.push(match gradient {
        false => Operation::Random(Random { noise, step, input, output }),
        true => {
            let (grad_output, grad_input) = (input, output);
            Operation::RandomGrad(RandomGrad { noise, step, grad_output, grad_input })
        }
    });
    program
}

fn given(input: Vec<f32>, draw: u32) -> Arrays {
    let numbers = StepNumbers { draw, ..StepNumbers::default() };
    [("step".to_owned(), step(numbers)), ("input".to_owned(), input)].into()
}

/// Programs of every kind.
pub(crate) fn programs(seed: u64) -> Vec<Program> {
    let shared = [false, seed % 2 == 1, seed % 4 == 2, false];
    let with_gradient = |kind: &RandomKind| !matches!(kind, RandomKind::GaussianNoise { .. });
    let sizes = [1, 3, 2, 5];
    let forward = KINDS.map(|kind| program(noise(kind, sizes, shared, true), false));
    let backward = KINDS.into_iter().filter(with_gradient).map(|kind| program(noise(kind, sizes, shared, true), true));
    forward.into_iter().chain(backward).collect()
}

/// What one executor makes of values.
fn by_reference(noise: Noise, gradient: bool, input: &[f32], draw: u32) -> Vec<f64> {
    let program = program(noise, gradient);
    let batch = input.len() as u64 / noise.sizes.iter().product::<u64>();
    let given = given(input.to_vec(), draw);
    let wide = given.iter().map(|(name, v)| (name.clone(), v.iter().map(|&v| f64::from(v)).collect())).collect();
    reference::run(&program, batch as u32, &wide).expect("it runs").remove("output").expect("written")
}

#[test]
fn every_executor_draws_the_same_numbers() {
    let mut at = 0;
    for kind in KINDS {
        for (sizes, shared, batched) in [
            ([1, 1, 1, 1], [false; 4], true),
            ([1, 1, 1, 37], [false; 4], true),
            ([2, 3, 4, 5], [false; 4], true),
            ([2, 3, 4, 5], [false, true, true, false], true),
            ([1, 1, 6, 9], [false, false, false, true], true),
            ([1, 1, 6, 9], [false; 4], false),
            ([3, 5, 2, 8], [true, false, true, false], false),
            ([1, 7, 130, 64], [false; 4], true),
        ] {
            let noise = noise(kind, sizes, shared, batched);
            for gradient in [false, true] {
                if gradient && matches!(kind, RandomKind::GaussianNoise { .. }) {
                    continue;
                }
                for batch in [1, 3, 0] {
                    let elements: u64 = sizes.iter().product();
                    let given = given(values(at, elements * u64::from(batch)), at as u32);
                    at += 1;
                    let program = program(noise, gradient);
                    let what = format!("{noise:?} of {batch}, gradient: {gradient}");
                    assert_everywhere(&what, Given { program: &program, batch, values: &given }, 2e-6);
                    if let RandomKind::Dropout { .. } = kind {
                        // One product in 32 bits: nothing rounds otherwise.
                        let all = everywhere(&program, batch, &given);
                        assert!(all.iter().all(|(_, found)| *found == all[0].1), "{what}");
                    }
                }
            }
        }
    }
}

/// A dispatch of samples behind others draws what these would.
#[test]
fn noise_is_cut_where_a_device_s_limits_are() {
    let narrow = DeviceProfile { max_binding: 6000, storage_alignment: 256, ..profile() };
    for kind in KINDS {
        for batched in [true, false] {
            let noise = noise(kind, [1, 3, 5, 7], [false; 4], batched);
            let (program, batch) = (program(noise, false), 53);
            let given = given(values(1, 105 * 53), 9);
            let planned = Planned::new(program.clone(), batch, &Planner::new(&narrow)).expect("planned");
            planned.assert_keeps_limits(&narrow);
            assert!(planned.plan.dispatches().count() > 2);
            let whole = ProgramRun::new(&program, batch, &given, &profile()).expect("it runs").run();
            let cut = ProgramRun::new(&program, batch, &given, &narrow).expect("it runs").run();
            assert_eq!(whole, cut, "{noise:?}");
        }
    }
}

fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count)
}

const COUNT: usize = 200_000;

/// Of 200,000 ones: five standard errors.
fn assert_moments(found: &[f64], mean: f64, variance: f64) {
    let (own_mean, own_variance) = mean_and_variance(found);
    assert!((own_mean - mean).abs() < 5.0 * (variance / COUNT as f64).sqrt(), "a mean of {own_mean}, not {mean}");
    assert!((own_variance - variance).abs() < 0.02 * variance, "a variance of {own_variance}, not {variance}");
}

#[test]
fn numbers_are_distributed_as_asked() {
    let sizes = [1, 1, 1, COUNT as u64];
    let ones = vec![1.0; COUNT];
    for rate in [0.1f32, 0.5, 0.9] {
        let share = f64::from(rate);
        let dropped = by_reference(noise(RandomKind::Dropout { rate }, sizes, [false; 4], true), false, &ones, 0);
        let kept = dropped.iter().filter(|value| **value != 0.0).count() as f64 / COUNT as f64;
        assert!((kept - (1.0 - share)).abs() < 5.0 * (share * (1.0 - share) / COUNT as f64).sqrt(), "{kept} of {rate}");
        let factor = 1.0 / (1.0 - share);
        assert!(dropped.iter().all(|value| *value == 0.0 || (value - factor).abs() < 1e-12));
        assert_moments(&dropped, 1.0, share * factor);
        let kind = RandomKind::GaussianDropout { rate };
        assert_moments(&by_reference(noise(kind, sizes, [false; 4], true), false, &ones, 1), 1.0, share * factor);
        // Alpha dropout keeps mean 0 and variance 1, which normally distributed values have.
        let (zeroes, kind) = (vec![0.0; COUNT], RandomKind::GaussianNoise { stddev: 1.0 });
        let normal = by_reference(noise(kind, sizes, [false; 4], true), false, &zeroes, 2);
        assert_moments(&normal, 0.0, 1.0);
        let normal: Vec<f32> = normal.into_iter().map(|value| value as f32).collect();
        let kind = RandomKind::AlphaDropout { rate };
        assert_moments(&by_reference(noise(kind, sizes, [false; 4], true), false, &normal, 3), 0.0, 1.0);
    }
    // How many are beyond one, two and three standard deviations.
    let kind = RandomKind::GaussianNoise { stddev: 2.0 };
    let normal = by_reference(noise(kind, sizes, [false; 4], true), false, &vec![3.0; COUNT], 4);
    assert_moments(&normal, 3.0, 4.0);
    for (far, share) in [(1.0, 0.317_310_5), (2.0, 0.045_500_3), (3.0, 0.002_699_8)] {
        for sign in [1.0, -1.0] {
            let beyond = normal.iter().filter(|value| sign * (*value - 3.0) > 2.0 * far).count() as f64 / COUNT as f64;
            let half = share / 2.0;
            assert!((beyond - half).abs() < 5.0 * (half / COUNT as f64).sqrt(), "{beyond} beyond {far}, not {half}");
        }
    }
    // Neighbours, which may be a pair of one radius, aren't correlated, nor are their squares.
    let correlation = |of: &dyn Fn(f64) -> f64| {
        let pairs = normal.windows(2).map(|two| of(two[0]) * of(two[1]));
        pairs.sum::<f64>() / COUNT as f64
    };
    let alone = |value: f64| (value - 3.0) / 2.0;
    assert!(correlation(&alone).abs() < 5.0 / (COUNT as f64).sqrt());
    assert!(correlation(&|value| alone(value).powi(2) - 1.0).abs() < 10.0 / (COUNT as f64).sqrt());
}

#[test]
fn other_draws_and_seeds_are_other_numbers() {
    let one = noise(RandomKind::Dropout { rate: 0.5 }, [1, 1, 1, 4096], [false; 4], true);
    let ones = vec![1.0; 4096];
    let first = by_reference(one, false, &ones, 7);
    assert_eq!(first, by_reference(one, false, &ones, 7));
    for other in [
        by_reference(one, false, &ones, 8),
        by_reference(Noise { seed: one.seed + 1, ..one }, false, &ones, 7),
        by_reference(Noise { seed: one.seed ^ 1 << 40, ..one }, false, &ones, 7),
    ] {
        let same = first.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!((same as f64 - 2048.0).abs() < 5.0 * 32.0, "{same} of 4096 are the same");
    }
}

#[test]
fn gradients_have_the_mask_of_their_pass() {
    for kind in KINDS.into_iter().filter(|kind| !matches!(kind, RandomKind::GaussianNoise { .. })) {
        let noise = noise(kind, [1, 4, 5, 6], [false, true, false, false], true);
        let [zeroes, ones] = [0.0, 1.0].map(|value| vec![value; 240]);
        let [at_zero, at_one] = [&zeroes, &ones].map(|input| by_reference(noise, false, input, 3));
        let slope = by_reference(noise, true, &ones, 3);
        // What is done is linear.
        let linear = at_one.iter().zip(&at_zero).map(|(one, zero)| one - zero);
        assert!(linear.zip(&slope).all(|(expected, found)| (expected - found).abs() < 1e-12), "{kind:?}");
        // Along the axis that shares its numbers they are the same, elsewhere they aren't.
        let place = |n: usize, i: usize, j: usize| n * 120 + i * 30 + j;
        assert!((0..2).all(|n| (1..4).all(|i| (0..30).all(|j| slope[place(n, i, j)] == slope[place(n, 0, j)]))));
        assert!((0..30).any(|j| slope[place(0, 0, j)] != slope[place(1, 0, j)]));
    }
}

#[test]
fn noise_that_is_none_is_refused() {
    let sizes = [1, 1, 2, 3];
    let why = |noise: Noise, gradient| program(noise, gradient).check().expect_err("it is wrong").to_string();
    let with = |kind| noise(kind, sizes, [false; 4], true);
    for rate in [1.0, -0.1, f32::NAN] {
        assert!(why(with(RandomKind::Dropout { rate }), false).contains("its rate"));
    }
    for stddev in [f32::INFINITY, -1.0] {
        assert!(why(with(RandomKind::GaussianNoise { stddev }), false).contains("standard deviation"));
    }
    assert!(why(with(RandomKind::GaussianNoise { stddev: 1.0 }), true).contains("the output's"));
    let noise = with(RandomKind::Dropout { rate: 0.5 });
    assert!(why(Noise { noise: [1, 1, 2, 2], ..noise }, false).contains("neither as long"));
    let none = Noise { sizes: [1, 0, 1, 1], noise: [1; 4], ..noise };
    assert!(why(none, false).contains("an axis is empty"));
}

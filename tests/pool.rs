//! Pooling over windows and along whole axes, on every executor; what Keras makes of it is compared in `tests/keras_operations.rs`.

use crate::common::{Given, alone, assert_everywhere, levels, profile};
use locally_connected::ops::{
    Along, Operation, Pool, PoolAxis, PoolGrad, PoolKind, Pooled, Reduce, ReduceGrad, Ties, Windows,
};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::{DataFormat, DeviceProfile, Error, Padding};
use proptest::prelude::*;
use proptest::sample::select;

const EXACT: f64 = 1e-6;

fn pool(kind: PoolKind, windows: &Windows) -> Program {
    let windows = windows.clone();
    let (inputs, outputs) = (windows.inputs(), windows.outputs());
    alone(&[inputs], outputs, |read, output| Operation::Pool(Pool { kind, windows, input: read[0], output }))
}

fn pool_grad(kind: PoolKind, ties: Ties, windows: &Windows) -> Program {
    let windows = windows.clone();
    let (inputs, outputs) = (windows.inputs(), windows.outputs());
    let read = if kind == PoolKind::Max { vec![outputs, inputs] } else { vec![outputs] };
    alone(&read, inputs, |read, grad_input| {
        let input = read.get(1).copied();
        Operation::PoolGrad(PoolGrad { kind, ties, windows, input, grad_output: read[0], grad_input })
    })
}

fn reduce(kind: PoolKind, along: Along) -> Program {
    let operation = |read: &[_], output| Operation::Reduce(Reduce { kind, along, input: read[0], output });
    alone(&[along.inputs()], along.outputs(), operation)
}

fn reduce_grad(kind: PoolKind, along: Along) -> Program {
    let read = if kind == PoolKind::Max { vec![along.outputs(), along.inputs()] } else { vec![along.outputs()] };
    alone(&read, along.inputs(), |read, grad_input| {
        let input = read.get(1).copied();
        Operation::ReduceGrad(ReduceGrad { kind, along, input, grad_output: read[0], grad_input })
    })
}

/// Every operation on these windows.
fn of_windows(windows: &Windows) -> Vec<(String, Program)> {
    let mut all = Vec::new();
    for kind in [PoolKind::Max, PoolKind::Average] {
        all.push((format!("{kind:?} of {windows:?}"), pool(kind, windows)));
        for ties in [Ties::First, Ties::Every] {
            all.push((format!("gradient of {kind:?}, {ties:?}, of {windows:?}"), pool_grad(kind, ties, windows)));
        }
    }
    all
}

fn of_axis(along: Along) -> Vec<(String, Program)> {
    let kinds = [PoolKind::Max, PoolKind::Average].into_iter();
    let both = kinds.flat_map(|kind| {
        [
            (format!("{kind:?} {along:?}"), reduce(kind, along)),
            (format!("gradient of {kind:?} {along:?}"), reduce_grad(kind, along)),
        ]
    });
    both.collect()
}

/// Loops are over the positions that are the input's: a window may be as large as anyone likes.
#[test]
fn windows_far_larger_than_the_input_are_planned() {
    // Of the second kind 87 bits count the positions.
    let all: [(&[usize], &[usize]); 2] = [(&[8, 8], &[300, 300]), (&[2, 3, 2], &[1 << 29, 1 << 29, 1 << 29])];
    for ((input, size), channels) in all.into_iter().flat_map(|sizes| [(sizes, 3), (sizes, 4)]) {
        let (strides, padding) = (&vec![1; input.len()], &Padding::SameUpper);
        let windows = Windows::new(&Pooled { strides, padding, channels, ..Pooled::new(input, size) });
        for (what, program) in of_windows(&windows.expect("windows")) {
            assert_everywhere(&what, Given { program: &program, batch: 2, values: &levels(&program, 2, 7) }, 1e-5);
        }
    }
}

/// A program for every kernel of pooling, by every width.
pub(crate) fn programs() -> Vec<Program> {
    let mut all = Vec::new();
    for channels in [3, 4] {
        let windows = Windows::new(&Pooled { strides: &[2, 1], channels, ..Pooled::new(&[6, 5], &[3, 2]) });
        all.extend(of_windows(&windows.expect("windows")));
    }
    for length in [9, 1000] {
        all.extend(of_axis(Along { outer: 2, length, inner: 3 }));
    }
    all.into_iter().map(|(_, program)| program).collect()
}

prop_compose! {
    fn windows()(rank in 1..=3usize)(
        axes in proptest::collection::vec((1..10usize, 1..5usize, 1..4usize), rank),
        same in any::<bool>(),
        channels in select(vec![1usize, 2, 3, 4, 8, 17, 20]),
        first in any::<bool>(),
    ) -> Windows {
        let (input, size): (Vec<_>, Vec<_>) = axes.iter().map(|&(input, size, _)| (input.max(size), size)).unzip();
        let strides: Vec<_> = axes.iter().map(|axis| axis.2).collect();
        let padding = if same { Padding::SameUpper } else { Padding::Valid };
        let data_format = if first { DataFormat::ChannelsFirst } else { DataFormat::ChannelsLast };
        let (strides, padding) = (&strides, &padding);
        Windows::new(&Pooled { strides, padding, channels, data_format, ..Pooled::new(&input, &size) }).expect("windows")
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(24))]

    #[test]
    fn random_windows_equal_the_reference(windows in windows(), batch in 1..5u32, seed in any::<u64>()) {
        for (what, program) in of_windows(&windows) {
            assert_everywhere(&what, Given { program: &program, batch, values: &levels(&program, batch, seed) }, EXACT);
        }
    }

    #[test]
    fn random_axes_equal_the_reference(
        outer in 1..4u64,
        length in select(vec![1u64, 2, 17, 256, 257, 1000, 3001]),
        inner in select(vec![1u64, 3, 4, 70]),
        batch in 1..4u32,
        seed in any::<u64>(),
    ) {
        for (what, program) in of_axis(Along { outer, length, inner }) {
            assert_everywhere(&what, Given { program: &program, batch, values: &levels(&program, batch, seed) }, EXACT);
        }
    }
}

/// Lavapipe ends a thread's loops after 65,535 turns.
#[test]
fn long_axes_are_cut() {
    for along in [Along { outer: 1, length: 100_000, inner: 3 }, Along { outer: 2, length: 100_003, inner: 1 }] {
        for (what, program) in of_axis(along) {
            assert_everywhere(
                &what,
                Given { program: &program, batch: 1, values: &levels(&program, 1, 5) },
                4.0 * EXACT,
            );
        }
    }
}

#[test]
fn a_window_of_very_many_positions_is_refused() {
    let windows = Windows::new(&Pooled { strides: &[1], ..Pooled::new(&[70_000], &[66_000]) });
    let program = pool(PoolKind::Max, &windows.expect("windows"));
    let device = DeviceProfile { max_iterations: 65_535, ..profile() };
    let refused = Planner::new(&device).program(&program, 1).expect_err("its loops are ended");
    assert!(matches!(refused, Error::Limit { limit: 65_535, needed: 66_001.., .. }), "{refused}");
}

#[test]
fn no_samples_are_nothing() {
    for program in programs() {
        assert_everywhere("no samples", Given { program: &program, batch: 0, values: &levels(&program, 0, 1) }, EXACT);
    }
}

/// What no pool can be is said before anything runs.
#[test]
fn windows_that_are_none_are_refused() {
    let new = |input: &[usize], size: &[usize], strides: &[usize], padding: &Padding, channels| {
        Windows::new(&Pooled { strides, padding, channels, ..Pooled::new(input, size) })
    };
    let valid = &Padding::Valid;
    assert_eq!(new(&[], &[], &[], valid, 1), Err(Error::UnsupportedRank { found: 0 }));
    let rank = Error::Rank { argument: "pool_size", expected: 1, found: 2 };
    assert_eq!(new(&[4], &[2, 2], &[1], valid, 1), Err(rank));
    assert_eq!(new(&[4], &[2], &[0], valid, 1), Err(Error::NotPositive { argument: "strides", value: 0 }));
    assert_eq!(new(&[4], &[2], &[1], valid, 0), Err(Error::NotPositive { argument: "channels", value: 0 }));
    let empty = new(&[4, 3], &[2, 5], &[1, 1], valid, 1);
    assert!(matches!(&empty, Err(Error::EmptyOutput { output, .. }) if **output == [3, -1]), "{empty:?}");
    assert!(matches!(new(&[4], &[2], &[1], &Padding::Same, 1), Err(Error::Unsupported { .. })));
    assert!(matches!(new(&[1 << 31], &[2], &[1], valid, 1), Err(Error::TooLarge { .. })));

    let good = new(&[6], &[3], &[2], &Padding::SameUpper, 2).expect("windows");
    assert_eq!(good.axes, [PoolAxis { input: 6, output: 3, window: 3, stride: 2, before: 0 }]);
    let why = |axis: PoolAxis| {
        let windows = Windows { axes: vec![axis], ..good.clone() };
        pool(PoolKind::Max, &windows).check().expect_err("it is wrong").to_string()
    };
    let axis = good.axes[0];
    let alone = "operation 0 of the program: a window has no position of the input";
    assert_eq!(why(PoolAxis { before: 3, ..axis }), alone);
    assert_eq!(why(PoolAxis { output: 4, ..axis }), alone);
    assert!(why(PoolAxis { stride: 0, ..axis }).contains("without positions or strides"));
    assert!(why(PoolAxis { stride: u32::MAX, ..axis }).contains("can't be addressed"));
    let mut program = pool_grad(PoolKind::Max, Ties::First, &good);
    if let Operation::PoolGrad(grad) = &mut program.operations[0] {
        grad.input = None;
    }
    assert!(program.check().expect_err("no input").to_string().contains("goes by its input"));
    let program = reduce(PoolKind::Max, Along { outer: 1, length: 0, inner: 2 });
    assert!(program.check().expect_err("no elements").to_string().contains("without elements"));
}

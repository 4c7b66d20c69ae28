//! Values moved, cut off, padded, repeated and joined, on every executor.

use crate::common::{Given, alone, assert_everywhere, levels};
use locally_connected::ops::{AxisMap, Columns, Concatenate, Operation, Rearrange, RearrangeGrad, Shape, Usage};
use locally_connected::program::Program;
use proptest::prelude::*;
use proptest::sample::select;

const EXACT: f64 = 1e-6;

fn sizes(axes: &[AxisMap]) -> [u64; 2] {
    let product = |size: fn(&AxisMap) -> u32| axes.iter().map(|axis| u64::from(size(axis))).product();
    [product(|axis| axis.input), product(|axis| axis.output)]
}

fn rearrange(axes: &[AxisMap]) -> Program {
    let ([inputs, outputs], axes) = (sizes(axes), axes.to_vec());
    alone(&[inputs], outputs, |read, output| Operation::Rearrange(Rearrange { axes, input: read[0], output }))
}

fn rearrange_grad(axes: &[AxisMap]) -> Program {
    let ([inputs, outputs], axes) = (sizes(axes), axes.to_vec());
    alone(&[outputs], inputs, |read, grad_input| {
        Operation::RearrangeGrad(RearrangeGrad { axes, grad_output: read[0], grad_input })
    })
}

fn concatenate(rows: u64, columns: &[u64]) -> Program {
    let elements: Vec<u64> = columns.iter().map(|columns| rows * columns).collect();
    alone(&elements, elements.iter().sum(), |read, output| {
        let inputs = read.iter().zip(columns).map(|(&input, &columns)| Columns { input, columns }).collect();
        Operation::Concatenate(Concatenate { rows, inputs, output })
    })
}

/// What Keras's layers are, and more.
fn layers() -> Vec<Vec<AxisMap>> {
    let whole = AxisMap::whole;
    vec![
        // ZeroPadding1D, 2D, 3D.
        vec![AxisMap::padded(5, 1, 2, 0), whole(3, 1)],
        vec![AxisMap::padded(5, 1, 2, 0), AxisMap::padded(4, 0, 3, 1), whole(8, 2)],
        vec![AxisMap::padded(2, 1, 1, 0), AxisMap::padded(3, 2, 0, 1), AxisMap::padded(4, 1, 1, 2), whole(4, 3)],
        // In channels_first.
        vec![whole(8, 0), AxisMap::padded(5, 1, 2, 1), AxisMap::padded(4, 4, 4, 2)],
        // Cropping.
        vec![AxisMap::cropped(7, 2, 4, 0), whole(3, 1)],
        vec![AxisMap::cropped(7, 2, 4, 0), AxisMap::cropped(5, 0, 1, 1), whole(4, 2)],
        // UpSampling1D, 2D, 3D, and in channels_first.
        vec![AxisMap::repeated(5, 3, 0), whole(2, 1)],
        vec![AxisMap::repeated(3, 2, 0), AxisMap::repeated(4, 3, 1), whole(4, 2)],
        vec![AxisMap::repeated(2, 2, 0), AxisMap::repeated(3, 1, 1), AxisMap::repeated(2, 3, 2), whole(3, 3)],
        vec![whole(3, 0), AxisMap::repeated(3, 2, 1), AxisMap::repeated(4, 2, 2)],
        // RepeatVector, often and very often.
        vec![AxisMap::repeated(1, 7, 0), whole(12, 1)],
        vec![AxisMap::repeated(1, 70_001, 0), whole(2, 1)],
        // Permute: transposes, of each of some samples too, and others.
        vec![whole(5, 1), whole(7, 0)],
        vec![whole(40, 1), whole(5, 2), whole(7, 0)],
        vec![whole(3, 0), whole(5, 2), whole(7, 1)],
        vec![whole(5, 2), whole(3, 1), whole(7, 0)],
        vec![whole(3, 1), whole(2, 0), whole(8, 2)],
        vec![whole(2, 4), whole(3, 3), whole(4, 2), whole(2, 1), whole(3, 0)],
        // All at once.
        vec![
            AxisMap { output: 9, input: 3, before: 2, repeat: 2, of: 2 },
            AxisMap { output: 4, input: 5, before: -3, repeat: 2, of: 0 },
            AxisMap { output: 6, input: 4, before: 1, repeat: 1, of: 1 },
        ],
        // Nothing, nothing but zeroes, and one element.
        vec![whole(6, 0)],
        vec![AxisMap { output: 4, input: 3, before: 4, repeat: 1, of: 0 }],
        vec![AxisMap { output: 4, input: 3, before: -3, repeat: 1, of: 0 }, whole(2, 1)],
        vec![],
    ]
}

/// A program for every kernel of what is here, by every width.
pub(crate) fn programs() -> Vec<Program> {
    let moved = layers().into_iter().flat_map(|axes| [rearrange(&axes), rearrange_grad(&axes)]);
    moved.chain([concatenate(3, &[4, 8]), concatenate(3, &[2, 5])]).collect()
}

#[test]
fn layers_equal_the_reference() {
    for axes in layers() {
        for (batch, (of, program)) in [1, 3]
            .into_iter()
            .flat_map(|batch| [("", rearrange(&axes)), ("gradient of ", rearrange_grad(&axes))].map(|p| (batch, p)))
        {
            let what = format!("{of}{axes:?}");
            assert_everywhere(
                &what,
                Given { program: &program, batch, values: &levels(&program, batch, 3) },
                4.0 * EXACT,
            );
        }
    }
    for program in programs() {
        assert_everywhere("no samples", Given { program: &program, batch: 0, values: &levels(&program, 0, 3) }, EXACT);
    }
}

prop_compose! {
    fn axes()(rank in 1..=4usize)(
        order in Just((0..rank).collect::<Vec<_>>()).prop_shuffle(),
        moved in any::<bool>(),
        sizes in proptest::collection::vec(
            (select(vec![1u32, 2, 3, 4, 8]), select(vec![1u32, 3, 4, 9]), select(vec![1u32, 1, 2, 3]), -5..5i32, 0..3u8),
            rank,
        ),
    ) -> Vec<AxisMap> {
        let place = |at: usize| if moved { order[at] } else { at };
        // With more, repetitions would be summed along more than three axes.
        let axis = |((input, output, repeat, before, kind), at): ((u32, u32, u32, i32, u8), usize)| match kind {
            0 if at < 3 => AxisMap { output, input, before, repeat, of: place(at) },
            1 if at < 3 => AxisMap::repeated(input, repeat, place(at)),
            _ => AxisMap::whole(input, place(at)),
        };
        sizes.into_iter().zip(0..).map(axis).collect()
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(64))]

    #[test]
    fn random_axes_equal_the_reference(axes in axes(), batch in 1..4u32, seed in any::<u64>()) {
        for program in [rearrange(&axes), rearrange_grad(&axes)] {
            assert_everywhere(&format!("{axes:?}"), Given { program: &program, batch, values: &levels(&program, batch, seed) }, EXACT);
        }
    }

    #[test]
    fn joined_inputs_equal_the_reference(
        rows in 1..5u64,
        columns in proptest::collection::vec(1..9u64, 1..5),
        by in select(vec![1u64, 4]),
        batch in 1..4u32,
        seed in any::<u64>(),
    ) {
        let columns: Vec<u64> = columns.into_iter().map(|columns| by * columns).collect();
        let program = concatenate(rows, &columns);
        let given = levels(&program, batch, seed);
        assert_everywhere(&format!("{rows} rows of {columns:?}"), Given { program: &program, batch, values: &given }, EXACT);
        // Each input's columns, cut out of what was joined, are the input.
        let Some(Operation::Concatenate(joined)) = program.operations.first() else { panic!("it is one") };
        let wide = |values: &Vec<f32>| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let inputs: Vec<_> = (0..columns.len()).map(|at| wide(&given[&format!("input {at}")])).collect();
        let parts: Vec<_> = inputs.iter().map(Vec::as_slice).zip(columns.iter().map(|&c| c as usize)).collect();
        let all = locally_connected::reference::concatenate(&parts);
        for (input, at) in inputs.iter().zip(0..) {
            let axes = joined.grad_axes(at).expect("an input");
            prop_assert_eq!(&locally_connected::reference::rearrange(&axes, &all), input);
        }
        prop_assert_eq!(joined.grad_axes(columns.len()), None);
    }
}

/// A buffer may be joined with itself.
#[test]
fn an_input_may_be_there_twice() {
    let mut program = Program::default();
    let input = program.add("input 0", Usage::Input, Shape::Samples(6));
    let output = program.add("output", Usage::Output, Shape::Samples(12));
    let part = Columns { input, columns: 3 };
    program.operations.push(Operation::Concatenate(Concatenate { rows: 2, inputs: vec![part, part], output }));
    assert_everywhere("twice", Given { program: &program, batch: 2, values: &levels(&program, 2, 3) }, EXACT);
}

#[test]
fn what_moves_nowhere_is_refused() {
    let why = |axes: &[AxisMap]| rearrange(axes).check().expect_err("it is wrong").to_string();
    let whole = AxisMap::whole;
    assert!(why(&[whole(2, 0), whole(3, 0)]).contains("its axes aren't the input's, each once"));
    assert!(why(&[whole(2, 1)]).contains("its axes aren't the input's, each once"));
    assert!(why(&[AxisMap::repeated(2, 0, 0)]).contains("an axis has no elements"));
    assert!(why(&[AxisMap::cropped(5, 2, 0, 0)]).contains("an axis has no elements"));
    assert!(why(&[whole(1 << 20, 0), whole(1 << 11, 1)]).contains("can't be addressed"));
    assert!(why(&[AxisMap { before: i32::MIN, ..whole(4, 0) }]).contains("can't be addressed"));
    assert!(why(&[AxisMap { repeat: u32::MAX, ..whole(4, 0) }]).contains("can't be addressed"));
    let reversed: Vec<AxisMap> = (0..6).map(|at| whole(2, 5 - at)).collect();
    assert!(why(&reversed).contains("more than five of its axes move"));
    let apart: Vec<AxisMap> = (0..4).map(|at| AxisMap::repeated(2, 2, at)).collect();
    let refused = rearrange_grad(&apart).check().expect_err("too many").to_string();
    assert!(refused.contains("more than three of its axes are repeated"), "{refused}");
    assert!(concatenate(2, &[]).check().expect_err("none").to_string().contains("it has no inputs"));
    assert!(concatenate(2, &[3, 0]).check().expect_err("empty").to_string().contains("an input without columns"));
}

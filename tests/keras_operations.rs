//! Operations held to real Keras 2.15 (`tests/data/keras_pool_and_rearrange.json`, by
//! `tests/fixtures/make_ops1_fixtures.py`): each layer's output and gradients, by the reference and by every executor.

use crate::common::{Arrays, disagreement, everywhere, largest, root};
use locally_connected::ops::{
    Along, AxisMap, BufferId, Columns, Concatenate, Operation, Pool, PoolGrad, PoolKind, Pooled, Rearrange,
    RearrangeGrad, Reduce, ReduceGrad, Shape, Ties, Usage, Windows,
};
use locally_connected::program::Program;
use locally_connected::{DataFormat, Padding, reference};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Of the largest value: most are exact.
const TOLERANCE: f64 = 2e-5;
const BATCH: u32 = 2;

#[derive(Deserialize)]
struct Case {
    name: String,
    class: String,
    config: serde_json::Map<String, Value>,
    input_shapes: Vec<Vec<usize>>,
    output_shape: Vec<usize>,
    x: Vec<Vec<Value>>,
    y: Vec<Value>,
    dy: Vec<Value>,
    dx: Vec<Vec<Value>>,
}

/// A number of the file, which has words for what JSON has no numbers for.
fn number(value: &Value) -> f32 {
    match value.as_str() {
        None => value.as_f64().expect("a number") as f32,
        Some(word) => word.parse().expect("nan, inf or -inf"),
    }
}

fn numbers(values: &[Value]) -> Vec<f32> {
    values.iter().map(number).collect()
}

fn int(value: &Value) -> usize {
    value.as_u64().expect("a whole number") as usize
}

/// Numbers for each axis, where one may stand for all.
fn for_each(value: &Value, axes: usize) -> Vec<usize> {
    match value.as_array() {
        Some(values) => values.iter().map(int).collect(),
        None => vec![int(value); axes],
    }
}

/// Pairs for each axis, where a number stands for all and a pair for the only axis.
fn pairs(value: &Value, axes: usize) -> Vec<[u32; 2]> {
    let pair = |value: &Value| <[usize; 2]>::try_from(for_each(value, 2)).expect("a pair").map(|n| n as u32);
    match value.as_array() {
        Some(values) if values[0].is_array() => values.iter().map(pair).collect(),
        _ => vec![pair(value); axes],
    }
}

impl Case {
    fn elements(shape: &[usize]) -> u64 {
        shape.iter().product::<usize>() as u64
    }

    fn is_first(&self) -> bool {
        self.config.get("data_format").is_some_and(|format| format == "channels_first")
    }

    /// Positions along the spatial axes, and channels.
    fn positions(&self) -> (Vec<usize>, usize) {
        let mut sizes = self.input_shapes[0].clone();
        let channels = sizes.remove(if self.is_first() { 0 } else { sizes.len() - 1 });
        (sizes, channels)
    }

    fn windows(&self) -> Windows {
        let (input, channels) = self.positions();
        let size = for_each(&self.config["pool_size"], input.len());
        let strides = self.config.get("strides").filter(|strides| !strides.is_null());
        let strides = strides.map_or(size.clone(), |strides| for_each(strides, input.len()));
        let same = self.config.get("padding").is_some_and(|padding| padding == "same");
        let padding = if same { Padding::SameUpper } else { Padding::Valid };
        let data_format = if self.is_first() { DataFormat::ChannelsFirst } else { DataFormat::ChannelsLast };
        let (input, size, strides, padding) = (&input, &size, &strides, &padding);
        Windows::new(&Pooled { input, size, strides, padding, channels, data_format }).expect("windows")
    }

    fn along(&self) -> Along {
        let (positions, channels) = self.positions();
        let (length, channels) = (Self::elements(&positions), channels as u64);
        if self.is_first() {
            Along { outer: channels, length, inner: 1 }
        } else {
            Along { outer: 1, length, inner: channels }
        }
    }

    /// The axes of what is rearranged, spatial ones made by `map` of their size, number and place.
    fn axes(&self, map: impl Fn(u32, usize, usize) -> AxisMap) -> Vec<AxisMap> {
        let shape = &self.input_shapes[0];
        let channels = if self.is_first() { 0 } else { shape.len() - 1 };
        let first = usize::from(self.is_first());
        let axis = |(&size, of): (&usize, usize)| {
            if of == channels { AxisMap::whole(size as u32, of) } else { map(size as u32, of - first, of) }
        };
        shape.iter().zip(0..).map(axis).collect()
    }

    fn rearranged(&self) -> Option<Vec<AxisMap>> {
        let shape = &self.input_shapes[0];
        let spatial = shape.len() - 1;
        Some(match self.class.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'D') {
            "ZeroPadding" => {
                let pads = pairs(&self.config["padding"], spatial);
                self.axes(|size, axis, of| AxisMap::padded(size, pads[axis][0], pads[axis][1], of))
            }
            "Cropping" => {
                let crops = pairs(&self.config["cropping"], spatial);
                self.axes(|size, axis, of| {
                    AxisMap::cropped(size, crops[axis][0], size - crops[axis][0] - crops[axis][1], of)
                })
            }
            "UpSampling" => {
                let times = for_each(&self.config["size"], spatial);
                self.axes(|size, axis, of| AxisMap::repeated(size, times[axis] as u32, of))
            }
            "Permute" => {
                let dims = for_each(&self.config["dims"], shape.len());
                dims.into_iter().map(|dim| AxisMap::whole(shape[dim - 1] as u32, dim - 1)).collect()
            }
            "RepeatVector" => {
                let times = int(&self.config["n"]) as u32;
                vec![AxisMap::repeated(1, times, 0), AxisMap::whole(shape[0] as u32, 1)]
            }
            _ => return None,
        })
    }

    fn joined(&self, inputs: &[BufferId], output: BufferId) -> Concatenate {
        let axis = self.config["axis"].as_i64().expect("a number");
        // Keras counts the batch among the axes, but not from the end.
        let rank = self.output_shape.len();
        let axis = if axis < 0 { (rank as i64 + axis) as usize } else { axis as usize - 1 };
        let inputs = inputs.iter().zip(&self.input_shapes);
        let inputs = inputs.map(|(&input, shape)| Columns { input, columns: Self::elements(&shape[axis..]) });
        Concatenate { rows: Self::elements(&self.output_shape[..axis]), inputs: inputs.collect(), output }
    }

    /// Forward and backward in one program: `x0`, `x1`, …, `dy` to `y` and `dx0`, `dx1`, ….
    fn program(&self) -> Program {
        let mut program = Program::default();
        let mut add =
            |name: String, usage, shape: &[usize]| program.add(name, usage, Shape::Samples(Self::elements(shape)));
        let inputs = self.input_shapes.iter().zip(0..);
        let inputs: Vec<_> = inputs.clone().map(|(shape, at)| add(format!("x{at}"), Usage::Input, shape)).collect();
        let grads = self.input_shapes.iter().zip(0..);
        let grads: Vec<_> = grads.map(|(shape, at)| add(format!("dx{at}"), Usage::Output, shape)).collect();
        let output = add("y".into(), Usage::Output, &self.output_shape);
        let grad_output = add("dy".into(), Usage::Input, &self.output_shape);
        let (input, grad_input) = (inputs[0], grads[0]);
        let kind = if self.class.contains("Max") { PoolKind::Max } else { PoolKind::Average };
        let saved = (kind == PoolKind::Max).then_some(input);
        program.operations = if let Some(axes) = self.rearranged() {
            let grad = RearrangeGrad { axes: axes.clone(), grad_output, grad_input };
            vec![Operation::Rearrange(Rearrange { axes, input, output }), Operation::RearrangeGrad(grad)]
        } else if self.class == "Concatenate" {
            let joined = self.joined(&inputs, output);
            let grad = |(&output, at): (&BufferId, usize)| {
                let axes = joined.grad_axes(at).expect("an input");
                Operation::Rearrange(Rearrange { axes, input: grad_output, output })
            };
            let grads: Vec<_> = grads.iter().zip(0..).map(grad).collect();
            [Operation::Concatenate(joined)].into_iter().chain(grads).collect()
        } else if self.class.starts_with("Global") {
            let along = self.along();
            let grad = ReduceGrad { kind, along, input: saved, grad_output, grad_input };
            vec![Operation::Reduce(Reduce { kind, along, input, output }), Operation::ReduceGrad(grad)]
        } else {
            let windows = self.windows();
            let ties = Ties::of_keras(windows.axes.len());
            let grad = PoolGrad { kind, ties, windows: windows.clone(), input: saved, grad_output, grad_input };
            vec![Operation::Pool(Pool { kind, windows, input, output }), Operation::PoolGrad(grad)]
        };
        program
    }
}

/// Whether all are as Keras has them: what is no number is none, infinities are the same ones, others are near.
fn assert_as_keras(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let finite = |values: &[f32]| {
        let of = values.iter().zip(expected).filter(|(_, expected)| expected.is_finite());
        of.map(|(value, _)| f64::from(*value)).collect::<Vec<_>>()
    };
    for (found, expected) in found.iter().zip(expected).filter(|(_, expected)| !expected.is_finite()) {
        assert!(found == expected || found.is_nan() && expected.is_nan(), "{what}: {found}, not {expected}");
    }
    let (found, expected): (Vec<f32>, _) = (finite(found).iter().map(|&v| v as f32).collect(), finite(expected));
    if let Some(worst) = disagreement(&found, &expected, TOLERANCE * largest(&expected).max(f64::MIN_POSITIVE)) {
        panic!("{what}: {worst}");
    }
}

#[test]
fn layers_are_keras_s() {
    let path = root().join("tests/data/keras_pool_and_rearrange.json");
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).expect("the file")).expect("cases");
    let classes: BTreeSet<&str> = cases.iter().map(|case| &*case.class).collect();
    assert_eq!((cases.len(), classes.len()), (136, 24), "{classes:?}");
    for case in &cases {
        let program = case.program();
        let mut given = Arrays::from([("dy".to_owned(), numbers(&case.dy))]);
        given.extend(case.x.iter().zip(0..).map(|(x, at)| (format!("x{at}"), numbers(x))));
        let mut expected = Arrays::from([("y".to_owned(), numbers(&case.y))]);
        expected.extend(case.dx.iter().zip(0..).map(|(dx, at)| (format!("dx{at}"), numbers(dx))));
        let exact = given.iter().map(|(name, values)| (name.clone(), values.iter().map(|&v| v.into()).collect()));
        let by_reference = reference::run(&program, BATCH, &exact.collect()).expect("it runs");
        let mut runs = everywhere(&program, BATCH, &given);
        let narrow = by_reference.into_iter().map(|(name, v)| (name, v.iter().map(|&v| v as f32).collect()));
        runs.push(("the reference".to_owned(), narrow.collect()));
        for (by, found) in runs {
            for (name, expected) in &expected {
                assert_as_keras(&format!("{name} of {} by {by}", case.name), &found[name], expected);
            }
        }
    }
}

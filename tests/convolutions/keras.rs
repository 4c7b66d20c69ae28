//! Real Keras's convolutions, depthwise and separable ones and dense layers (`tests/fixtures/make_conv_fixtures.py`), bit for
//! bit: every number is a dyadic rational, so any order of summation in f32 gives the same bits.

use crate::common::{Arrays, Dyadic, ProgramRun, profile, runs};
use locally_connected::model::{Graph, Layer, Local, Sequential, Wanted, names};
use locally_connected::{
    Activation, Bias, Config, DataFormat, Geometry, Implementation, Padding, SharedLayout, reference,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixtures {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    class: String,
    config: Arguments,
    in_shape: Vec<usize>,
    out_shape: Vec<usize>,
    kernel_shapes: Vec<Vec<usize>>,
    y_x128: Vec<f32>,
    dx_x128: Vec<f32>,
    dw_x64: Vec<Vec<f32>>,
    db_x8: Vec<f32>,
    /// What all scales but the bias gradient's are multiplied by.
    #[serde(default = "one")]
    more: f32,
}

fn one() -> f32 {
    1.0
}

/// Those of Keras's arguments that the class has.
#[derive(Deserialize, Clone)]
#[serde(default)]
struct Arguments {
    filters: Option<usize>,
    kernel_size: Vec<usize>,
    strides: Vec<usize>,
    padding: String,
    data_format: String,
    dilation_rate: Vec<usize>,
    groups: usize,
    depth_multiplier: usize,
    units: usize,
    use_bias: bool,
    activation: String,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            filters: None,
            kernel_size: Vec::new(),
            strides: Vec::new(),
            padding: "valid".into(),
            data_format: "channels_last".into(),
            dilation_rate: Vec::new(),
            groups: 1,
            depth_multiplier: 1,
            units: 0,
            use_bias: true,
            activation: "linear".into(),
        }
    }
}

impl Case {
    /// The layers, each with the layout of its kernel.
    fn layers(&self) -> Vec<(Geometry, SharedLayout)> {
        let a = &self.config;
        let shape = &self.in_shape[1..];
        let activation = Activation::from_keras_name(&a.activation).expect("a Keras activation");
        if self.class == "Dense" {
            let layer = Geometry::dense(a.units, shape, a.use_bias, activation).expect("a layer");
            return vec![(layer, SharedLayout::Dense)];
        }
        let first = a.data_format == "channels_first";
        let channels = shape[if first { 0 } else { shape.len() - 1 }];
        let padding = match a.padding.as_str() {
            "same" => Padding::SameUpper,
            "causal" => Padding::causal(a.kernel_size[0], a.dilation_rate[0]),
            _ => Padding::Valid,
        };
        let bias = if a.use_bias { Bias::PerFilter } else { Bias::None };
        let format = if first { DataFormat::ChannelsFirst } else { DataFormat::ChannelsLast };
        let config = |filters: usize| {
            let config = Config::new(filters, a.kernel_size.clone()).strides(a.strides.clone());
            let config = config.padding(padding.clone()).dilation_rate(a.dilation_rate.clone());
            config.data_format(format).bias(bias).activation(activation)
        };
        let convolution = |config: &Config, shape: &[usize]| Geometry::convolution(config, shape).expect("a layer");
        let depthwise = || config(channels * a.depth_multiplier).groups(channels);
        match (self.class.as_str(), a.filters) {
            ("SeparableConv1D" | "SeparableConv2D", Some(filters)) => {
                let each = depthwise().bias(Bias::None).activation(Activation::Linear);
                let each = convolution(&each, shape);
                let all = Config::new(filters, vec![1; a.kernel_size.len()]).data_format(format).bias(bias);
                let all = convolution(&all.activation(activation), &each.output_shape());
                vec![(each, SharedLayout::Depthwise), (all, SharedLayout::Convolution)]
            }
            ("DepthwiseConv1D" | "DepthwiseConv2D", None) => {
                vec![(convolution(&depthwise(), shape), SharedLayout::Depthwise)]
            }
            ("Conv1D" | "Conv2D" | "Conv3D", Some(filters)) => {
                let config = config(filters).groups(a.groups);
                vec![(convolution(&config, shape), SharedLayout::Convolution)]
            }
            (class, filters) => panic!("{class} of {filters:?}"),
        }
    }
}

fn cases() -> Vec<Case> {
    let fixtures: Fixtures =
        serde_json::from_str(include_str!("../data/keras_convolutions.json")).expect("what the script writes");
    assert!(fixtures.cases.len() > 40);
    fixtures.cases
}

/// A case as a program, with its operands and the results that Keras gave, by name.
struct Planned {
    graph: Graph,
    batch: u32,
    given: Arrays,
    expected: Arrays,
}

fn planned(case: &Case) -> Planned {
    let scaled = |values: &[f32], scale: f32| values.iter().map(|v| v / (scale * case.more)).collect::<Vec<_>>();
    let mut given: Arrays = [
        (names::INPUT.to_owned(), Dyadic { factor: 37, modulus: 19, centre: 9, scale: 8.0 }.values(&case.in_shape)),
        (
            names::GRAD_OUTPUT.to_owned(),
            Dyadic { factor: 41, modulus: 17, centre: 8, scale: 8.0 }.values(&case.out_shape),
        ),
    ]
    .into();
    let mut expected: Arrays = [
        (names::OUTPUT.to_owned(), scaled(&case.y_x128, 128.0)),
        (names::GRAD_INPUT.to_owned(), scaled(&case.dx_x128, 128.0)),
    ]
    .into();
    let mut layers = Vec::new();
    assert_eq!(case.layers().len(), case.kernel_shapes.len());
    for (((geometry, layout), shape), number) in case.layers().into_iter().zip(&case.kernel_shapes).zip(0..) {
        assert_eq!(&layout.shape(&geometry), shape, "{}", case.class);
        let name = format!("layer_{number}");
        let canonical = |kernel: &[f32]| {
            let canonical = layout.to_canonical(&geometry, kernel).expect("Keras's shape");
            assert_eq!(layout.from_canonical(&geometry, &canonical).expect("canonical"), kernel);
            canonical
        };
        given.insert(
            names::parameter(&name, "kernel"),
            canonical(&Dyadic { factor: 53, modulus: 23, centre: 11, scale: 16.0 }.values(shape)),
        );
        expected.insert(names::gradient(&name, "kernel"), canonical(&scaled(&case.dw_x64[number], 64.0)));
        if let Some(shape) = geometry.bias_shape() {
            assert_eq!(shape.len(), 1);
            given.insert(
                names::parameter(&name, "bias"),
                Dyadic { factor: 29, modulus: 13, centre: 6, scale: 8.0 }.values(&shape),
            );
            expected.insert(names::gradient(&name, "bias"), case.db_x8.iter().map(|v| v / 8.0).collect());
        }
        layers.push((name, geometry));
    }
    // A dense layer's other axes are its locations.
    let graph = Sequential::new(layers.first().map(|(_, first)| first.input_shape()).unwrap_or_default());
    let add = |graph: Sequential, (name, layer): (String, Geometry)| {
        graph.add(Layer::new(Local::Geometry(layer.into())).named(name))
    };
    let graph = layers.into_iter().fold(graph, add).graph().expect("layers that follow one another");
    Planned { graph, batch: case.in_shape[0] as u32, given, expected }
}

#[test]
fn shapes_are_keras_s() {
    for case in cases() {
        let (last, _) = case.layers().pop().expect("a layer");
        let found: usize = last.output_shape().iter().product();
        let (others, units) = case.out_shape[1..].split_at(case.out_shape.len() - 2);
        match case.class.as_str() {
            "Dense" => assert_eq!(last.output_shape(), [others.iter().product(), units[0]]),
            _ => assert_eq!(last.output_shape(), case.out_shape[1..]),
        }
        assert_eq!(found, case.out_shape[1..].iter().product::<usize>());
    }
}

#[test]
fn reference_equals_keras_bit_for_bit() {
    for (case, index) in cases().iter().zip(0..) {
        let Planned { graph, batch, given, expected } = planned(case);
        let wide = |values: &Vec<f32>| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let given = given.iter().map(|(name, values)| (name.clone(), wide(values))).collect();
        let found = reference::run(&graph.backward(Wanted::All), batch, &given).expect("it runs");
        for (name, expected) in expected {
            let found: Vec<f32> = found[&name].iter().map(|&value| value as f32).collect();
            assert!(found == expected, "{name} of case {index}, {}: {found:?}, not {expected:?}", case.class);
        }
    }
}

/// By every form of the kernels.
#[test]
fn device_equals_keras_bit_for_bit() {
    for (case, index) in cases().iter().zip(0..) {
        let Planned { graph, batch, given, expected } = planned(case);
        let (geometry, _) = case.layers().swap_remove(0);
        for (_, profile) in runs(&[Implementation::Loop], &geometry, &profile()) {
            let program = graph.backward(Wanted::All);
            let found = ProgramRun::new(&program, batch, &given, &profile).expect("it is bound").run();
            for (name, expected) in &expected {
                let (found, strategy) = (&found[name], profile.strategy);
                assert!(found == expected, "{name} of case {index}, {}, {strategy:?}", case.class);
            }
        }
    }
}

#[cfg(feature = "cpu")]
#[test]
fn cpu_equals_keras_bit_for_bit() {
    for (case, index) in cases().iter().zip(0..) {
        let Planned { graph, batch, given, expected } = planned(case);
        for (by, executor) in crate::cpu::EXECUTORS.iter() {
            let found = crate::cpu::run(executor, &graph.backward(Wanted::All), batch, &given).expect("it runs");
            for (name, expected) in &expected {
                assert!(found[name] == *expected, "{name} of case {index}, {}, by {by}", case.class);
            }
        }
    }
}

//! The 50 cases that real Keras 2.15 computed (`tests/data/keras_goldens.json`), bit for bit: every number is a dyadic
//! rational, so any order of summation in f32 gives the same bits.

use crate::common::{Dyadic, GPU, RESULTS, context, profile, runs, writers};
use locally_connected::reference::{self, PassOperands};
use locally_connected::{
    Activation, Config, DataFormat, Geometry, Implementation, KerasLayout, LocallyConnected, Padding, Result,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    in_shape: Vec<usize>,
    kernel_size: Vec<usize>,
    strides: Vec<usize>,
    filters: usize,
    data_format: String,
    padding: String,
    implementation: i64,
    activation: String,
    kernel_shape: Vec<usize>,
    bias_shape: Vec<usize>,
    pub(crate) out_shape: Vec<usize>,
    y_x128: Vec<f32>,
    dx_x128: Vec<f32>,
    dw_x64: Vec<f32>,
    db_x8: Vec<f32>,
}

impl Case {
    pub(crate) fn geometry(&self) -> Geometry {
        let config = Config::new(self.filters, self.kernel_size.clone())
            .strides(self.strides.clone())
            .padding(if self.padding == "same" { Padding::Same } else { Padding::Valid })
            .data_format(match self.data_format.as_str() {
                "channels_first" => DataFormat::ChannelsFirst,
                _ => DataFormat::ChannelsLast,
            })
            .activation(Activation::from_keras_name(&self.activation).expect("a Keras activation"));
        Geometry::new(&config, &self.in_shape[1..]).expect("Keras built it")
    }

    pub(crate) fn layout(&self) -> KerasLayout {
        KerasLayout::from_keras(self.implementation).expect("1, 2 or 3")
    }

    pub(crate) fn input(&self) -> Vec<f32> {
        Dyadic { factor: 37, modulus: 19, centre: 9, scale: 8.0 }.values(&self.in_shape)
    }

    pub(crate) fn kernel(&self) -> Vec<f32> {
        Dyadic { factor: 53, modulus: 23, centre: 11, scale: 16.0 }.values(&self.kernel_shape)
    }

    pub(crate) fn bias(&self) -> Vec<f32> {
        Dyadic { factor: 29, modulus: 13, centre: 6, scale: 8.0 }.values(&self.bias_shape)
    }

    pub(crate) fn grad_output(&self) -> Vec<f32> {
        Dyadic { factor: 41, modulus: 17, centre: 8, scale: 8.0 }.values(&self.out_shape)
    }

    pub(crate) fn expected(&self) -> [Vec<f32>; 4] {
        let scaled = |values: &[f32], scale: f32| values.iter().map(|v| v / scale).collect();
        [
            scaled(&self.y_x128, 128.0),
            scaled(&self.dx_x128, 128.0),
            scaled(&self.dw_x64, 64.0),
            scaled(&self.db_x8, 8.0),
        ]
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let goldens: Goldens = serde_json::from_str(include_str!("data/keras_goldens.json")).expect("valid JSON");
    assert_eq!(goldens.cases.len(), 50);
    goldens.cases
}

#[test]
fn shapes_are_keras_s() {
    for case in cases() {
        let geometry = case.geometry();
        assert_eq!(case.layout().shape(&geometry), case.kernel_shape);
        assert_eq!(geometry.bias_shape(), Some(case.bias_shape.clone()));
        assert_eq!(geometry.output_shape(), case.out_shape[1..]);
    }
}

#[test]
fn reference_equals_keras_bit_for_bit() {
    for (case, index) in cases().iter().zip(0..) {
        let (geometry, layout) = (case.geometry(), case.layout());
        let kernel = layout.to_canonical(&geometry, &case.kernel()).expect("Keras's shape");
        let round = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
        let (x, dy) = (case.input(), case.grad_output());
        let passes = reference::passes(
            &geometry,
            PassOperands { input: &x, weights: &kernel, bias: &case.bias(), grad_output: &dy },
        )
        .expect("it runs");
        let dw = layout.from_canonical(&geometry, &round(&passes.grad_weights)).expect("canonical");
        let found = [round(&passes.output), round(&passes.grad_input), dw, round(&passes.grad_bias)];
        assert!(found == case.expected(), "case {index}");
    }
}

/// Every case in the layout that its file has, and, where the layer has weights of the others' layouts, through them.
#[test]
fn device_equals_keras_bit_for_bit() {
    for (case, index) in cases().iter().zip(0..) {
        let geometry = case.geometry();
        let own = case.layout();
        let canonical = own.to_canonical(&geometry, &case.kernel()).expect("Keras's shape");
        let layouts = [KerasLayout::Implementation1, KerasLayout::Implementation2, KerasLayout::Implementation3];
        for (implementation, profile) in runs(&Implementation::ALL, &geometry, &profile()) {
            let context = context(&profile);
            for layout in layouts.into_iter().filter(|layout| layout.check(&geometry).is_ok()) {
                let kernel = layout.from_canonical(&geometry, &canonical).expect("a layout of this layer");
                let config = geometry.config().clone().implementation(implementation);
                let found: Result<_> = pollster::block_on(async {
                    let layer = LocallyConnected::new(&context, &config, geometry.input_shape()).await?;
                    layer.write_weights(&kernel, layout).await?;
                    layer.write_bias(&case.bias()).await?;
                    let output = GPU.forward(&layer, &case.input()).await?;
                    let gradients = GPU.backward(&layer, &case.input(), &case.grad_output()).await?;
                    let dw = own.from_canonical(&geometry, &gradients.weights)?;
                    Ok([output, gradients.input, dw, gradients.bias])
                });
                let found = found.expect("the passes run");
                let geometry = geometry.with_implementation(implementation);
                for ((what, found), expected) in RESULTS.into_iter().zip(&found).zip(&case.expected()) {
                    let by = || writers(what, &geometry, case.out_shape[0] as u64, &profile);
                    assert!(found == expected, "{what} of case {index} as {layout:?} by {}, {profile:?}", by());
                }
            }
        }
    }
}

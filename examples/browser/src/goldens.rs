//! The 50 cases that real Keras 2.15 computed (`tests/data/keras_goldens.json`), whose sums are exact in any order, by every
//! implementation and form that there is.

use crate::host::{App, Gradients, Thrown};
use locally_connected::{
    Activation, Config, DataFormat, Form, Geometry, Implementation, KerasLayout, Padding, PlanOptions, Result,
};
use serde::Deserialize;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
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
    out_shape: Vec<usize>,
    y_x128: Vec<f32>,
    dx_x128: Vec<f32>,
    dw_x64: Vec<f32>,
    db_x8: Vec<f32>,
}

/// The ways to compute a layer, by name: a software adapter takes most of them only when asked.
const WAYS: [(Implementation, Option<Form>); 6] = [
    (Implementation::Loop, None),
    (Implementation::Loop, Some(Form::Register)),
    (Implementation::Loop, Some(Form::Split)),
    (Implementation::Loop, Some(Form::Tiled)),
    (Implementation::DenseMatmul, None),
    (Implementation::SparseGather, None),
];

impl Case {
    fn geometry(&self) -> Result<Geometry> {
        let config = Config::new(self.filters, self.kernel_size.clone())
            .strides(self.strides.clone())
            .padding(if self.padding == "same" { Padding::Same } else { Padding::Valid })
            .data_format(match self.data_format.as_str() {
                "channels_first" => DataFormat::ChannelsFirst,
                _ => DataFormat::ChannelsLast,
            })
            .activation(Activation::from_keras_name(&self.activation)?);
        Geometry::new(&config, &self.in_shape[1..])
    }

    /// What differs from Keras's numbers when the layer is computed in this way.
    async fn wrong(&self, app: &App, geometry: Geometry, form: Option<Form>) -> Result<Option<&'static str>> {
        let layout = KerasLayout::from_keras(self.implementation)?;
        let layer = app.layer(geometry, PlanOptions { form, ..PlanOptions::default() }).await?;
        layer.write_weights(&values(&self.kernel_shape, [53, 23, 11, 16]), layout).await?;
        layer.write_bias(&values(&self.bias_shape, [29, 13, 6, 8])).await?;
        let (x, dy) = (values(&self.in_shape, [37, 19, 9, 8]), values(&self.out_shape, [41, 17, 8, 8]));
        let y = app.forward(&layer, &x).await?;
        let Gradients { input, kernel, bias } = app.backward(&layer, layout, [&x, &y, &dy]).await?;
        layer.destroy();
        let compared = [
            ("the output", y, &self.y_x128, 128.0),
            ("the input's gradient", input, &self.dx_x128, 128.0),
            ("the kernel's gradient", kernel, &self.dw_x64, 64.0),
            ("the bias's gradient", bias, &self.db_x8, 8.0),
        ];
        let differs = |(_, found, expected, scale): &(_, Vec<f32>, &Vec<f32>, f32)| {
            !found.iter().copied().eq(expected.iter().map(|value| value / scale))
        };
        Ok(compared.into_iter().find(differs).map(|(what, ..)| what))
    }
}

#[wasm_bindgen]
impl App {
    /// Computes Keras's goldens, forward and backward, in every way, on the app's device: how many there were.
    ///
    /// # Errors
    /// Where one of them isn't Keras's to the bit.
    pub async fn goldens(&self, json: &str) -> Thrown<u32> {
        let Goldens { cases } = serde_json::from_str(json)?;
        let mut computed = 0;
        for (case, index) in cases.iter().zip(0..) {
            let geometry = case.geometry()?;
            for (implementation, form) in WAYS {
                let geometry = geometry.with_implementation(implementation);
                if let Some(what) = case.wrong(self, geometry, form).await? {
                    let way = format!("{} {form:?}", implementation.name());
                    return Err(JsError::new(&format!("{what} of case {index} by {way} isn't Keras's")));
                }
                computed += 1;
            }
        }
        Ok(computed)
    }
}

/// Keras's numbers: multiples of `1 / scale` around zero, `(factor · i mod modulus − centre) / scale`.
pub(crate) fn values(shape: &[usize], [factor, modulus, centre, scale]: [usize; 4]) -> Vec<f32> {
    let count = shape.iter().product::<usize>();
    (0..count).map(|i| ((factor * i % modulus) as f32 - centre as f32) / scale as f32).collect()
}

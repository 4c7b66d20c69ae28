//! Cases of other libraries' tests, with the values or shapes they state.

use super::geometry;
use crate::common::{GPU, Operands, Trial, check, context, profile};
use locally_connected::{Bias, Config, DataFormat, Geometry, Implementation, KerasLayout, Padding};

/// Output of small integers, exact in f32, by every implementation.
fn exactly(layer: &Geometry, [input, weights, bias]: [&[f32]; 3], expected: &[f32]) {
    for implementation in Implementation::ALL {
        let geometry = layer.with_implementation(implementation);
        let operands =
            Operands { input: input.into(), weights: weights.into(), bias: bias.into(), grad_output: Vec::new() };
        let output = pollster::block_on(async {
            GPU.forward(&operands.layer(&context(&profile()), &geometry).await?, input).await
        });
        assert_eq!(output.expect("it runs"), expected, "{implementation:?} of {:?}", layer.config());
    }
}

/// Cases of Flax and the SNN toolbox (docs/peers.md §1, §3), with the values they state.
#[test]
fn peers_values() {
    let ones = geometry(&Config::new(4, [3]), &[8, 2]);
    exactly(&ones, [&[1.0; 16], &[1.0; 6 * 6 * 4], &[1.0; 24]], &[7.0; 24]);

    let x = [1.0, 2.0, 3.0, 4.0, 5.0];
    let stride3 = Config::new(1, [3]).strides([3]).bias(Bias::None);
    exactly(&geometry(&stride3, &[5, 1]), [&x, &[-1.0, 2.0, 3.0], &[]], &[12.0]);
    let circular = geometry(&stride3.padding(Padding::Circular), &[5, 1]);
    exactly(&circular, [&x, &[-1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[]], &[3.0, 62.0]);
    // Taps three apart around the edges: location p sees x[p - 3], x[p], x[p + 3], with weights (p + 1)·(1, 2, 1).
    let dilated = Config::new(1, [3]).dilation_rate([3]).padding(Padding::Circular).bias(Bias::None);
    let kernel: Vec<f32> = [1.0, 2.0, 3.0, 4.0, 5.0].into_iter().flat_map(|p| [p, 2.0 * p, p]).collect();
    exactly(&geometry(&dilated, &[5, 1]), [&x, &kernel, &[]], &[9.0, 26.0, 36.0, 44.0, 75.0]);

    let snn = geometry(&Config::new(2, [3]).strides([3]).bias(Bias::None), &[6, 2]);
    let kernel: Vec<f32> = (1..=24).map(|w| w as f32).collect();
    assert!(KerasLayout::Implementation1.is_canonical(&snn));
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 0.0, 0.0];
    exactly(&snn, [&x, &kernel, &[]], &[161.0, 182.0, 554.0, 588.0]);
}

/// Theano's TestUnsharedConv (docs/peers.md §2): borders `valid` and `full`, strides, groups; `full` pads by the kernel less
/// one on either side.
#[test]
fn theano_s_shapes() {
    for (batch, channels, input, filters, output, kernel, full, strides, groups) in [
        (2, 2, [4, 4], 2, [2, 2], [3, 3], false, [1, 1], 1),
        (3, 2, [4, 2], 2, [4, 2], [4, 2], true, [2, 2], 1),
        (3, 3, [5, 3], 3, [2, 1], [3, 3], false, [2, 1], 3),
        (3, 4, [4, 4], 4, [3, 3], [4, 2], true, [3, 2], 2),
    ] {
        let padding =
            if full { Padding::Explicit(kernel.iter().map(|k| [k - 1, k - 1]).collect()) } else { Padding::Valid };
        let config = Config::new(filters, kernel)
            .strides(strides)
            .groups(groups)
            .padding(padding)
            .data_format(DataFormat::ChannelsFirst);
        let layer = geometry(&config, &[channels, input[0], input[1]]);
        assert_eq!(layer.output_shape(), [filters, output[0], output[1]]);
        check(Trial { geometry: &layer, batch, seed: 6 }, &profile());
    }
}

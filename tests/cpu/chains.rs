//! Layers one after another, with transposes, activations and softmax between them, forward and backward.

use super::{EXECUTORS, run};
use crate::common::{GRADIENT, assert_near, random};
use locally_connected::model::{Chain, Kind, Layer, Wanted, names};
use locally_connected::reference::{self, Values};
use locally_connected::{Activation, Bias, Config, DataFormat, Geometry, Padding, WeightType};
use std::collections::BTreeMap;

fn local(name: &str, config: Config, input_shape: &[usize], trainable: bool) -> Layer {
    let geometry = Geometry::new(&config, input_shape).expect("a layer").into();
    Layer { name: name.into(), kind: Kind::Local { geometry, trainable } }
}

fn chains() -> Vec<Chain> {
    let activation =
        |name: &str, activation, row| Layer { name: name.into(), kind: Kind::Activation { activation, row } };
    let transpose = |name: &str, rows, columns| Layer { name: name.into(), kind: Kind::Transpose { rows, columns } };
    let first = DataFormat::ChannelsFirst;
    vec![
        Chain {
            inputs: 9 * 8 * 3,
            layers: vec![
                local("a", Config::new(5, [3, 3]).activation(Activation::Swish), &[9, 8, 3], true),
                transpose("flip", 42, 5),
                local("b", Config::new(4, [2, 2]).data_format(first).activation(Activation::Softmax), &[5, 7, 6], true),
                activation("act", Activation::Gelu { approximate: false }, 5),
                local("c", Config::new(7, [2, 3]).data_format(first).padding(Padding::Same), &[4, 6, 5], false),
                activation("rows", Activation::LogSoftmax, 5),
                local("d", Config::new(10, [210]).bias(Bias::None).dtype(WeightType::F16), &[210, 1], true),
                activation("softmax", Activation::Softmax, 10),
            ],
        },
        Chain { inputs: 6, layers: vec![] },
        Chain { inputs: 6, layers: vec![transpose("t", 2, 3), activation("linear", Activation::Linear, 1)] },
        Chain {
            inputs: 400,
            layers: vec![
                local("a", Config::new(1, [3]).activation(Activation::Tanh), &[400, 1], true),
                local("b", Config::new(1, [2]).strides([2]).activation(Activation::Mish), &[398, 1], true),
            ],
        },
    ]
}

#[test]
fn chains_equal_the_reference() {
    for chain in chains() {
        for (program, batch) in [
            (chain.forward(), 3),
            (chain.backward(Wanted::All), 1),
            (chain.backward(Wanted::All), 6),
            (chain.backward(Wanted::Parameters), 5),
            (chain.backward(Wanted::All), 0),
            (chain.backward(Wanted::All).accumulating(), 4),
            (chain.backward(Wanted::All).accumulating(), 0),
        ] {
            let needed = program.buffers.iter().zip(program.given()).zip(7..).filter(|((_, given), _)| *given);
            let given: BTreeMap<String, Vec<f32>> = needed
                .map(|((buffer, _), seed)| {
                    let mut values = random(seed, buffer.shape.elements(batch));
                    if buffer.name == "d/weights" {
                        values.iter_mut().for_each(|v| *v = half::f16::from_f32(*v).to_f32());
                    }
                    (buffer.name.clone(), values)
                })
                .collect();
            let wide: Values =
                given.iter().map(|(name, v)| (name.clone(), v.iter().map(|&v| v.into()).collect())).collect();
            let expected = reference::run(&program, batch, &wide).expect("it runs");
            for (name, executor) in EXECUTORS.iter() {
                let written = run(executor, &program, batch, &given).expect("it runs");
                assert!(written.contains_key(names::OUTPUT));
                for (buffer, found) in &written {
                    assert_near(
                        format_args!("{buffer} by {name} for batch {batch}"),
                        found,
                        &expected[buffer],
                        GRADIENT,
                    );
                }
            }
        }
    }
}

//! Layers one after another, with transposes, activations and softmax between them, forward and backward.

use super::{EXECUTORS, run};
use crate::common::{GRADIENT, assert_near, random};
use locally_connected::model::{Flatten, Graph, Layer, Reshape, Sequential, Wanted, names};
use locally_connected::reference::{self, Values};
use locally_connected::{Activation, Bias, Config, DataFormat, Padding, WeightType};
use std::collections::BTreeMap;

fn graphs() -> Vec<Graph> {
    let first = DataFormat::ChannelsFirst;
    let flip = || Flatten { data_format: first };
    let graph = |layers: Sequential| layers.graph().expect("layers");
    vec![
        graph(
            Sequential::new([9, 8, 3])
                .add(Config::new(5, [3, 3]).activation(Activation::Swish))
                .add(Reshape(vec![42, 5]))
                .add(flip())
                .add(Reshape(vec![5, 7, 6]))
                .add(Config::new(4, [2, 2]).data_format(first).activation(Activation::Softmax))
                .add(Activation::Gelu { approximate: false })
                .add(
                    Layer::new(Config::new(7, [2, 3]).data_format(first).padding(Padding::Same))
                        .named("c")
                        .trainable(false),
                )
                .add(Activation::LogSoftmax)
                .add(Reshape(vec![210, 1]))
                .add(Layer::new(Config::new(10, [210]).bias(Bias::None).dtype(WeightType::F16)).named("d"))
                .add(Activation::Softmax),
        ),
        graph(Sequential::new([6])),
        graph(Sequential::new([2, 3]).add(flip()).add(Activation::Linear)),
        graph(
            Sequential::new([400, 1])
                .add(Config::new(1, [3]).activation(Activation::Tanh))
                .add(Config::new(1, [2]).strides([2]).activation(Activation::Mish)),
        ),
    ]
}

#[test]
fn chains_equal_the_reference() {
    for graph in graphs() {
        for (program, batch) in [
            (graph.forward(), 3),
            (graph.backward(Wanted::All), 1),
            (graph.backward(Wanted::All), 6),
            (graph.backward(Wanted::Parameters), 5),
            (graph.backward(Wanted::All), 0),
            (graph.backward(Wanted::All).accumulating(), 4),
            (graph.backward(Wanted::All).accumulating(), 0),
        ] {
            let needed = program.buffers.iter().zip(program.given()).zip(7..).filter(|((_, given), _)| *given);
            let given: BTreeMap<String, Vec<f32>> = needed
                .map(|((buffer, _), seed)| {
                    let mut values = random(seed, buffer.shape.elements(batch));
                    if buffer.name == "d/kernel" {
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

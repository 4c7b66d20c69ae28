//! Graphs of layers: what the builder refuses, shared layers, several inputs on a host's own device, memory known before.

use crate::common::{GPU, GRADIENT, assert_near, on_every_executor, random};
use locally_connected::config::{Axes, Constraint, OrthogonalMode, Regularizer};
use locally_connected::gpu::Bindings;
use locally_connected::model::{
    BatchNormalization, Concatenate, Convolution, Dense, Depthwise, Flatten, GlobalPooling, Graph, GroupNormalization,
    Layer, LayerNormalization, MOST_AXES, Merge, Model, Move, Node, NoiseLayer, PRelu, Pooling, Reshape, Separable,
    Sequential, Softmax, Wanted, names,
};
use locally_connected::ops::{PoolKind, RandomKind, Usage};
use locally_connected::program::Program;
use locally_connected::reference::{self, Values};
use locally_connected::{Activation, Bias, Config, DataFormat, Error, Implementation, KerasLayout, Padding};
use std::collections::BTreeMap;

/// Two inputs, one of them through a layer that both share, branches that join, and two outputs.
fn graph() -> Graph {
    let mut graph = Graph::new();
    let mut build = || -> Result<(), Error> {
        let a = graph.named_input("a", [6, 5, 2])?;
        let b = graph.named_input("b", [6, 5, 2])?;
        let config = Config::new(3, [3, 2]).bias(Bias::PerFilter).activation(Activation::Swish);
        let left = graph.add(Layer::new(Convolution(config)).named("conv"), &[a])?;
        let right = graph.call(left, &[b])?;
        let twice = graph.call(left, &[b])?;
        let local = Layer::new(Config::new(3, [1, 1]).activation(Activation::Tanh)).named("local");
        let local = graph.add(local, &[right])?;
        let sum = graph.add(Merge::Add, &[left, local, twice])?;
        let joined = graph.add(Concatenate { axis: 2 }, &[sum, left])?;
        let pooled = graph.add(Pooling::new(PoolKind::Average, [2, 2]), &[joined])?;
        let flat = graph.add(Flatten::default(), &[pooled])?;
        let head = graph.add(Layer::new(Dense::new(4).activation(Activation::Softmax)).named("head"), &[flat])?;
        graph.named_output("classes", head);
        graph.named_output("map", sum);
        Ok(())
    };
    build().expect("layers");
    graph
}

/// Parameters, inputs and gradients of the outputs, by the buffers' names.
fn values(graph: &Graph, batch: u32) -> BTreeMap<String, Vec<f32>> {
    let program = graph.backward(Wanted::All);
    let given = program.buffers.iter().zip(program.given()).zip(3..).filter(|((_, given), _)| *given);
    given.map(|((buffer, _), seed)| (buffer.name.clone(), random(seed, buffer.shape.elements(batch)))).collect()
}

fn wide(values: &BTreeMap<String, Vec<f32>>) -> Values {
    values.iter().map(|(name, v)| (name.clone(), v.iter().map(|&v| v.into()).collect())).collect()
}

fn model(graph: Graph, values: &BTreeMap<String, Vec<f32>>) -> Model {
    let parameters = graph
        .layers()
        .iter()
        .flat_map(|layer| layer.parameters().iter().map(|parameter| names::parameter(layer.name(), parameter.name)));
    let parameters = parameters.map(|name| (name.clone(), values[&name].clone())).collect();
    Model { graph, parameters }
}

/// One layer of each kind that [`graph`] has none of, with all that can be said of one.
fn other_kinds() -> Result<Graph, Error> {
    let mut graph = Graph::new();
    let input = graph.named_input("input", [8, 8, 4])?;
    let config =
        Config::new(4, [3, 3]).padding(Padding::Same).kernel_regularizer(Regularizer::L1L2 { l1: 0.0, l2: 0.5 });
    let local = Layer::new(config.clone()).named("local").stored_in(KerasLayout::Implementation2).trainable(false);
    let local = local.constraint("bias", Constraint::MaxNorm { max_value: 2.0, axis: Axes::One(0) });
    let local = graph.add(
        local.activity_regularizer(Regularizer::Orthogonal { factor: 0.25, mode: OrthogonalMode::Rows }),
        &[input],
    )?;
    let depthwise = graph.add(Depthwise(Config::new(2, [3, 3]).bias(Bias::None)), &[local])?;
    let separable =
        Separable { depthwise: Config::new(1, [3, 3]), filters: 4, bias: true, activation: Activation::Tanh };
    let separable = graph.add(separable, &[depthwise])?;
    let given = Layer::new(Dense::new(2)).named("given").weights(vec![vec![0.5; 8], vec![0.0; 2]]);
    let mut last = graph.add(given, &[separable])?;
    let mut noise = NoiseLayer::new(RandomKind::Dropout { rate: 0.5 });
    (noise.seed, noise.shared_axes) = (Some(7), vec![0]);
    let layers: [Layer; 9] = [
        BatchNormalization { axis: 2, epsilon: 0.001, momentum: 0.99, center: true, scale: false }.into(),
        LayerNormalization { axes: vec![2], epsilon: 0.001, center: false, scale: true }.into(),
        GroupNormalization { groups: 2, axis: 2, epsilon: 0.001, center: true, scale: true }.into(),
        noise.into(),
        PRelu { shared_axes: vec![0, 1] }.into(),
        Softmax { axes: vec![0, 2] }.into(),
        Move::Pad(vec![[1, 0], [0, 2]], DataFormat::ChannelsLast).into(),
        Reshape(vec![30, 2]).into(),
        GlobalPooling { kind: PoolKind::Max, data_format: DataFormat::ChannelsFirst, keep_dims: false }.into(),
    ];
    for layer in layers {
        last = graph.add(layer, &[last])?;
    }
    graph.output(last);
    Ok(graph)
}

/// Also what executes its windows, and which layer is called again.
#[test]
fn graphs_are_read_as_they_were_written() {
    for written in
        [graph(), graph().with_implementation(Implementation::Loop), other_kinds().expect("layers"), Graph::new()]
    {
        let json = serde_json::to_value(&written).expect("JSON");
        assert_eq!(serde_json::from_value::<Graph>(json.clone()).expect("a graph"), written);
        let Some(first) = json["layers"].get(0) else { continue };
        let mut without = json.clone();
        without["layers"] = serde_json::Value::Array(vec![first.clone()]);
        let error = serde_json::from_value::<Graph>(without).expect_err("layers are missing").to_string();
        assert!(error.contains("a layer is needed here"), "{error}");
    }
}

/// A whole model is asked for an implementation that its convolutions and dense layers haven't: they run by the loop variant.
#[test]
fn an_implementation_is_asked_of_what_has_it() {
    let config = Config::new(3, [3, 2]).activation(Activation::Tanh);
    let sequential = Sequential::new([6, 5, 2]).add(config).add(Flatten::default()).add(Dense::new(4));
    let graph = sequential.graph().expect("layers");
    let (values, batch) = (values(&graph, 3), 3);
    let expected = &reference::run(&graph.forward(), batch, &wide(&values)).expect("it runs")[names::OUTPUT];
    for (implementation, kernel) in [
        (Implementation::Loop, "loop_"),
        (Implementation::DenseMatmul, "dense_"),
        (Implementation::SparseGather, "sparse_"),
    ] {
        let model = model(graph.clone().with_implementation(implementation), &values);
        pollster::block_on(async {
            let loaded = model.upload(GPU.context()).await.expect("each layer by what it has");
            let (input, output) = (GPU.upload(&values[names::INPUT]), GPU.empty(3 * 4));
            let bound = loaded.bind_forward(batch, &input, &output).await.expect("a plan");
            let kernels: Vec<_> = bound.plan().dispatches().map(|dispatch| dispatch.variant.info().name).collect();
            assert!(kernels.iter().any(|name| name.starts_with(kernel)), "{implementation:?}: {kernels:?}");
            assert!(kernels.last().is_some_and(|last| last.starts_with("loop_")), "{implementation:?}: {kernels:?}");
            GPU.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&Default::default())));
            let found = GPU.read(&output, 3 * 4).await.expect("the device is there");
            assert_near(format!("by {implementation:?}"), &found, expected, GRADIENT);
        });
    }
}

/// Keras's merging layers take one value as well, which they pass on: all but Subtract.
#[test]
fn one_value_merged_is_that_value() {
    for merge in [Merge::Add, Merge::Multiply, Merge::Average, Merge::Maximum, Merge::Minimum] {
        let mut graph = Graph::new();
        let x = graph.input([3]).expect("an input");
        let same = graph.add(merge, &[x]).expect("one is enough");
        let y = graph.add(Activation::Tanh, &[same]).expect("a layer");
        graph.output(same);
        graph.output(y);
        assert!(graph.add(merge, &[]).is_err(), "{merge:?} of nothing");
        let program = graph.backward(Wanted::All);
        assert_eq!(program.check(), Ok(()));
        let values = values(&graph, 2);
        let (input, ends) = (&values["input"], graph.outputs());
        let [dsame, dy] = [0, 1].map(|at: usize| &values[&graph.output_buffer(names::GRAD_OUTPUT, ends[at].name)]);
        let slope = |x: f32| 1.0 - f64::from(x).tanh().powi(2);
        let grads = input.iter().zip(dsame).zip(dy).map(|((&x, &a), &b)| f64::from(a) + f64::from(b) * slope(x));
        let grads: Vec<f64> = grads.collect();
        for (by, written) in on_every_executor(&program, 2, &values) {
            assert_eq!(written[&graph.output_buffer(names::OUTPUT, ends[0].name)], *input, "{merge:?} by {by}");
            assert_near(format!("{merge:?}'s gradient by {by}"), &written["grad_input"], &grads, GRADIENT);
        }
    }
}

/// A value of another graph is none of this one's, also where it has more of them.
#[test]
fn an_output_of_another_graph_is_refused() {
    let (mut graph, mut larger) = (Graph::new(), Graph::new());
    let x = graph.input([3]).expect("an input");
    let far = (0..5).map(|_| larger.input([3]).expect("an input")).last().expect("several");
    graph.output(x);
    graph.output(far);
    let refused = Error::Missing { what: "a value", why: "one that is an output is of another graph" };
    assert_eq!(graph.check(), Err(refused.clone()));
    assert_eq!(Model { graph: graph.clone(), parameters: BTreeMap::new() }.check(), Err(refused));
    // Its programs are without it.
    for program in [graph.forward(), graph.backward(Wanted::All)] {
        assert_eq!(program.check(), Ok(()));
        assert_eq!(program.used_as(Usage::Output).filter(|buffer| buffer.name.starts_with("output")).count(), 1);
    }
}

/// A graph of two inputs on the host's own device, bound once and recorded into its pass.
#[test]
fn two_inputs_are_recorded_into_the_host_s_pass() {
    let (graph, batch) = (graph(), 3);
    let values = values(&graph, batch);
    let expected = reference::run(&graph.backward(Wanted::All), batch, &wide(&values)).expect("it runs");
    let model = model(graph, &values);
    assert_eq!(model.check(), Ok(()));
    pollster::block_on(async {
        let loaded = model.upload(GPU.context()).await.expect("its weights");
        let mut bindings = Bindings::default();
        let inputs: Vec<_> =
            model.graph.inputs().iter().map(|end| model.graph.input_buffer(names::INPUT, end.name)).collect();
        assert_eq!(inputs, ["input/a", "input/b"]);
        let buffers: Vec<_> = inputs.iter().map(|name| (name, GPU.upload(&values[name]))).collect();
        let outputs: Vec<_> = model
            .graph
            .outputs()
            .iter()
            .map(|end| {
                let name = model.graph.output_buffer(names::OUTPUT, end.name);
                (name, GPU.empty(end.elements() * u64::from(batch)))
            })
            .collect();
        for (name, buffer) in buffers.iter().map(|(name, buffer)| (name.as_str(), buffer)) {
            bindings = bindings.with(name, buffer);
        }
        for (name, buffer) in &outputs {
            bindings = bindings.with(name, buffer);
        }
        let bound = loaded.bind_forward_named(batch, &bindings).await.expect("bound");
        GPU.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&Default::default())));
        for (name, buffer) in &outputs {
            let found = GPU.read(buffer, buffer.size() / 4).await.expect("the device is there");
            assert_near(name, &found, &expected[name], GRADIENT);
        }
        // One array is not enough of two.
        let refused = GPU.run(&loaded, &[0.0; 60]).await.expect_err("two inputs").to_string();
        assert!(refused.contains("inputs a, b") && refused.contains("classes, map"), "{refused}");
    });
}

/// The gradient of a layer that is called three times is the sum over its calls.
#[test]
fn shared_layers_gather_their_gradients() {
    let (graph, batch) = (graph(), 2);
    let program = graph.backward(Wanted::All);
    assert_eq!(program.check(), Ok(()));
    let values = values(&graph, batch);
    let expected = reference::run(&program, batch, &wide(&values)).expect("it runs");
    // The loss a little further along each of some parameters.
    let loss = |values: &Values| {
        let written = reference::run(&graph.forward(), batch, values).expect("it runs");
        graph.outputs().iter().fold(0.0, |loss, end| {
            let dy = &values[&graph.output_buffer(names::GRAD_OUTPUT, end.name)];
            let y = &written[&graph.output_buffer(names::OUTPUT, end.name)];
            loss + y.iter().zip(dy).map(|(y, dy)| y * dy).sum::<f64>()
        })
    };
    for (name, gradient) in [
        (names::parameter("conv", "kernel"), names::gradient("conv", "kernel")),
        (names::parameter("conv", "bias"), names::gradient("conv", "bias")),
        (names::parameter("local", "kernel"), names::gradient("local", "kernel")),
        (names::parameter("head", "bias"), names::gradient("head", "bias")),
        ("input/b".to_owned(), "grad_input/b".to_owned()),
    ] {
        let gradient = &expected[&gradient];
        for at in [0, gradient.len() / 2, gradient.len() - 1] {
            let moved = |by: f64| {
                let mut values = wide(&values);
                values.get_mut(&name).expect("it is there")[at] += by;
                loss(&values)
            };
            let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
            assert!(
                (slope - gradient[at]).abs() < 1e-5 * slope.abs().max(1.0),
                "{name}[{at}]: {slope} {}",
                gradient[at]
            );
        }
    }
    // Gradients of pieces of a batch are added to those of all calls.
    let adding = program.clone().accumulating();
    assert_eq!(
        adding.given().iter().filter(|given| **given).count(),
        program.given().iter().filter(|g| **g).count() + 6
    );
}

/// An activation alone behind a layer is computed with it where nothing else reads what is before: the same bits, a pass less.
#[test]
fn activations_are_computed_with_what_gives_them() {
    let (mut graph, batch) = (Graph::new(), 3);
    let mut build = || -> Result<(), Error> {
        let x = graph.input([7, 6, 2])?;
        let convolved = graph.add(Convolution(Config::new(4, [3, 2])), &[x])?;
        let normalisation = BatchNormalization { axis: 2, epsilon: 1e-3, momentum: 0.99, center: true, scale: true };
        let normal = graph.add(normalisation, &[convolved])?;
        let first = graph.add(Activation::RELU, &[normal])?;
        let local = graph.add(Config::new(5, [2, 2]), &[first])?;
        let second = graph.add(Activation::Swish, &[local])?;
        // Read twice, once through a layer that hands it on.
        let twice = graph.add(Config::new(3, [1, 1]), &[second])?;
        let third = graph.add(Activation::Tanh, &[twice])?;
        let same = graph.add(Reshape(graph.shape(twice).to_vec()), &[twice])?;
        let joined = graph.add(Merge::Add, &[third, same])?;
        let flat = graph.add(Flatten::default(), &[joined])?;
        let classes = graph.add(Dense::new(4), &[flat])?;
        let probabilities = graph.add(Activation::Softmax, &[classes])?;
        // Activated, and an output before it.
        let seen = graph.add(Dense::new(2), &[flat])?;
        let unseen = graph.add(Activation::Elu { alpha: 1.0 }, &[seen])?;
        [probabilities, seen, unseen].into_iter().for_each(|node| graph.output(node));
        Ok(())
    };
    build().expect("layers");
    let (forward, backward) = (graph.forward(), graph.backward(Wanted::All));
    let activating = |program: &Program| program.operations.iter().filter(|o| o.name() == "activate").count();
    // Behind the layer that is read twice, over rows, and behind an output.
    assert_eq!((activating(&forward), activating(&backward)), (3, 5));
    assert!(forward.scratch().pieces.len() <= backward.scratch().pieces.len());
    let mut given = values(&graph, batch);
    for (name, values) in &mut given {
        if name.ends_with("/moving_variance") {
            values.iter_mut().for_each(|value| *value = value.abs());
        }
    }
    let (together, apart) = (on_every_executor(&forward, batch, &given), on_every_executor(&backward, batch, &given));
    assert_eq!(together.len(), apart.len());
    for ((executor, together), (_, apart)) in together.iter().zip(&apart) {
        assert_eq!(together.len(), 3);
        for (name, values) in together {
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(values), bits(&apart[name]), "{executor}: {name}");
        }
    }
}

/// What nothing reads any more has its memory given on; what a backward pass reads keeps its own.
#[test]
fn values_are_freed_as_soon_as_nothing_needs_them() {
    let mut layers = Sequential::new([32, 32, 4]);
    for _ in 0..12 {
        layers =
            layers.add(Convolution(Config::new(4, [3, 3]).padding(Padding::SameUpper).activation(Activation::Tanh)));
    }
    let graph = layers.graph().expect("layers");
    let value = 4 * 32 * 32 * 4;
    let forward = graph.forward();
    // Two values beside the input and the output, however many layers there are.
    assert_eq!(forward.scratch().pieces.len(), 2);
    // A buffer of no samples isn't one of no bytes.
    assert_eq!(forward.bytes(2) - forward.bytes(1), 4 * value);
    let backward = graph.backward(Wanted::Parameters);
    let held = backward.bytes(2) - backward.bytes(1);
    assert!((13 * value..=17 * value).contains(&held), "{}", held / value);
}

/// What no output needs isn't computed, and what no trainable layer needs isn't derived.
#[test]
fn only_what_is_wanted_is_computed() {
    let mut graph = Graph::new();
    let x = graph.input([4, 3]).expect("an input");
    let first = graph.add(Layer::new(Dense::new(3)).named("frozen").trainable(false), &[x]).expect("a layer");
    let second = graph.add(Layer::new(Dense::new(2)).named("trained"), &[first]).expect("a layer");
    let aside = graph.add(Layer::new(Dense::new(9)).named("aside"), &[second]).expect("a layer");
    graph.output(second);
    let (forward, backward) = (graph.forward(), graph.backward(Wanted::Parameters));
    assert!(forward.find("aside/kernel").is_none() && forward.find("trained/kernel").is_some());
    let gradients: Vec<_> = backward.used_as(Usage::Gradient).map(|buffer| buffer.name.as_str()).collect();
    assert_eq!(gradients, ["trained/grad_kernel", "trained/grad_bias"]);
    assert!(backward.find(names::GRAD_INPUT).is_none());
    assert_eq!(graph.shape(aside), [4, 9]);
    // An input that goes straight out is copied, and so is one value that goes out twice.
    let mut graph = Graph::new();
    let x = graph.input([3]).expect("an input");
    let y = graph.add(Reshape(vec![3, 1]), &[x]).expect("a layer");
    graph.output(x);
    graph.output(y);
    let program = graph.backward(Wanted::All);
    assert_eq!(program.check(), Ok(()));
    let given = [("input", 2.0), ("grad_output/input", 3.0), ("grad_output/reshape", 5.0)];
    let given = given.map(|(name, value)| (name.to_owned(), vec![value; 3])).into();
    let written = reference::run(&program, 1, &given).expect("it runs");
    assert_eq!((&written["output/reshape"], &written["grad_input"]), (&vec![2.0; 3], &vec![8.0; 3]));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let mut graph = Graph::new();
    let x = graph.input([5, 4]).expect("an input");
    let other = Graph::new().input([1]).expect("an input");
    let fails = |graph: &mut Graph, layer: Layer, inputs: &[Node]| {
        graph.clone().add(layer.named("it"), inputs).expect_err("it doesn't fit").to_string()
    };
    let row = graph.add(Layer::new(Dense::new(7)).named("row"), &[x]).expect("a layer");
    for (layer, inputs, parts) in [
        (Layer::new(Reshape(vec![7])), vec![x], &["\"it\"", "7 elements", "[5, 4]"][..]),
        (Layer::new(Merge::Subtract), vec![x, x, x], &["\"it\"", "takes 2 inputs", "given 3"]),
        (Layer::new(Merge::Add), vec![x, row], &["[5, 4]", "[5, 7]"]),
        (Layer::new(Concatenate { axis: 0 }), vec![x, row], &["[5, 4]", "[5, 7]"]),
        (Layer::new(Dense::new(3)), vec![x, x], &["takes 1 inputs", "given 2"]),
        (Layer::new(Dense::new(0)), vec![x], &["\"it\"", "positive"]),
        (Layer::new(Move::Crop(vec![[2, 3]], DataFormat::ChannelsLast)), vec![x], &["more than 5 positions"]),
        (Layer::new(Move::Permute(vec![0, 0])), vec![x], &["[1, 1]"]),
        (Layer::new(Move::RepeatRow(2)), vec![x], &["[5, 4]"]),
        (
            Layer::new(BatchNormalization { axis: 2, epsilon: 1e-3, momentum: 0.99, center: true, scale: true }),
            vec![x],
            &["axis", "2"],
        ),
        (Layer::new(Config::new(2, [9])), vec![x], &["\"it\"", "one of the dimensions"]),
    ] {
        let message = fails(&mut graph, layer, &inputs);
        assert!(parts.iter().all(|part| message.contains(part)), "{parts:?}: {message}");
    }
    let far = graph.add(Dense::new(2), &[other, x]);
    assert!(far.is_err());
    assert_eq!(graph.add(Layer::new(Dense::new(2)).named("row"), &[x]), Err(Error::TwoLayers { name: "row".into() }));
    assert!(matches!(graph.input([3, 0]), Err(Error::InputAxis { axis: 1, .. })));
    let axes = [1; MOST_AXES + 1];
    assert!(matches!(graph.input(&axes[..]), Err(Error::TooLarge { value: 17, limit: 16, .. })));
    assert!(matches!(graph.input([1 << 20, 1 << 20]), Err(Error::TooLarge { .. })));
    // Called on values of another size, a dense layer would need other weights.
    let message = graph.call(row, &[row]).expect_err("7 inputs instead of 4").to_string();
    assert!(message.contains("\"row\"") && message.contains("kernel [1, 7, 7]"), "{message}");
    assert!(graph.call(x, &[x]).is_err());
    assert!(matches!(Graph::new().check(), Err(Error::Missing { .. })));
    // A model's parameters are all there, of their lengths, and no others.
    graph.output(row);
    let mut model = Model { graph, parameters: BTreeMap::new() };
    assert_eq!(model.check(), Err(Error::NotGiven { name: "row/kernel".into() }));
    model.parameters.insert("row/kernel".into(), vec![0.0; 28]);
    model.parameters.insert("row/bias".into(), vec![0.0; 8]);
    assert!(matches!(model.check().map_err(|e| e.cause().clone()), Err(Error::Length { expected: 7, found: 8, .. })));
    model.parameters.insert("row/bias".into(), vec![0.0; 7]);
    assert_eq!(model.check(), Ok(()));
    model.parameters.insert("row/gamma".into(), vec![0.0; 7]);
    assert_eq!(model.check(), Err(Error::NoBuffer { name: "row/gamma".into() }));
}

//! Files that could be taken for something else than Keras takes them for.

use crate::tree::{Tree, WrittenArray};
use crate::{Error, FileFormat, LayerKind, ModelFile};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// A layer of the file: its name, and its weights' paths, shapes and values.
struct Stored<'a> {
    layer: &'a str,
    weights: Vec<(&'a str, Vec<usize>, Vec<f32>)>,
}

/// A whole model as Keras's `.h5`.
fn read(version: &str, model: &Value, stored: &[Stored<'_>]) -> Result<ModelFile, Failure> {
    let mut tree = Tree::default();
    tree.attribute("model_config", &model.to_string());
    tree.attribute("keras_version", version);
    let group = tree.group("model_weights")?;
    group.names("layer_names", &stored.iter().map(|stored| stored.layer.to_owned()).collect::<Vec<_>>())?;
    for Stored { layer, weights } in stored {
        let group = group.group(layer)?;
        group.names("weight_names", &weights.iter().map(|(path, ..)| (*path).to_owned()).collect::<Vec<_>>())?;
        for (path, shape, data) in weights {
            group.dataset(path, WrittenArray { shape: shape.clone(), data: data.as_slice().into(), double: false })?;
        }
    }
    Ok(ModelFile::from_bytes("file", &tree.into_bytes()?, FileFormat::Hdf5)?)
}

/// A layer of a functional model, called with `arguments` on the output of `from`.
fn call(class: &str, mut config: Value, from: &str, arguments: &Value) -> Value {
    let name = config["name"].clone();
    let inbound = if from.is_empty() { json!([]) } else { json!([[[from, 0, 0, arguments]]]) };
    if from.is_empty() {
        config["batch_input_shape"] = json!([null, 2]);
    }
    json!({"class_name": class, "config": config, "name": name, "inbound_nodes": inbound})
}

fn functional(name: &str, layers: &[Value], output: &Value) -> Value {
    let config =
        json!({"name": name, "layers": layers, "input_layers": [[layers[0]["name"], 0, 0]], "output_layers": [output]});
    json!({"class_name": "Functional", "config": config})
}

fn sequential(layers: &[Value]) -> Value {
    json!({"class_name": "Sequential", "config": {"name": "m", "layers": layers}})
}

fn batch_normalization(paths: [&'static str; 4]) -> Vec<(&'static str, Vec<usize>, Vec<f32>)> {
    paths.iter().zip([1.0, 2.0, 3.0, 4.0]).map(|(path, value)| (*path, vec![2], vec![value; 2])).collect()
}

const BN: [&str; 4] = ["bn/gamma:0", "bn/beta:0", "bn/moving_mean:0", "bn/moving_variance:0"];

/// Batch normalisation that a model is made of as if it trained takes the batch's own statistics.
#[test]
fn what_is_always_trained_is_refused() -> Result<(), Failure> {
    let input = || call("InputLayer", json!({"name": "x"}), "", &json!({}));
    let refusal = |layer: Value, name: &str| -> Result<Option<String>, Failure> {
        let model = functional("m", &[input(), layer], &json!([name, 0, 0]));
        let file = read("2.15.0", &model, &[Stored { layer: name, weights: batch_normalization(BN) }])?;
        Ok(file.check_runnable().err().map(|error| error.to_string()))
    };
    let inner = |class: &str, config: Value| {
        let input = call("InputLayer", json!({"name": "y"}), "", &json!({}));
        let name = config["name"].clone();
        functional("inner", &[input, call(class, config, "y", &json!({}))], &json!([name, 0, 0]))
    };
    let nested = |model: &Value, arguments: &Value| {
        let mut layer = call("Functional", model["config"].clone(), "x", arguments);
        layer["inbound_nodes"] = json!([[["x", 0, 0, arguments]]]);
        layer
    };
    let (on, off) = (json!({"training": true}), json!({"training": false}));
    let bn = json!({"name": "bn"});
    let of_bn = inner("BatchNormalization", bn.clone());
    let of_dropout = inner("Dropout", json!({"name": "noise", "rate": 0.5}));
    let deeper = {
        let input = call("InputLayer", json!({"name": "z"}), "", &json!({}));
        let mut middle = nested(&of_bn, &json!({}));
        middle["inbound_nodes"] = json!([[["z", 0, 0, {}]]]);
        let mut model = functional("outer", &[input, middle], &json!(["inner", 1, 0]));
        model["config"]["name"] = json!("outer");
        model
    };
    let changes = |layer: &str| format!("called with training=true, which changes what \"{layer}\" in it does");
    for (layer, name, why) in [
        (call("BatchNormalization", bn.clone(), "x", &on), "bn", "called with training=true".to_owned()),
        (call("Dropout", json!({"name": "d", "rate": 0.5}), "x", &on), "d", "called with training=true".to_owned()),
        (nested(&of_bn, &on), "inner", changes("bn")),
        (nested(&of_dropout, &on), "inner", changes("noise")),
        (nested(&deeper, &on), "outer", changes("bn")),
        (nested(&of_bn, &json!({"mask": 3})), "inner", "called with mask=3".to_owned()),
    ] {
        let refused = refusal(layer, name)?.ok_or("it isn't refused")?;
        assert!(refused.contains(name) && refused.contains(&why), "{refused}");
    }
    let plain = inner("Activation", json!({"name": "a", "activation": "relu"}));
    for (layer, name) in [
        (call("BatchNormalization", bn.clone(), "x", &off), "bn"),
        (call("Activation", json!({"name": "a", "activation": "relu"}), "x", &on), "a"),
        (nested(&of_bn, &off), "inner"),
        (nested(&plain, &on), "inner"),
    ] {
        assert_eq!(refusal(layer, name)?, None, "{name}");
    }
    // A wrapper doesn't run anyway, and says that this is one reason.
    let wrapped = json!({"name": "w", "layer": {"class_name": "BatchNormalization", "config": {"name": "bn"}}});
    let refused = refusal(call("TimeDistributed", wrapped, "x", &on), "w")?.ok_or("it isn't refused")?;
    assert!(refused.contains(&changes("bn")), "{refused}");
    Ok(())
}

/// Keras 1's kernels of channels_first have filters and channels in front, also where all sizes are equal.
#[test]
fn keras_1_s_cubes_are_turned_by_the_data_format() -> Result<(), Failure> {
    let kernel: Vec<f32> = (0..81u8).map(f32::from).collect();
    for (ordering, turned) in [("th", true), ("tf", false)] {
        let config = json!({
            "name": "c", "nb_filter": 3, "nb_row": 3, "nb_col": 3, "dim_ordering": ordering, "bias": false,
            "border_mode": "valid", "subsample": [1, 1], "activation": "linear", "init": "glorot_uniform",
            "batch_input_shape": [null, 3, 3, 3],
        });
        let model = sequential(&[json!({"class_name": "Convolution2D", "config": config})]);
        let weights = vec![("c_W", vec![3, 3, 3, 3], kernel[..].to_vec())];
        let file = read("1.2.2", &model, &[Stored { layer: "c", weights }])?;
        let LayerKind::Computed(computed) = &file.layers[0].kind else { return Err("it isn't read".into()) };
        // Rows, columns, channels, filters of filters, channels, rows, columns.
        let expected = |index: usize| {
            let [row, column, channel, filter] = [index / 27, index / 9 % 3, index / 3 % 3, index % 3];
            kernel[if turned { ((filter * 3 + channel) * 3 + row) * 3 + column } else { index }]
        };
        assert_eq!(computed.weights[0].values, (0..81).map(expected).collect::<Vec<_>>(), "{ordering}");
    }
    Ok(())
}

/// A model in the model has weights of layers whose names end alike.
#[test]
fn the_exact_name_comes_first() -> Result<(), Failure> {
    let x = call("InputLayer", json!({"name": "y"}), "", &json!({}));
    let first = call("BatchNormalization", json!({"name": "conv1/bn"}), "y", &json!({}));
    let second = call("BatchNormalization", json!({"name": "bn"}), "conv1/bn", &json!({}));
    let inner = functional("dense", &[x, first, second], &json!(["bn", 0, 0]));
    let mut config = inner["config"].clone();
    config["batch_input_shape"] = json!([null, 2]);
    let model = sequential(&[json!({"class_name": "Functional", "config": config})]);
    let mut weights = batch_normalization([
        "conv1/bn/gamma:0",
        "conv1/bn/beta:0",
        "conv1/bn/moving_mean:0",
        "conv1/bn/moving_variance:0",
    ]);
    let mut of_second = batch_normalization(BN);
    of_second.iter_mut().for_each(|(_, _, values)| values.iter_mut().for_each(|value| *value += 10.0));
    weights.extend(of_second);
    let file = read("2.15.0", &model, &[Stored { layer: "dense", weights }])?;
    assert_eq!(file.check_runnable(), Ok(()));
    let parameters = file.model(None)?.parameters;
    let of = |name: &str| parameters.iter().find(|(key, _)| key.ends_with(name)).map(|(_, values)| values.clone());
    assert_eq!(of("dense/conv1/bn/gamma"), Some(vec![1.0; 2]), "{:?}", parameters.keys());
    assert_eq!(of("dense/bn/gamma"), Some(vec![11.0; 2]), "{:?}", parameters.keys());
    Ok(())
}

/// A few bytes claim an input whose tables nobody could store.
#[test]
fn convolutions_of_claimed_sizes_are_refused() -> Result<(), Failure> {
    let layer = |class: &str, shape: &[u64], mut config: Value| {
        config["name"] = json!("l");
        let shape: Vec<_> = [Value::Null].into_iter().chain(shape.iter().map(|&n| n.into())).collect();
        config["batch_input_shape"] = shape.into();
        sequential(&[json!({"class_name": class, "config": config})])
    };
    let kernel = || ("l/kernel:0", vec![1, 1], vec![1.0]);
    for model in [
        layer("Dense", &[130_000_000, 1], json!({"units": 1, "use_bias": false})),
        layer("Dense", &[1300, 100_000, 1], json!({"units": 1, "use_bias": false})),
        layer("Conv1D", &[130_000_000, 1], json!({"filters": 1, "kernel_size": 1, "use_bias": false})),
        layer("DepthwiseConv1D", &[130_000_000, 1], json!({"kernel_size": 1, "use_bias": false})),
        layer("SeparableConv1D", &[130_000_000, 1], json!({"filters": 1, "kernel_size": 1, "use_bias": false})),
    ] {
        let file = read("2.15.0", &model, &[Stored { layer: "l", weights: vec![kernel()] }])?;
        let refused = file.check_runnable().err().ok_or("it isn't refused")?.to_string();
        assert!(refused.contains("don't fit a file with 1 weights"), "{refused}");
    }
    let small = layer("Dense", &[100_000, 1], json!({"units": 1, "use_bias": false}));
    let file = read("2.15.0", &small, &[Stored { layer: "l", weights: vec![kernel()] }])?;
    assert_eq!(file.check_runnable(), Ok(()));
    Ok(())
}

/// `param_shape[i - 1] = 1` for each of PReLU's shared axes, of the shape without the batch.
#[test]
fn negative_shared_axes_are_counted_as_keras_counts() -> Result<(), Failure> {
    for (axes, alpha) in [
        (json!([1]), [1, 3, 4]),
        (json!([1, 2]), [1, 1, 4]),
        (json!([-1]), [2, 1, 4]),
        (json!([-2]), [1, 3, 4]),
        (json!([0]), [2, 3, 1]),
        (json!([3, -1]), [2, 1, 1]),
        (json!(-1), [2, 1, 4]),
    ] {
        let config = json!({"name": "p", "shared_axes": axes, "batch_input_shape": [null, 2, 3, 4]});
        let model = sequential(&[json!({"class_name": "PReLU", "config": config})]);
        let count = alpha.iter().product();
        let weights = vec![("p/alpha:0", alpha.to_vec(), vec![0.5; count])];
        let file = read("2.15.0", &model, &[Stored { layer: "p", weights }])?;
        assert_eq!(file.check_runnable(), Ok(()), "{axes}");
    }
    for axes in [json!([4]), json!([-3]), json!([i64::MIN]), json!(["x"])] {
        let config = json!({"name": "p", "shared_axes": axes, "batch_input_shape": [null, 2, 3, 4]});
        let model = sequential(&[json!({"class_name": "PReLU", "config": config})]);
        let weights = vec![("p/alpha:0", vec![1, 3, 4], vec![0.5; 12])];
        let file = read("2.15.0", &model, &[Stored { layer: "p", weights }])?;
        let refused = file.check_runnable().err().ok_or("it isn't refused")?.to_string();
        assert!(refused.contains("shared_axes"), "{refused}");
    }
    Ok(())
}

/// Parameters go by full names.
#[test]
fn two_layers_of_one_full_name_are_refused() -> Result<(), Failure> {
    let kernel = |path, value| (path, vec![2, 2], vec![value; 4]);
    let dense = |name: &str| json!({"name": name, "units": 2, "use_bias": false});
    let x = call("InputLayer", json!({"name": "y"}), "", &json!({}));
    let inner = functional("m", &[x, call("Dense", dense("dense"), "y", &json!({}))], &json!(["dense", 0, 0]));
    let mut first = inner["config"].clone();
    first["batch_input_shape"] = json!([null, 2]);
    for (name, is_refused) in [("m/dense", true), ("dense", false)] {
        let model = sequential(&[
            json!({"class_name": "Functional", "config": first}),
            json!({"class_name": "Dense", "config": dense(name)}),
        ]);
        let of_inner = Stored { layer: "m", weights: vec![kernel("dense/kernel:0", 1.0)] };
        let own = Stored {
            layer: name,
            weights: vec![kernel(if is_refused { "m/dense/kernel:0" } else { "dense/kernel:0" }, 2.0)],
        };
        match read("2.15.0", &model, &[of_inner, own]) {
            Err(error) if is_refused => {
                let error = error.downcast::<Error>().map_err(|_| "another error")?.to_string();
                assert!(error.contains("two layers are named \"m/dense\""), "{error}");
            }
            Ok(file) if !is_refused => assert_eq!(file.model(None)?.parameters.len(), 2),
            other => return Err(format!("{name}: {other:?}").into()),
        }
    }
    Ok(())
}

/// A model inside a model may have an output that nobody reads. What feeds that alone doesn't run, inside and outside, and its weights stay
/// in the file.
#[test]
fn weights_of_what_does_not_run_are_kept() -> Result<(), Failure> {
    let kernel = |path, value| (path, vec![2, 2], vec![value; 4]);
    let dense =
        |name: &str, from| call("Dense", json!({"name": name, "units": 2, "use_bias": false}), from, &json!({}));
    let input = |name: &str| call("InputLayer", json!({"name": name}), "", &json!({}));
    let layers = [input("y"), input("z"), dense("used", "y"), dense("idle", "z")];
    let mut inner = functional("inner", &layers, &json!(["used", 0, 0]));
    inner["config"]["input_layers"] = json!([["y", 0, 0], ["z", 0, 0]]);
    inner["config"]["output_layers"] = json!([["used", 0, 0], ["idle", 0, 0]]);
    let mut nested = call("Functional", inner["config"].clone(), "x", &json!({}));
    nested["inbound_nodes"] = json!([[["x", 0, 0, {}], ["before", 0, 0, {}]]]);
    let model = functional("m", &[input("x"), dense("before", "x"), nested], &json!(["inner", 1, 0]));
    let weights = vec![kernel("used/kernel:0", 1.0), kernel("idle/kernel:0", 2.0)];
    let before = Stored { layer: "before", weights: vec![kernel("before/kernel:0", 4.0)] };
    let mut file = read("2.15.0", &model, &[before, Stored { layer: "inner", weights }])?;

    let mut parameters = file.model(None)?.parameters;
    assert_eq!(parameters.keys().collect::<Vec<_>>(), ["inner/used/kernel"]);
    assert_eq!(file.graph()?.layers().len(), 1);
    parameters.values_mut().flatten().for_each(|value| *value = 3.0);
    file.set_parameters(&parameters)?;
    for format in [FileFormat::Hdf5, FileFormat::Keras, FileFormat::Safetensors] {
        let written = ModelFile::from_bytes("file", &file.to_bytes(format)?, format)?;
        for (layer, value) in [("before", 4.0), ("inner/used", 3.0), ("inner/idle", 2.0)] {
            let layer = written.layer(layer).ok_or("the layer is gone")?;
            assert_eq!(layer.weights(), [("kernel", vec![2, 2], [value; 4].as_slice())], "{format:?}");
        }
    }
    Ok(())
}

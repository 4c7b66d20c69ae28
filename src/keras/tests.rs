//! Tests of single parts; those on real files stand in `tests/keras_files.rs` and `tests/keras_damage.rs`.

#![allow(clippy::panic, reason = "tests")]

use super::architecture::Architecture;
use super::hdf5::{Reader, Tree, Values, names};
use super::weights::Source;
use super::{FileFormat, Kind, Model, write_file};
use crate::config::keras::{config_from_keras, keras1};
use crate::config::{Activation, Bias, Config, DataFormat, Padding};
use crate::geometry::KerasLayout;
use crate::{Error, Result};
use serde_json::{Value, json};

fn with(changes: Value) -> Value {
    let mut config = json!({"name": "lc", "filters": 4, "kernel_size": [3, 2]});
    if let (Value::Object(config), Value::Object(changes)) = (&mut config, changes) {
        config.extend(changes);
    }
    config
}

fn read(changes: Value) -> Result<(Config, KerasLayout)> {
    config_from_keras("LocallyConnected2D", &with(changes))
}

#[test]
fn defaults_are_those_of_keras() -> Result<()> {
    assert_eq!(read(json!({}))?, (Config::new(4, [3, 2]), KerasLayout::Implementation1));
    let given = json!({
        "strides": 2, "padding": "SAME", "data_format": "Channels_First", "activation": null, "use_bias": false,
        "implementation": 3.0, "dilation_rate": [1, 1], "groups": 1, "kernel_regularizer": {"class_name": "L2"},
    });
    let config = Config::new(4, [3, 2]).strides([2, 2]).padding(Padding::Same);
    let config = config.data_format(DataFormat::ChannelsFirst).bias(Bias::None);
    assert_eq!(read(given)?, (config, KerasLayout::Implementation3));
    let tuple = json!({"kernel_size": {"class_name": "__tuple__", "items": [3, 2]}, "data_format": null});
    assert_eq!(read(tuple)?.0, Config::new(4, [3, 2]));
    let one = config_from_keras("LocallyConnected1D", &json!({"filters": 4, "kernel_size": 3}))?;
    assert_eq!(one.0, Config::new(4, [3]));
    Ok(())
}

/// The construct and build errors of keras-semantics §2.9 that a config can cause.
#[test]
fn what_keras_refuses_is_refused() {
    let unknown = |argument: &str, changes: Value| match read(changes.clone()) {
        Err(Error::UnknownValue { argument: found, .. }) => assert_eq!(found, argument, "{changes}"),
        other => panic!("{changes}: {other:?}"),
    };
    for padding in ["causal", "foo", ""] {
        unknown("padding", json!({"padding": padding}));
        unknown("padding", json!({"padding": padding, "implementation": 2}));
    }
    unknown("padding", json!({"padding": ["same"], "implementation": 2}));
    for implementation in [json!(0), json!(4), json!(-1), json!("1"), json!(1.5), json!(true)] {
        unknown("implementation", json!({"implementation": implementation}));
    }
    unknown("data_format", json!({"data_format": "NHWC"}));
    unknown("data_format", json!({"data_format": 1}));
    for activation in
        [json!("foo"), json!("ReLU"), json!("Relu"), json!(3), json!({"class_name": "Dense", "config": {}})]
    {
        unknown("activation", json!({"activation": activation}));
    }
    unknown("use_bias", json!({"use_bias": "yes"}));
    for filters in [json!("4"), json!(4.5), json!([4]), json!(true)] {
        unknown("filters", json!({"filters": filters}));
    }
    unknown("kernel_size", json!({"kernel_size": "3"}));
    unknown("kernel_size", json!({"kernel_size": [3, null]}));
    for (argument, value) in
        [("filters", json!(0)), ("filters", json!(-4)), ("kernel_size", json!([3, 0])), ("strides", json!([0, 1]))]
    {
        let found = read(json!({argument: value}));
        assert!(matches!(&found, Err(Error::NotPositive { argument: a, .. }) if *a == argument), "{found:?}");
    }
    for argument in ["kernel_size", "strides"] {
        let found = read(json!({argument: [1, 2, 3]}));
        assert_eq!(
            found,
            Err(Error::Rank {
                argument: if argument == "strides" { "strides" } else { "kernel_size" },
                expected: 2,
                found: 3
            })
        );
    }
    let found = read(json!({"padding": "Same"}));
    assert_eq!(found, Err(Error::PaddingNeedsOtherLayout { padding: "\"Same\"".into() }));
    for argument in ["filters", "kernel_size"] {
        assert!(matches!(read(json!({argument: null})), Err(Error::Missing { .. })), "{argument}");
    }
    assert!(matches!(read(json!({"dilation_rate": 2})), Err(Error::Unsupported { .. })));
    assert!(config_from_keras("Conv2D", &with(json!({}))).is_err());
    assert!(config_from_keras("LocallyConnected2D", &json!([])).is_err());
}

#[test]
fn activations_in_every_form() -> Result<()> {
    let leaky = |slope: f32| Activation::Relu { negative_slope: slope, max_value: None, threshold: 0.0 };
    for (value, expected) in [
        (json!("silu"), Activation::Swish),
        (
            json!({"class_name": "function", "config": "relu", "module": "builtins", "registered_name": "function"}),
            Activation::RELU,
        ),
        (json!({"class_name": "LeakyReLU", "config": {"alpha": 0.2}}), leaky(0.2)),
        (json!({"class_name": "LeakyReLU", "config": {"negative_slope": 0.2}}), leaky(0.2)),
        (json!({"class_name": "LeakyReLU", "config": {}}), leaky(0.3)),
        // Keras ≤ 2.3 serialised the NumPy scalar that it keeps.
        (json!({"class_name": "LeakyReLU", "config": {"alpha": {"type": "ndarray", "value": 0.25}}}), leaky(0.25)),
        (
            json!({"class_name": "ReLU", "config": {"max_value": 6, "threshold": 0.5, "negative_slope": null}}),
            Activation::Relu { negative_slope: 0.0, max_value: Some(6.0), threshold: 0.5 },
        ),
        (json!({"class_name": "ELU", "config": {"alpha": 0.7}}), Activation::Elu { alpha: 0.7 }),
        (json!({"class_name": "Activation", "config": {"activation": "mish"}}), Activation::Mish),
        (json!({"class_name": "Softmax", "config": {"axis": -1}}), Activation::Softmax),
    ] {
        assert_eq!(read(json!({"activation": value}))?.0.activation, expected, "{value}");
    }
    assert!(read(json!({"activation": {"class_name": "Softmax", "config": {"axis": 1}}})).is_err());
    Ok(())
}

#[test]
fn keras_1_names() -> Result<()> {
    let config = json!({
        "nb_filter": 4, "nb_row": 3, "nb_col": 2, "border_mode": "valid", "subsample": [2, 1], "dim_ordering": "th",
        "bias": false, "init": "glorot_uniform", "W_regularizer": {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.01},
        "b_constraint": {"name": "MaxNorm", "m": 2, "axis": 0}, "activation": "tanh", "name": "old", "trainable": true,
        "input_dim": null,
    });
    let (found, layout) = config_from_keras("LocallyConnected2D", &config)?;
    let expected = Config::new(4, [3, 2]).strides([2, 1]).data_format(DataFormat::ChannelsFirst).bias(Bias::None);
    assert_eq!((found, layout), (expected.activation(Activation::Tanh), KerasLayout::Implementation1));
    let config = json!({"nb_filter": 4, "filter_length": 3, "subsample_length": 2, "border_mode": "valid"});
    assert_eq!(config_from_keras("LocallyConnected1D", &config)?.0, Config::new(4, [3]).strides([2]));
    assert!(
        config_from_keras("LocallyConnected1D", &json!({"nb_filter": 4, "filter_length": 3, "border_mode": "same"}))
            .is_err()
    );

    let mut config = match config {
        Value::Object(config) => config,
        _ => return Ok(()),
    };
    config.insert("W_regularizer".into(), json!({"name": "WeightRegularizer", "l1": 0.0, "l2": 0.01}));
    config.insert("b_constraint".into(), json!({"name": "MaxNorm", "m": 2, "axis": 0}));
    keras1::rename("LocallyConnected1D", &mut config);
    assert_eq!(config["kernel_regularizer"], json!({"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}}));
    assert_eq!(config["bias_constraint"], json!({"class_name": "MaxNorm", "config": {"axis": 0, "max_value": 2}}));
    Ok(())
}

fn architecture(layers: Value, inputs: Value, outputs: Value) -> Result<Architecture, String> {
    let config = json!({"name": "m", "layers": layers, "input_layers": inputs, "output_layers": outputs});
    Architecture::parse(&json!({"class_name": "Functional", "config": config}).to_string())
}

fn node(name: &str, from: Value) -> Value {
    json!({"class_name": "Activation", "config": {"name": name}, "name": name, "inbound_nodes": from})
}

#[test]
fn graphs_are_followed() -> Result<(), String> {
    let names = |a: &Architecture| a.layers.iter().map(|l| l.name.clone()).collect::<Vec<_>>();
    // In any order, with the shorter forms of nodes and ends.
    let layers = json!([node("c", json!([["b", 0, 0, {}]])), node("a", json!([])), node("b", json!([[["a", 0, 0]]]))]);
    let found = architecture(layers, json!(["a", 0, 0]), json!([["c", 0, 0]]))?;
    assert_eq!((names(&found), &found.not_a_chain), (vec!["a".into(), "b".into(), "c".into()], &None));
    for (layers, why) in [
        (
            json!([node("a", json!([])), node("b", json!([[["a", 0, 0]]])), node("c", json!([[["a", 0, 0]]]))]),
            "several layers",
        ),
        (json!([node("a", json!([])), node("c", json!([[["a", 0, 0], ["a", 0, 0]]]))]), "2 inputs"),
        (json!([node("a", json!([])), node("c", json!([[["c", 0, 0]]]))]), "feeds itself"),
        (json!([node("a", json!([])), node("c", json!([]))]), "1 of its 2 layers"),
    ] {
        let found = architecture(layers, json!([["a", 0, 0]]), json!([["c", 0, 0]]))?.not_a_chain.unwrap_or_default();
        assert!(found.contains(why), "{found}");
    }
    let a = || node("a", json!([]));
    for (layers, inputs, why) in [
        (json!([a(), node("b", json!([[["x", 0, 0]]]))]), json!([["a", 0, 0]]), "takes the output of \"x\""),
        (json!([a(), node("b", json!([{"args": []}]))]), json!([["a", 0, 0]]), "can't be followed"),
        (json!([a(), a()]), json!([["a", 0, 0]]), "two layers are named \"a\""),
        (json!([a()]), json!([["x", 0, 0]]), "no such layer"),
        (json!([a()]), json!(3), "`input_layers`"),
        (json!([]), json!([["a", 0, 0]]), "has no layers"),
        (json!([{"class_name": "Dense"}]), json!([]), "layer 0 (Dense) has no `config`"),
        (json!(["x"]), json!([]), "layer 0 of the model's config is no dictionary"),
    ] {
        let found = architecture(layers, inputs.clone(), inputs).err().unwrap_or_default();
        assert!(found.contains(why), "{found}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Architecture::parse(&deep).is_err());
    assert!(
        Architecture::parse(r#"{"class_name": "MyModel", "config": {}}"#).is_err_and(|e| e.contains("class MyModel"))
    );
    Ok(())
}

/// Long lists of names are split, and found again; the groups of Keras 2.12 have gaps in their numbers.
#[test]
fn names_and_groups() -> Result<(), String> {
    let many: Vec<String> = (0..5000).map(|i| format!("a_layer_with_quite_a_long_name_{i}")).collect();
    for list in [&many[..], &many[..1], &[], &["größe".to_owned(), "x".to_owned()]] {
        let mut tree = Tree::default();
        tree.group("g")?.names("layer_names", list)?;
        let found = names(&Reader::new(tree.into_bytes()?)?.group("g")?, "layer_names")?;
        assert!(found.as_deref() == Some(list), "{found:?}");
    }
    let layers = many.iter().map(|name| (name.clone(), Kind::Identity)).collect();
    let model = Model::sequential("many", &[3], layers).map_err(|e| e.to_string())?;
    let bytes = model.to_bytes(FileFormat::Hdf5).map_err(|e| e.to_string())?;
    assert!(Model::from_bytes("x", &bytes, FileFormat::Hdf5) == Ok(model));

    let mut tree = Tree::default();
    for (index, number) in ["", "_2", "_10"].iter().enumerate() {
        let vars = tree.group(&format!("_layer_checkpoint_dependencies/locally_connected1d{number}/vars"))?;
        vars.dataset("0", Values { shape: vec![index + 1], data: &[1.0, 2.0, 3.0][..=index], double: index == 1 })?;
    }
    tree.group("_layer_checkpoint_dependencies/locally_connected1d_extra/vars")?;
    let reader = Reader::new(tree.into_bytes()?)?;
    let layers =
        [("x", "LocallyConnected1D"), ("f", "Flatten"), ("y", "LocallyConnected1D"), ("z", "LocallyConnected1D")];
    let source = reader.by_class(&layers)?;
    for (index, name) in ["x", "y", "z"].iter().enumerate() {
        let array = source.arrays(name, "LocallyConnected1D")?.pop().ok_or("no array")?;
        assert_eq!(array.shape, [index + 1]);
        assert_eq!(array.read()?.len(), index + 1);
    }
    let error = reader.by_class(&layers[..2]).err().unwrap_or_default();
    assert_eq!(error, "the file has weights for 3 layers of class LocallyConnected1D, not 1");

    let mut tree = Tree::default();
    assert!(tree.group("a//b").is_err() && tree.group("a/../b").is_err() && tree.group(&"a/".repeat(1000)).is_err());
    tree.dataset("a/b", Values { shape: vec![1], data: &[0.0], double: false })?;
    assert!(
        tree.group("a/b/c").is_err()
            && tree.dataset("a", Values { shape: vec![1], data: &[0.0], double: false }).is_err()
    );
    Ok(())
}

#[test]
fn files_are_written_whole_or_not_at_all() -> std::io::Result<()> {
    let folder = std::env::temp_dir().join(format!("locally-connected-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("taken"))?;
    let path = folder.join("file.npy");
    for contents in [&b"first"[..], b"second, longer"] {
        assert_eq!(write_file(&path, contents), Ok(()));
        assert_eq!(std::fs::read(&path)?, contents);
    }
    assert!(matches!(write_file(&folder.join("nowhere/file"), b"x"), Err(Error::Io { .. })));
    assert!(matches!(write_file(&folder.join("taken"), b"x"), Err(Error::Io { .. })));
    assert!(write_file("/".as_ref(), b"x").is_err() && write_file("".as_ref(), b"x").is_err());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&path, folder.join("link"))?;
        assert_eq!(write_file(&folder.join("link"), b"through"), Ok(()));
        assert_eq!(std::fs::read(&path)?, b"through");
        assert_eq!(write_file("/dev/null".as_ref(), b"x"), Ok(()));
    }
    let mut left: Vec<_> = std::fs::read_dir(&folder)?.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    left.retain(|name| name.ends_with(".tmp"));
    assert_eq!(left, Vec::<String>::new());
    std::fs::remove_dir_all(&folder)
}

//! Keras's dictionaries of a layer, as Keras of every version writes them.

#![allow(clippy::panic, reason = "tests")]

use super::LayerConfig;
use crate::json::{float, from_json, shown, to_json};
use crate::keras1;
use locally_connected::{
    Activation, Axes, Bias, Config, Constraint, DataFormat, Error, Initializer, KerasLayout, Padding, Regularizer,
    Result,
};
use serde_json::{Value, json};

fn with(changes: Value) -> Value {
    let mut config = json!({"name": "lc", "filters": 4, "kernel_size": [3, 2]});
    if let (Value::Object(config), Value::Object(changes)) = (&mut config, changes) {
        config.extend(changes);
    }
    config
}

fn config_from_keras(class: &str, config: &Value) -> Result<(Config, KerasLayout)> {
    LayerConfig::from_keras(class, config).map(|layer| (layer.config, layer.layout))
}

fn read(changes: Value) -> Result<(Config, KerasLayout)> {
    config_from_keras("LocallyConnected2D", &with(changes))
}

#[test]
fn defaults_are_those_of_keras() -> Result<()> {
    assert_eq!(read(json!({}))?, (Config::new(4, [3, 2]), KerasLayout::Implementation1));
    let given = json!({
        "strides": 2, "padding": "SAME", "data_format": "Channels_First", "activation": null, "use_bias": false,
        "implementation": 3.0, "dilation_rate": [1, 1], "groups": 1, "kernel_regularizer": {"class_name": "L2", "config": {}},
    });
    let config = Config::new(4, [3, 2]).strides([2, 2]).padding(Padding::Same);
    let config = config.data_format(DataFormat::ChannelsFirst).bias(Bias::None);
    let config = config.kernel_regularizer(Regularizer::L2 { l2: 0.01 });
    assert_eq!(read(given)?, (config, KerasLayout::Implementation3));
    let tuple = json!({"kernel_size": {"class_name": "__tuple__", "items": [3, 2]}, "data_format": null});
    assert_eq!(read(tuple)?.0, Config::new(4, [3, 2]));
    let one = config_from_keras("LocallyConnected1D", &json!({"filters": 4, "kernel_size": 3}))?;
    assert_eq!(one.0, Config::new(4, [3]));
    Ok(())
}

/// The construct and build errors of docs/keras-semantics.md §9 that a config can cause.
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
    for activation in [json!("foo"), json!("Relu"), json!(3), json!({"class_name": "Dense", "config": {}})] {
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
        // The last axis of (batch, rows, columns, filters).
        (json!({"class_name": "Softmax", "config": {"axis": 3}}), Activation::Softmax),
        // What Keras finds by name beside its own functions: TensorFlow's, and layers' classes with their defaults.
        (json!("leaky_relu"), leaky(0.2)),
        (json!("LeakyReLU"), leaky(0.3)),
        (json!("relu6"), Activation::Relu { negative_slope: 0.0, max_value: Some(6.0), threshold: 0.0 }),
        (json!("ThresholdedReLU"), Activation::ThresholdedRelu { theta: 1.0 }),
        (json!("log_softmax"), Activation::LogSoftmax),
        (json!("Softmax"), Activation::Softmax),
        (json!("ELU"), Activation::Elu { alpha: 1.0 }),
        (json!("ReLU"), Activation::RELU),
    ] {
        assert_eq!(read(json!({"activation": value}))?.0.activation, expected, "{value}");
    }
    for refused in [
        json!({"class_name": "Softmax", "config": {"axis": 1}}),
        json!({"class_name": "PReLU", "config": {"shared_axes": null}}),
        json!("PReLU"),
    ] {
        let found = read(json!({"activation": refused}));
        assert!(matches!(found, Err(Error::Unsupported { .. })), "{refused}: {found:?}");
    }
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
    let expected = expected
        .kernel_regularizer(Regularizer::L1L2 { l1: 0.0, l2: 0.01 })
        .bias_constraint(Constraint::MaxNorm { max_value: 2.0, axis: Axes::One(0) });
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

/// What isn't Keras's is kept to the letter, in Keras 1's dictionaries too, and written as it was.
#[test]
fn custom_objects_are_kept() -> Result<()> {
    let own =
        json!({"module": "mine", "class_name": "Zeros", "config": {"a": [1, 2.5]}, "registered_name": "mine>Zeros"});
    let given = json!({"kernel_initializer": own, "bias_regularizer": "my_penalty", "kernel_constraint": {
        "class_name": "Sphere", "config": {"radius": 3.5}}});
    let layer = LayerConfig::from_keras("LocallyConnected2D", &with(given.clone()))?;
    assert_eq!(layer.config.kernel_initializer, Initializer::Custom(own.to_string()));
    let (_, written) = layer.to_keras()?;
    for key in ["kernel_initializer", "kernel_constraint"] {
        assert_eq!(written[key], given[key], "{key}");
    }
    assert_eq!(LayerConfig::from_keras("LocallyConnected2D", &written)?.config, layer.config);

    let old = json!({"nb_filter": 4, "filter_length": 3, "init": "my_init",
        "W_regularizer": {"name": "EigenvalueRegularizer", "k": 0.5}, "b_constraint": {"name": "Mine", "a": 1}});
    let config = config_from_keras("LocallyConnected1D", &old)?.0;
    assert_eq!(config.kernel_initializer, Initializer::Custom("\"my_init\"".into()));
    let eigenvalue = r#"{"class_name":"EigenvalueRegularizer","config":{"k":0.5}}"#;
    assert_eq!(config.kernel_regularizer, Some(Regularizer::Custom(eigenvalue.into())));
    assert_eq!(config.bias_constraint, Some(Constraint::Custom(r#"{"class_name":"Mine","config":{"a":1}}"#.into())));
    Ok(())
}

#[test]
fn unknown_arguments_are_named() {
    let unknown = |changes: Value| match read(changes.clone()) {
        Err(Error::UnknownArgument { of, argument, meant }) => (of, argument, meant),
        other => panic!("{changes}: {other:?}"),
    };
    let of = |argument: &str, meant| ("LocallyConnected2D".to_owned(), argument.to_owned(), meant);
    assert_eq!(unknown(json!({"stride": 2})), of("stride", Some("strides")));
    assert_eq!(unknown(json!({"kernal_initializer": "zeros"})), of("kernal_initializer", Some("kernel_initializer")));
    assert_eq!(unknown(json!({"foo": null})), of("foo", None));
    let long = format!("{}…", "k".repeat(300));
    assert_eq!(unknown(json!({"k".repeat(2_000_000): 1})), of(&long, None));
    let inside = json!({"kernel_regularizer": {"class_name": "L2", "config": {"l3": 1}}});
    assert_eq!(unknown(inside), ("L2".to_owned(), "l3".to_owned(), Some("l2")));
}

#[test]
fn the_input_shape_by_all_its_arguments() -> Result<()> {
    let shape = |changes: Value| {
        LayerConfig::from_keras("LocallyConnected2D", &with(changes)).map(|layer| layer.batch_input_shape)
    };
    assert_eq!(shape(json!({}))?, None);
    assert_eq!(shape(json!({"batch_size": 3}))?, None);
    assert_eq!(shape(json!({"input_dim": 3}))?, Some(vec![None, Some(3)]));
    let input = json!({"input_shape": [4, null, 1], "batch_size": 2});
    assert_eq!(shape(input)?, Some(vec![Some(2), Some(4), None, Some(1)]));
    let both = json!({"input_shape": [4, 5, 1], "batch_input_shape": [null, 4, 5, 2], "batch_size": 2});
    assert_eq!(shape(both)?, Some(vec![None, Some(4), Some(5), Some(2)]));
    assert!(shape(json!({"batch_input_shape": "wide"})).is_err());
    let old = json!({"nb_filter": 4, "filter_length": 3, "input_dim": 5, "input_length": 9});
    let old = LayerConfig::from_keras("LocallyConnected1D", &old)?;
    assert_eq!(old.batch_input_shape, Some(vec![None, Some(9), Some(5)]));
    Ok(())
}

/// Keras gives a variable whose initializer is null its default for weights, a bias too.
#[test]
fn no_initializer_is_glorot_s() -> Result<()> {
    let config = read(json!({"kernel_initializer": null, "bias_initializer": null}))?.0;
    assert_eq!(config.bias_initializer, Initializer::GLOROT_UNIFORM);
    assert_eq!(read(json!({}))?.0.bias_initializer, Initializer::Zeros);
    Ok(())
}

#[test]
fn pythons_json() -> serde_json::Result<()> {
    let text = r#"{"a":[NaN,Infinity,-Infinity,-1,"NaN","\\",Infinity],"-Infinity":"x\"Infinity"}"#;
    let value = from_json(text)?;
    assert_eq!(to_json(&value), text);
    let number = |index: usize| float(&value["a"][index]);
    assert!(number(0).is_some_and(f64::is_nan));
    assert_eq!([number(1), number(2), number(3)], [Some(f64::INFINITY), Some(f64::NEG_INFINITY), Some(-1.0)]);
    assert_eq!([number(4), number(5)], [None; 2]);
    assert_eq!(shown(&value["a"][2]), "-Infinity");
    assert_eq!(from_json(" NaN ").map(|value| to_json(&value))?, "NaN");
    // No more is accepted than that.
    for wrong in [
        "NaNaN",
        "-NaN",
        "+Infinity",
        "nan",
        "{NaN: 1}",
        "{Infinity :1}",
        "[NaN",
        "[Infinity-1]",
        r#""\u0000NaN""#,
        "\"NaN",
        "[--Infinity]",
    ] {
        assert!(from_json(wrong).is_err(), "{wrong}");
    }
    let deep = format!("{}NaN{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(from_json(&deep).is_err());
    let many = format!("[{}NaN]", "NaN,".repeat(100_000));
    assert_eq!(to_json(&from_json(&many)?), many);
    Ok(())
}

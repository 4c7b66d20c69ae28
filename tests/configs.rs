//! A configuration as data, and in few words.

use locally_connected::{
    Activation, Axes, Config, Constraint, DataFormat, Error, FanMode, Initializer, Padding, Regularizer,
};
use serde_json::json;

fn read(value: serde_json::Value) -> Config {
    serde_json::from_value(value).expect("a configuration")
}

#[test]
fn absent_arguments_have_keras_s_defaults() {
    assert_eq!(read(json!({"filters": 4, "kernel_size": [3, 2]})), Config::new(4, [3, 2]));
    assert_eq!(read(json!({"filters": 4, "kernel_size": 3, "strides": [2, 1]})), Config::local2d(4, 3).strides([2, 1]));
    assert_eq!(
        read(json!({"filters": 4, "kernel_size": 3, "rank": 2, "strides": 2})),
        Config::local2d(4, 3).strides(2)
    );
    let by_name = json!({
        "filters": 4, "kernel_size": [3], "activation": "relu", "kernel_initializer": "he_normal",
        "kernel_regularizer": "l2", "bias_regularizer": null, "kernel_constraint": "unit_norm",
    });
    let expected = Config::local1d(4, 3)
        .activation(Activation::RELU)
        .kernel_initializer(Initializer::HeNormal { seed: None })
        .kernel_regularizer(Regularizer::L2 { l2: 0.01 })
        .kernel_constraint(Constraint::UnitNorm { axis: Axes::One(0) });
    assert_eq!(read(by_name), expected);
    for wrong in [
        json!({"filters": 4, "kernel_size": 3}),
        json!({"filters": 4, "kernel_size": [3], "stride": 2}),
        json!({"filters": 4, "kernel_size": [3], "activation": "rellu"}),
        json!({"filters": 4, "kernel_size": [3], "kernel_initializer": "mine"}),
        json!({"kernel_size": [3]}),
    ] {
        let found = serde_json::from_value::<Config>(wrong.clone());
        assert!(found.is_err(), "{wrong}: {found:?}");
    }
}

#[test]
fn every_object_there_and_back() {
    let seed = Some(-3);
    let distribution = locally_connected::Distribution::UntruncatedNormal;
    let initializers = [
        Initializer::Zeros,
        Initializer::Ones,
        Initializer::Constant { value: 0.1 },
        Initializer::RandomNormal { mean: 0.5, stddev: 0.25, seed },
        Initializer::RandomUniform { minval: -0.1, maxval: 0.3, seed: None },
        Initializer::TruncatedNormal { mean: 0.0, stddev: 0.25, seed },
        Initializer::VarianceScaling { scale: 2.0, mode: FanMode::Out, distribution, seed },
        Initializer::GlorotNormal { seed },
        Initializer::Orthogonal { gain: 2.0, seed },
        Initializer::Identity { gain: 3.0 },
        Initializer::Custom("mine".into()),
    ];
    let constraints = [
        Constraint::MaxNorm { max_value: 3.0, axis: Axes::Several(vec![0, -1]) },
        Constraint::UnitNorm { axis: Axes::One(1) },
        Constraint::MinMaxNorm { min_value: 0.1, max_value: 0.2, rate: 0.3, axis: Axes::One(0) },
        Constraint::NonNeg,
        Constraint::Radial,
        Constraint::Custom("mine".into()),
    ];
    let regularizers = [
        Regularizer::L1 { l1: 0.1 },
        Regularizer::L2 { l2: 0.1 },
        Regularizer::L1L2 { l1: 0.1, l2: 0.2 },
        Regularizer::Orthogonal { factor: 0.1, mode: locally_connected::OrthogonalMode::Columns },
        Regularizer::Custom("mine".into()),
    ];
    for at in 0..initializers.len() {
        let regularizer = regularizers.get(at % regularizers.len()).cloned();
        let constraint = constraints.get(at % constraints.len()).cloned();
        let config = Config::new(4, [3, 2, 1])
            .kernel_initializer(initializers[at].clone())
            .bias_initializer(initializers[(at + 1) % initializers.len()].clone())
            .kernel_regularizer(regularizer.clone())
            .activity_regularizer(regularizer)
            .bias_constraint(constraint.clone())
            .kernel_constraint(constraint);
        let text = serde_json::to_string(&config).expect("JSON");
        assert_eq!(serde_json::from_str::<Config>(&text).expect("a configuration"), config, "{text}");
    }
}

/// Keras's pages take `padding` and `data_format` in any case.
#[test]
fn words_in_any_case() {
    assert_eq!(
        ["Same", "VALID", "same_UPPER"].map(str::parse),
        [Ok(Padding::Same), Ok(Padding::Valid), Ok(Padding::SameUpper)]
    );
    let formats = ["Channels_Last", "channels_first"].map(str::parse);
    assert_eq!(formats, [Ok(DataFormat::ChannelsLast), Ok(DataFormat::ChannelsFirst)]);
    let found = "NHWC".parse::<DataFormat>();
    assert!(
        matches!(&found, Err(Error::UnknownValue { argument: "data_format", value, .. }) if value == "NHWC"),
        "{found:?}"
    );
    let found = "causal".parse::<Padding>();
    assert!(matches!(found, Err(Error::UnknownValue { argument: "padding", .. })));
}

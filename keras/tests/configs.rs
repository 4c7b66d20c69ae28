//! Dictionaries of layers that real Kerases wrote, 1.2 to 2.15, read and written again
//! (`tests/fixtures/make_config_fixtures.py`), and what a file says of a layer that was changed.

use crate::common::fixture;
use locally_connected::{
    Activation, Axes, Bias, Config, Constraint, DataFormat, Distribution, FanMode, Geometry, Initializer, KerasLayout,
    Regularizer,
};
use locally_connected_keras::config::{DtypePolicy, LayerConfig};
use locally_connected_keras::{FileFormat, LayerKind, Local, ModelFile, from_json};
use serde_json::{Value, json};

fn fixtures(version: &str) -> Value {
    let path = fixture(&format!("configs/keras-{version}.json"));
    from_json(&std::fs::read_to_string(path).expect("the fixture")).expect("JSON")
}

fn layers(version: &str) -> Vec<(String, Value)> {
    let fixtures = fixtures(version);
    let layers = fixtures["layers"].as_array().expect("a list");
    layers.iter().map(|l| (l["class_name"].as_str().expect("a name").to_owned(), l["config"].clone())).collect()
}

fn named(version: &str, name: &str) -> LayerConfig {
    let layers = layers(version);
    let (class, config) = layers.iter().find(|(_, config)| config["name"] == name).expect("that layer");
    LayerConfig::from_keras(class, config).expect("it is read")
}

/// Numbers as 32-bit floats, as Keras makes them when it reads them.
fn as_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(f64::from(number.as_f64().expect("a number") as f32)),
        Value::Array(values) => values.iter().map(as_floats).collect(),
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), as_floats(value))).collect(),
        other => other.clone(),
    }
}

/// What Keras 2.15 wrote is written again to the letter, whichever spelling it was read in.
#[test]
fn keras_2_15_there_and_back() {
    let fixtures = fixtures("2.15.0");
    let layers = fixtures["layers"].as_array().expect("a list");
    assert_eq!(layers.len(), 15);
    let leaky = Activation::Relu { negative_slope: 0.25, max_value: None, threshold: 0.0 };
    for layer in layers {
        let class = layer["class_name"].as_str().expect("a name");
        for spelling in ["config", "h5"] {
            let read = LayerConfig::from_keras(class, &layer[spelling]).expect("it is read");
            let (written_class, written) = read.to_keras().expect("it is Keras's");
            let mut expected = layer["config"].clone();
            // LeakyReLU is written as the ReLU of that slope.
            if expected["activation"]["class_name"] == "LeakyReLU" {
                assert_eq!(read.config.activation, leaky);
                expected["activation"] = json!({
                    "module": "keras.layers", "class_name": "ReLU", "registered_name": null,
                    "config": {"max_value": null, "negative_slope": 0.25, "threshold": 0.0},
                });
            }
            assert_eq!((written_class.as_str(), as_floats(&written)), (class, as_floats(&expected)), "{spelling}");
        }
    }
}

/// Every name that Keras 2.15 finds is what Keras 2.15 makes of it.
#[test]
fn keras_2_15_s_names() {
    let fixtures = fixtures("2.15.0");
    let mut checked = 0;
    for (kind, argument) in [
        ("initializers", "kernel_initializer"),
        ("regularizers", "kernel_regularizer"),
        ("constraints", "kernel_constraint"),
    ] {
        for (name, object) in fixtures["names"][kind].as_object().expect("names") {
            let config = json!({"filters": 1, "kernel_size": 1, argument: name});
            let read = LayerConfig::from_keras("LocallyConnected1D", &config).expect("it is read");
            let written = &read.to_keras().expect("it is Keras's").1[argument];
            assert_eq!(as_floats(written), as_floats(object), "{name}");
            checked += 1;
        }
    }
    assert_eq!(checked, 35 + 8 + 13);
}

#[test]
fn what_keras_2_15_refuses_is_refused() {
    let fixtures = fixtures("2.15.0");
    let refused = fixtures["refused"].as_array().expect("a list");
    assert_eq!(refused.len(), 22);
    for refused in refused {
        let mut config = json!({"filters": 2, "kernel_size": 3});
        let change = refused["change"].as_object().expect("a dictionary").clone();
        config.as_object_mut().expect("a dictionary").extend(change);
        let found = LayerConfig::from_keras("LocallyConnected2D", &config);
        assert!(found.is_err(), "{config}: {found:?}");
    }
}

fn all() -> Config {
    Config::new(4, [3, 2]).strides([2, 1]).data_format(DataFormat::ChannelsFirst).bias(Bias::None)
}

#[test]
fn keras_1_2_2() {
    assert_eq!(layers("1.2.2").len(), 3);
    let plain = named("1.2.2", "plain");
    assert_eq!((plain.config, plain.layout), (Config::new(4, [3, 2]), KerasLayout::Implementation1));
    assert_eq!(plain.batch_input_shape, Some(vec![None, Some(8), Some(6), Some(3)]));
    let expected = all()
        .activation(Activation::Tanh)
        .kernel_initializer(Initializer::HeUniform { seed: None })
        .kernel_regularizer(Regularizer::L1L2 { l1: 0.02, l2: 0.03 })
        .activity_regularizer(Regularizer::L1L2 { l1: 0.0, l2: 0.5 })
        .kernel_constraint(Constraint::MaxNorm { max_value: 3.0, axis: Axes::One(0) })
        .bias_constraint(Constraint::NonNeg);
    assert_eq!(named("1.2.2", "all").config, expected);
    let one = named("1.2.2", "one");
    let expected = Config::new(4, [3])
        .strides([2])
        .kernel_initializer(Initializer::RandomUniform { minval: -0.05, maxval: 0.05, seed: None })
        .bias_regularizer(Regularizer::L1L2 { l1: 0.25, l2: 0.0 })
        .kernel_constraint(Constraint::UnitNorm { axis: Axes::One(0) });
    assert_eq!((one.config, one.batch_input_shape), (expected, Some(vec![None, Some(9), Some(5)])));
}

#[test]
fn keras_2_2_4_and_tensorflow_2_5() {
    for version in ["2.2.4", "2.5.0", "2.15.0"] {
        let old = version == "2.2.4";
        let layer = named(version, "all");
        let (scale, mode, distribution) = (2.5, FanMode::Out, Distribution::Uniform);
        let l1 = |l1| if old { Regularizer::L1L2 { l1, l2: 0.0 } } else { Regularizer::L1 { l1 } };
        let l2 = |l2| if old { Regularizer::L1L2 { l1: 0.0, l2 } } else { Regularizer::L2 { l2 } };
        let expected = all()
            .activation(Activation::Selu)
            .kernel_initializer(Initializer::VarianceScaling { scale, mode, distribution, seed: Some(7) })
            .bias_initializer(Initializer::Constant { value: 0.5 })
            .kernel_regularizer(Regularizer::L1L2 { l1: 0.02, l2: 0.03 })
            .bias_regularizer(l2(0.25))
            .activity_regularizer(l1(0.125))
            .kernel_constraint(Constraint::MaxNorm { max_value: 3.0, axis: Axes::One(1) })
            .bias_constraint(Constraint::NonNeg);
        assert_eq!((layer.config, layer.trainable), (expected, false), "{version}");
        let one = named(version, "one");
        assert_eq!(one.batch_input_shape, Some(vec![Some(7), Some(9), Some(5)]), "{version}");
        for (class, config) in layers(version) {
            let read = LayerConfig::from_keras(&class, &config).expect("it is read");
            let written = read.to_keras().expect("it is Keras's");
            assert_eq!(LayerConfig::from_keras(&written.0, &written.1), Ok(read), "{version}");
        }
    }
    assert_eq!(named("2.15.0", "sparse").dtype, DtypePolicy::Float64);
    assert_eq!(named("2.15.0", "dense").dtype, DtypePolicy::MixedFloat16);
    // As Keras 2.2 says glorot_uniform.
    let (mode, distribution) = (FanMode::Average, Distribution::Uniform);
    let glorot = Initializer::VarianceScaling { scale: 1.0, mode, distribution, seed: None };
    assert_eq!(named("2.2.4", "plain").config.kernel_initializer, glorot);
}

/// Two layers, the second of one filter.
fn model() -> ModelFile {
    let local = |config: Config, input: &[usize]| {
        let geometry = Geometry::new(&config, input).expect("a layer");
        let (kernel, bias) = (vec![0.5; geometry.weights() as usize], Some(vec![0.25; geometry.biases() as usize]));
        let local = Local { geometry, layout: KerasLayout::Implementation1, kernel, bias, trainable: true };
        LayerKind::LocallyConnected(Box::new(local))
    };
    let first =
        Config::new(2, [3]).kernel_initializer(Initializer::Ones).kernel_regularizer(Regularizer::L1 { l1: 0.5 });
    let second = local(Config::new(1, [2]), &[6, 2]);
    let layers = vec![("first".into(), local(first, &[8, 3])), ("second".into(), second)];
    ModelFile::sequential("model", &[8, 3], layers).expect("a model")
}

fn again(model: &ModelFile, format: FileFormat) -> ModelFile {
    ModelFile::from_bytes("written", &model.to_bytes(format).expect("bytes"), format).expect("a model")
}

const FORMATS: [FileFormat; 3] = [FileFormat::Hdf5, FileFormat::Keras, FileFormat::Safetensors];

/// New models say the initializers that were chosen.
#[test]
fn a_new_model_says_what_was_chosen() {
    for format in FORMATS {
        let file = again(&model(), format);
        let first = &file.layer("first").expect("it").config;
        assert_eq!(first["kernel_initializer"]["class_name"], "Ones");
        assert_eq!(first["kernel_regularizer"]["config"]["l1"], 0.5);
        assert_eq!(first["bias_initializer"]["class_name"], "Zeros");
    }
}

/// What is changed in memory is what the file says.
#[test]
fn changes_reach_the_file() {
    for format in FORMATS {
        let mut file = model();
        for (name, local) in file.locals_mut() {
            local.set_layout(KerasLayout::Implementation3).expect("it has that layout");
            local.trainable = name == "first";
            let config =
                local.geometry.config().clone().activation(Activation::Tanh).bias_constraint(Constraint::NonNeg);
            let input = local.geometry.input_shape().to_vec();
            local.geometry = Geometry::new(&config, &input).expect("a layer");
        }
        let read = again(&file, format);
        for (layer, local) in read.locals() {
            assert_eq!(layer.config["implementation"], 3, "{format:?}");
            assert_eq!(local.layout, KerasLayout::Implementation3);
            assert_eq!(
                (local.trainable, &layer.config["trainable"]),
                (layer.name == "first", &json!(layer.name == "first"))
            );
            assert_eq!(layer.config["activation"], "tanh");
            assert_eq!(local.geometry.config().bias_constraint, Some(Constraint::NonNeg));
        }
        let changed: Vec<_> = file.locals().map(|(_, local)| local.clone()).collect();
        assert_eq!(read.locals().map(|(_, local)| local.clone()).collect::<Vec<_>>(), changed);
    }
}

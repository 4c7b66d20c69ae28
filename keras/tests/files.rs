//! Files that the real Keras wrote (tests/fixtures), and those that we write.

use crate::common::{disagreement, fixture};
use locally_connected::model::{Model, Wanted, names};
use locally_connected::reference::{Values, run};
use locally_connected::{Activation, Bias, Config, DataFormat, Geometry, KerasLayout, Padding};
use locally_connected_keras::{Error, FileFormat, FileLayer, LayerKind, Local, ModelFile, ReadOptions, Result, npy};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

const LAYOUTS: [KerasLayout; 3] =
    [KerasLayout::Implementation1, KerasLayout::Implementation2, KerasLayout::Implementation3];
const MODELS: [FileFormat; 3] = [FileFormat::Hdf5, FileFormat::Keras, FileFormat::Safetensors];

fn cases() -> PathBuf {
    fixture("cases")
}

fn index() -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(cases().join("index.json")).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn sizes(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

fn read_case(case: &Value) -> ModelFile {
    ModelFile::read(cases().join(text(case, "model"))).unwrap()
}

/// The models that run: every case but those marked, and the one whose activation is a layer, which we can do.
fn runnable() -> Vec<(String, ModelFile)> {
    let runs = |case: &&Value| case["supported"] == true || case["name"] == "activation_is_a_layer";
    index().iter().filter(runs).map(|case| (text(case, "name").to_owned(), read_case(case))).collect()
}

fn message(result: Result<ModelFile>) -> String {
    let message = match result {
        Ok(_) => panic!("no error"),
        Err(error @ Error::File { .. }) => error.to_string(),
        Err(other) => panic!("{other:?}"),
    };
    assert!(!message.contains('\n'), "{message}");
    message
}

/// A model's parameters, an input and, for the gradients of `Σ output · grad_output`, that.
fn values(model: &Model, x: &[f32], grad_output: Option<&[f32]>) -> Values {
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let mut values: Values = model.parameters.iter().map(|(name, values)| (name.clone(), wide(values))).collect();
    values.insert(names::INPUT.into(), wide(x));
    values.extend(grad_output.map(|dy| (names::GRAD_OUTPUT.into(), wide(dy))));
    values
}

/// The reference's output, of the whole model or of one layer, against Keras's.
fn assert_close(what: &str, file: &ModelFile, only: Option<&str>, [x, y]: [&npy::NpyArray; 2]) {
    let model = file.model(only).unwrap();
    assert_eq!(x.shape[1..], *model.input_shape(), "{what}");
    assert_eq!(y.shape[1..], *model.output_shape(), "{what}");
    let written = run(&model.graph.forward(), x.shape[0] as u32, &values(&model, &x.values, None)).unwrap();
    assert_near_to(&format!("Keras's output of {what}"), &y.values, &written[names::OUTPUT]);
}

/// The reference's gradients, of the whole model or of one layer, against Keras's: the same arrays, in the same layouts.
fn assert_gradients(what: &str, file: &ModelFile, only: Option<&str>, folder: &Value) {
    let array = |key| npy::read_npy(cases().join(text(folder, key))).unwrap();
    let (x, dy) = (array("x"), array("dy"));
    let mut keras: BTreeMap<_, _> = npy::read_npz(cases().join(text(folder, "grads"))).unwrap().into_iter().collect();
    let model = file.model(only).unwrap();
    let program = model.graph.backward(Wanted::All);
    let written = run(&program, x.shape[0] as u32, &values(&model, &x.values, Some(&dy.values))).unwrap();
    let input = keras.remove("input").unwrap();
    assert_near_to(&format!("the input's gradient of {what}"), &input.values, &written[names::GRAD_INPUT]);
    let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<_>>();
    let canonical = written.iter().map(|(name, values)| (name.clone(), narrow(values))).collect();
    let ours: BTreeMap<_, _> = file.gradients(only, &canonical).unwrap().into_iter().collect();
    assert_eq!(ours.keys().collect::<Vec<_>>(), keras.keys().collect::<Vec<_>>(), "{what}");
    for (name, keras) in &keras {
        let ours = &ours[name];
        assert_eq!(ours.shape, keras.shape, "{name} of {what}");
        let wide: Vec<f64> = ours.values.iter().map(|&value| value.into()).collect();
        assert_near_to(&format!("the gradient of {name} of {what}"), &keras.values, &wide);
    }
}

fn assert_near_to(what: &str, keras: &[f32], ours: &[f64]) {
    let largest = keras.iter().fold(0f32, |most, v| most.max(v.abs()));
    assert_eq!(disagreement(keras, ours, 2e-5 * f64::from(largest)), None, "{what}");
}

#[test]
fn fixtures_have_the_shapes_that_keras_says() {
    let index = index();
    assert!(index.len() >= 60);
    for case in &index {
        let (name, model) = (text(case, "name"), read_case(case));
        assert_eq!(model.keras_version(), if name == "old_keras_h5" { "2.2.2" } else { "2.15.0" });
        let listed: Vec<&str> = case["chain"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
        let classes: Vec<&str> = model.layers.iter().map(|layer| layer.class_name.as_str()).collect();
        let skip = usize::from(listed[0] != "InputLayer" && classes[0] == "InputLayer");
        assert_eq!(classes[skip..], listed, "{name}");
        let locals: Vec<_> = model.locals().collect();
        let expected = case["layers"].as_array().unwrap();
        assert_eq!(locals.len(), expected.len(), "{name}");
        for ((layer, local), expected) in locals.into_iter().zip(expected) {
            let (config, keras) = (local.geometry.config(), &expected["config"]);
            assert_eq!((&*layer.name, &*layer.class_name), (text(expected, "name"), text(expected, "class")));
            assert_eq!(layer.input_shape, sizes(&expected["input_shape"]), "{name}");
            assert_eq!(layer.output_shape, sizes(&expected["output_shape"]), "{name}");
            assert_eq!(local.kernel_shape(), sizes(&expected["kernel_shape"]), "{name}");
            assert_eq!(local.kernel.len(), local.kernel_shape().iter().product::<usize>());
            let bias = Some(&expected["bias_shape"]).filter(|shape| !shape.is_null()).map(sizes);
            assert_eq!(local.geometry.bias_shape(), bias, "{name}");
            assert_eq!(local.bias.as_ref().map(Vec::len), bias.map(|shape| shape.iter().product()));
            assert_eq!(config.filters as u64, keras["filters"].as_u64().unwrap());
            assert_eq!(config.kernel_size, sizes(&keras["kernel_size"]));
            assert_eq!(config.strides, sizes(&keras["strides"]));
            assert_eq!(config.padding.to_string(), text(keras, "padding"));
            assert_eq!(serde_json::to_value(config.data_format).unwrap(), keras["data_format"]);
            let activation = text(keras, "activation");
            let named = Activation::from_keras_name(activation).unwrap();
            // A layer's class may stand for one with arguments.
            assert!(named == config.activation || activation == "LeakyReLU", "{name}: {:?}", config.activation);
            assert_eq!(config.bias == Bias::PerLocation, keras["use_bias"] == true);
            assert_eq!(u64::from(local.layout.number()), keras["implementation"].as_u64().unwrap());
            assert_eq!(local.trainable, layer.name != "frozen");
        }
    }
}

#[test]
fn fixtures_compute_what_keras_computed() {
    for case in &index() {
        let (name, model) = (text(case, "name"), read_case(case));
        let array = |entry: &Value, key| npy::read_npy(cases().join(text(entry, key))).unwrap();
        // Of the others the arrays are of one layer, or of one output: tests/models.rs runs such models.
        if case["supported"] == true {
            assert_close(name, &model, None, [&array(case, "x"), &array(case, "y")]);
            assert_gradients(name, &model, None, case);
        }
        if let Some(alone) = case.get("alone") {
            assert_close(name, &model, Some(text(alone, "layer")), [&array(alone, "x"), &array(alone, "y")]);
            assert_gradients(name, &model, Some(text(alone, "layer")), alone);
        }
        // The names and layouts of gradients are those of the weights.
        let grads = npy::read_npz(cases().join(text(case, "grads"))).unwrap();
        let locals: Vec<_> = model.locals().collect();
        for (layer, local) in locals.iter().filter(|(_, local)| local.trainable) {
            let name = if locals.len() == 1 { "kernel".to_owned() } else { format!("{}/kernel", layer.name) };
            let (_, grad) = grads.iter().find(|(n, _)| *n == name).unwrap();
            assert_eq!(grad.shape, local.kernel_shape(), "{name}");
        }
    }
}

#[test]
fn digits_predict_as_keras() {
    let folder = cases().join("../digits");
    let array = |name: &str| npy::read_npy(folder.join(name)).unwrap();
    let (x, labels, predictions) = (array("x_test.npy"), array("y_test.npy"), array("predictions.npy"));
    assert_eq!(labels.shape, [450]);
    let h5 = ModelFile::read(folder.join("digits.h5")).unwrap();
    let keras = ModelFile::read(folder.join("digits.keras")).unwrap();
    assert_close("digits", &h5, None, [&x, &predictions]);
    for ((_, a), (_, b)) in h5.locals().zip(keras.locals()) {
        assert_eq!(a, b);
    }
}

#[test]
fn what_does_not_run_is_named() {
    let refused = ModelFile::read(fixture("refused/model.h5")).unwrap().check_runnable().unwrap_err().to_string();
    for (layer, why) in [
        ("up", "UpSampling2D: interpolation = \"bilinear\" is not supported: only \"nearest\" is"),
        ("unit", "UnitNormalization"),
    ] {
        assert!(refused.contains(&format!("{layer} ({why})")), "{refused}");
    }
    // Layer normalisation goes along any axes.
    assert!(["conv (", "local (", "rows ("].iter().all(|runs| !refused.contains(runs)), "{refused}");
    for file in ["weights_only/weights.weights.h5", "weights_only/legacy_weights.h5"] {
        let error = message(ModelFile::read(cases().join(file)));
        assert!(error.contains("without the model's config"), "{error}");
    }
    assert!(message(ModelFile::read(cases().join("slash_names/grads.npz"))).contains("arrays without a model"));
    assert!(message(ModelFile::read(cases().join("slash_names/x.npy"))).contains("unknown format"));
    assert!(matches!(ModelFile::read(cases().join("nowhere.h5")), Err(Error::Io { .. })));
    assert!(matches!(ModelFile::read(cases()), Err(Error::Io { .. })));
}

/// Of each class of Keras 2.15 that isn't run one line names the layer and its class, and says nothing of others.
#[test]
fn every_class_that_does_not_run_is_named() {
    let text = std::fs::read_to_string(fixture("refused/classes.json")).unwrap();
    let classes: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(classes.len() >= 39, "{}", classes.len());
    for class in classes {
        let name = class["class"].as_str().unwrap();
        let options = ReadOptions { architecture: Some(class["model"].to_string()), ..ReadOptions::default() };
        // A file of weights of no layer.
        let file = ModelFile::read_with(fixture("models/moves1d/model.h5"), &options)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let refused = file.check_runnable().expect_err(name).to_string();
        assert!(refused.contains(&format!("it ({name}")) && !refused.contains('\n'), "{name}: {refused}");
    }
}

#[test]
fn every_format_and_implementation_keeps_the_model() {
    for (name, model) in runnable() {
        for layout in [None].into_iter().chain(LAYOUTS.map(Some)) {
            let converted = match layout {
                None => model.clone(),
                Some(layout) => match model.clone().with_implementation(layout) {
                    Ok(converted) => converted,
                    Err(error) => {
                        assert_eq!(layout, KerasLayout::Implementation1, "{name}: {error}");
                        let same = |(_, l): (&FileLayer, &Local)| l.geometry.config().padding == Padding::Same;
                        assert!(model.locals().any(same), "{name}: {error}");
                        assert!(error.to_string().starts_with("implementation 1 of layer \""), "{error}");
                        continue;
                    }
                },
            };
            for ((_, a), (layer, b)) in model.locals().zip(converted.locals()) {
                assert_eq!(a.canonical().unwrap(), b.canonical().unwrap(), "{name}");
                assert_eq!(layer.config["implementation"].as_u64().unwrap_or(1), u64::from(b.layout.number()));
            }
            for format in MODELS {
                let bytes = converted.to_bytes(format).unwrap();
                assert!(bytes == converted.to_bytes(format).unwrap(), "{name}: not the same bytes each time");
                let again = ModelFile::from_bytes(&name, &bytes, format).unwrap();
                again.check_runnable().unwrap();
                assert_eq!((&again.name, &again.input_shape), (&model.name, &model.input_shape));
                assert_eq!(again.layers.len(), converted.layers.len());
                for (a, b) in converted.layers.iter().zip(&again.layers) {
                    assert_eq!(
                        (&a.name, &a.class_name, &a.config, &a.kind),
                        (&b.name, &b.class_name, &b.config, &b.kind)
                    );
                    assert_eq!((&a.input_shape, &a.output_shape), (&b.input_shape, &b.output_shape));
                }
                assert_compiled_alike(&name, &again, &converted);
            }
            let arrays = npy::npz_from_bytes(&name, &converted.to_bytes(FileFormat::Npz).unwrap()).unwrap();
            let array = |name: String| arrays.iter().find(|(n, _)| *n == name).map(|(_, array)| array);
            for (layer, local) in converted.locals() {
                let kernel = array(format!("{}/kernel", layer.name)).unwrap();
                assert_eq!((&kernel.shape, &kernel.values), (&local.kernel_shape(), &local.kernel));
                let bias = array(format!("{}/bias", layer.name));
                assert_eq!(bias.map(|bias| &bias.values), local.bias.as_ref());
            }
        }
    }
}

/// How older Kerases compiled a model is written as Keras 2.15 reads it, and what isn't kept is said.
#[test]
fn old_optimizers_are_written_as_today_s() {
    let old = fixture("old_keras");
    let versions = std::fs::read_dir(old).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut known = 0;
    for folder in versions.flat_map(|version| std::fs::read_dir(version).unwrap().map(|entry| entry.unwrap().path())) {
        let path = folder.join("model.h5");
        if !path.exists() {
            continue;
        }
        let file = ModelFile::read(&path).unwrap();
        let Some(compiled) = &file.compiled else { continue };
        let shown = path.display();
        assert!(compiled.state.is_none(), "{shown}");
        for format in [FileFormat::Hdf5, FileFormat::Keras, FileFormat::Safetensors] {
            let again = ModelFile::from_bytes("again", &file.to_bytes(format).unwrap(), format).unwrap();
            match (compiled.optimizer(), again.compiled) {
                (Ok(optimizer), Some(again)) => {
                    assert_eq!((again.optimizer(), again.lost), (Ok(optimizer), Vec::new()), "{shown}");
                    assert_eq!(again.config["optimizer"]["config"]["is_legacy_optimizer"], false, "{shown}");
                    known += 1;
                }
                (Err(_), None) => {}
                other => panic!("{shown}: {other:?}"),
            }
        }
    }
    assert!(known > 0, "none was compiled with an optimizer that is known");
}

/// Both were compiled in the same way, and their optimizers have come as far.
fn assert_compiled_alike(name: &str, one: &ModelFile, other: &ModelFile) {
    let (Some(one), Some(other)) = (&one.compiled, &other.compiled) else {
        assert_eq!((&one.compiled, &other.compiled), (&None, &None), "{name}");
        return;
    };
    assert_eq!((&one.lost, &other.lost), (&Vec::new(), &Vec::new()), "{name}");
    assert_eq!(one.optimizer(), other.optimizer(), "{name}");
    assert_eq!(one.goals(&["output"]), other.goals(&["output"]), "{name}");
    assert_eq!(one.state, other.state, "{name}");
    assert!(one.optimizer().is_ok() && one.state.is_some(), "{name}");
}

/// What Keras lacks is kept by our own format and refused by Keras's.
#[test]
fn our_own_arguments_are_kept() {
    let configs = [
        Config::new(4, [3]).dilation_rate([2]),
        Config::new(4, [3]).groups(2),
        Config::new(4, [3]).padding(Padding::SameUpper),
        Config::new(4, [3]).padding(Padding::Explicit(vec![[2, 1]])).strides([2]),
        Config::new(4, [3]).bias(Bias::PerFilter),
        Config::new(4, [3]).activation(Activation::Gelu { approximate: true }),
    ];
    for config in configs {
        let geometry = Geometry::new(&config, &[8, 6]).unwrap();
        let layout = KerasLayout::Implementation3;
        let kernel: Vec<f32> = (0..layout.len(&geometry)).map(|i| i as f32).collect();
        let bias = Some(vec![0.5; geometry.biases() as usize]);
        let local = Local { geometry, layout, kernel, bias, trainable: true };
        let layers = vec![("a/b".to_owned(), LayerKind::LocallyConnected(Box::new(local)))];
        let model = ModelFile::sequential("ours", &[8, 6], layers).unwrap();
        let bytes = model.to_bytes(FileFormat::Safetensors).unwrap();
        assert_eq!(ModelFile::from_bytes("x", &bytes, FileFormat::Safetensors).unwrap(), model);
        let error = model.to_bytes(FileFormat::Hdf5).unwrap_err().to_string();
        assert!(error.contains("is not supported in Keras's formats"), "{error}");
    }
}

/// Every kind of layer, rank 3, and activations that Keras has only as layers.
#[test]
fn new_models_are_read_back() {
    let config = Config::new(2, [2, 2, 2]).activation(Activation::Elu { alpha: 0.7 }).padding(Padding::Same);
    let geometry = Geometry::new(&config, &[3, 3, 3, 2]).unwrap();
    let layout = KerasLayout::Implementation2;
    let (kernel, bias) = (vec![0.25; layout.len(&geometry) as usize], Some(vec![0.5; geometry.biases() as usize]));
    let local = Local { geometry, layout, kernel, bias, trainable: false };
    let relu = Activation::Relu { negative_slope: 0.1, max_value: Some(6.0), threshold: 0.2 };
    let layers = vec![
        ("local".to_owned(), LayerKind::LocallyConnected(Box::new(local))),
        ("relu".to_owned(), LayerKind::Activation(relu)),
        ("rows".to_owned(), LayerKind::Reshape(vec![27, 2])),
        ("nothing".to_owned(), LayerKind::Identity),
        ("flat".to_owned(), LayerKind::Flatten { data_format: DataFormat::ChannelsFirst }),
        ("softmax".to_owned(), LayerKind::Activation(Activation::Softmax)),
    ];
    let model = ModelFile::sequential("new", &[3, 3, 3, 2], layers.clone()).unwrap();
    for format in MODELS {
        let again = ModelFile::from_bytes("x", &model.to_bytes(format).unwrap(), format).unwrap();
        let outline =
            |m: &ModelFile| m.layers.iter().map(|l| (l.name.clone(), l.output_shape.clone())).collect::<Vec<_>>();
        assert_eq!(outline(&again), outline(&model));
        assert_eq!(
            again.locals().map(|(_, l)| l).collect::<Vec<_>>(),
            model.locals().map(|(_, l)| l).collect::<Vec<_>>()
        );
        assert_eq!(again.layers[2].kind, LayerKind::Activation(relu));
    }
    assert!(ModelFile::sequential("new", &[3, 3, 2, 2], layers).is_err());
}

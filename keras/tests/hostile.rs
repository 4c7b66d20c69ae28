//! Small files that ask for much: an error, or a model that costs what the file's size does.

use crate::common::deflated::deflated;
use locally_connected::Error as Core;
use locally_connected_keras::compiled::Compiled;
use locally_connected_keras::{Error, FileFormat, ModelFile, Result};
use serde_json::{Value, json};

/// Reads a `.safetensors` file of a model without weights.
fn read(model: &Value) -> Result<ModelFile> {
    let metadata = json!({"version": 1, "keras_version": "2.15.0", "model": model, "layers": {}});
    let header = json!({"__metadata__": {"locally_connected": metadata.to_string()}}).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    ModelFile::from_bytes("hostile", &bytes, FileFormat::Safetensors)
}

fn model(model: &Value) -> ModelFile {
    read(model).unwrap()
}

fn layer(class: &str, name: &str, own: Value, from: &[Value]) -> Value {
    let mut config = json!({"name": name});
    config.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    let calls: Vec<Value> = from.iter().map(|from| json!([from])).collect();
    json!({"class_name": class, "name": name, "config": config, "inbound_nodes": calls})
}

fn input(name: &str, shape: &[u64]) -> Value {
    let shape: Vec<Value> = std::iter::once(Value::Null).chain(shape.iter().map(|&size| json!(size))).collect();
    layer("InputLayer", name, json!({"batch_input_shape": shape}), &[])
}

fn functional(name: &str, layers: &[Value], inputs: &[&str], outputs: &[Value]) -> Value {
    let inputs: Vec<Value> = inputs.iter().map(|name| json!([name, 0, 0])).collect();
    let config = json!({"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs});
    json!({"class_name": "Functional", "name": name, "config": config})
}

fn relu(name: &str, from: &[Value]) -> Value {
    layer("Activation", name, json!({"activation": "relu"}), from)
}

/// A model that is called twice by one that is called twice, and so on.
fn called_twice(deep: usize) -> Value {
    let mut model =
        functional("m0", &[input("i0", &[4]), relu("a", &[json!(["i0", 0, 0])])], &["i0"], &[json!(["a", 0, 0])]);
    for level in 1..=deep {
        let (own, inner) = (format!("i{level}"), format!("m{}", level - 1));
        model["inbound_nodes"] = json!([[[own, 0, 0]], [[inner, 1, 0]]]);
        model = functional(&format!("m{level}"), &[input(&own, &[4]), model], &[&own], &[json!([inner, 2, 0])]);
    }
    model
}

#[test]
fn models_in_models_make_some_thousand_calls_at_most() {
    let graph = model(&called_twice(10)).graph().unwrap();
    let calls = graph.layers().iter().filter(|layer| layer.name().ends_with("/a")).count();
    assert_eq!((calls, graph.forward().operations.len()), (1, 1 << 10));
    for deep in [13, 30] {
        let file = model(&called_twice(deep));
        for error in [file.check_runnable().unwrap_err(), file.graph().unwrap_err(), file.model(None).unwrap_err()] {
            let Error::Core(Core::TooLarge { value, limit, .. }) = &error else { panic!("{error}") };
            assert!(*value > u128::from(*limit) && *limit < 10_000, "{error}");
        }
    }
}

/// Each layer has its own shapes, and each call those of what it gives.
#[test]
fn samples_have_sixteen_axes_at_most() {
    let deep = |axes: usize| {
        functional("m", &[input("i", &vec![1; axes]), relu("a", &[json!(["i", 0, 0])])], &["i"], &[json!(["a", 0, 0])])
    };
    assert_eq!(model(&deep(16)).graph().unwrap().outputs()[0].shape, [1; 16]);
    let error = model(&deep(17)).graph().unwrap_err().to_string();
    assert!(error.contains("has no shape of 16 axes at most"), "{error}");
    // A layer that isn't run here, and one that is, make shapes longer.
    let embedded = |times: usize| {
        let mut layers = vec![input("e0", &[3])];
        layers.extend((1..=times).map(|at| {
            let own = json!({"input_dim": 4, "output_dim": 2});
            layer("Embedding", &format!("e{at}"), own, &[json!([format!("e{}", at - 1), 0, 0])])
        }));
        functional("m", &layers, &["e0"], &[json!([format!("e{times}"), 0, 0])])
    };
    assert_eq!(model(&embedded(15)).layers.last().unwrap().output_shape.len(), 16);
    let error = read(&embedded(16)).unwrap_err().to_string();
    assert!(error.contains("the shape of layer \"e16\"") && error.contains("16 sizes"), "{error}");
    let reshaped = |axes: usize| {
        let own = json!({"target_shape": vec![1; axes], "batch_input_shape": [null, 1]});
        json!({"class_name": "Sequential", "config": {"name": "m", "layers": [layer("Reshape", "r", own, &[])]}})
    };
    assert!(model(&reshaped(16)).graph().is_ok());
    let error = read(&reshaped(17)).unwrap_err().to_string();
    assert!(error.contains("16 sizes"), "{error}");
}

/// What a model inside gives counts for each of its calls.
#[test]
fn outputs_of_models_in_models_are_some_thousands_at_most() {
    let called = |times: usize, outputs: usize| {
        let layers = [input("i", &[4]), relu("a", &[json!(["i", 0, 0])])];
        let mut inner = functional("inner", &layers, &["i"], &vec![json!(["a", 0, 0]); outputs]);
        inner["inbound_nodes"] = json!(vec![json!([["x", 0, 0]]); times]);
        functional("m", &[input("x", &[4]), inner], &["x"], &[json!(["inner", 0, 0])])
    };
    assert!(model(&called(20, 20)).graph().is_ok());
    let error = model(&called(1000, 1000)).graph().unwrap_err();
    let Error::Core(Core::TooLarge { value, .. }) = &error else { panic!("{error}") };
    assert!(*value > 1_000_000, "{error}");
}

#[test]
fn equal_outputs_are_numbered() {
    let layers = [input("i", &[4]), relu("a", &[json!(["i", 0, 0])])];
    let file = model(&functional("m", &layers, &["i"], &vec![json!(["a", 0, 0]); 10_000]));
    let graph = file.graph().unwrap();
    let names: Vec<&str> = graph.outputs().iter().map(|end| end.name).collect();
    assert_eq!((names.len(), &names[..3], names[9_999]), (10_000, &["a", "a_1", "a_2"][..], "a_9999"));
}

#[test]
fn many_values_are_merged() {
    let names: Vec<String> = (0..2000).map(|number| format!("i{number}")).collect();
    let mut layers: Vec<Value> = names.iter().map(|name| input(name, &[4])).collect();
    let mut sum = layer("Add", "sum", json!({}), &[]);
    sum["inbound_nodes"] = json!([names.iter().map(|name| json!([name, 0, 0])).collect::<Vec<_>>()]);
    layers.push(sum);
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    let graph = model(&functional("m", &layers, &inputs, &[json!(["sum", 0, 0])])).graph().unwrap();
    assert_eq!((graph.inputs().len(), graph.forward().operations.len()), (2000, 1999));
}

#[test]
fn shapes_without_a_number_of_elements_are_none() {
    let layers = [
        input("i", &[4]),
        input("j", &[1 << 32, 1 << 32, 3]),
        layer("Flatten", "f", json!({}), &[json!(["i", 0, 0]), json!(["j", 0, 0])]),
    ];
    let file = model(&functional("m", &layers, &["i", "j"], &[json!(["f", 0, 0]), json!(["f", 1, 0])]));
    let Error::Core(Core::TooLarge { .. }) = file.graph().unwrap_err() else { panic!("a graph of 2^64 elements") };
}

/// The config of a model's layer is kept without the layers inside it, which have their own; it is written with them.
#[test]
fn models_in_models_are_written_as_they_were() {
    let inner = functional("m", &[input("i", &[4]), relu("a", &[json!(["i", 0, 0])])], &["i"], &[json!(["a", 0, 0])]);
    let mut called = inner.clone();
    called["inbound_nodes"] = json!([[["x", 0, 0]]]);
    let file = model(&functional("outer", &[input("x", &[4]), called], &["x"], &[json!(["m", 1, 0])]));
    assert_eq!((&file.layers[1].config["layers"], file.layers[1].inner.len()), (&json!([]), 2));
    let written = file.to_bytes(FileFormat::Keras).unwrap();
    let again = ModelFile::from_bytes("written", &written, FileFormat::Keras).unwrap();
    let inner = |file: &ModelFile| file.layers[1].inner.iter().map(|layer| layer.config.clone()).collect::<Vec<_>>();
    assert_eq!((inner(&again).len(), inner(&again)), (2, inner(&file)));
}

/// Files of a few kilobytes, most of them made by fuzz/hostile_hdf5.py: what is said about the whole file, or about its optimizer.
#[test]
fn hdf5_that_asks_for_much_is_refused() {
    for (name, why) in [
        ("tree-that-names-its-nodes-twice", "more than 6 times"),
        ("listed-again-and-again", "more than 6 times"),
        ("one-string-often", "more than 6 times"),
        ("steps-without-end", "don't fit into the file's 912 bytes"),
        ("steps-that-overflow", "too many elements"),
        ("chunk-compressed-twice", "compressed twice"),
        ("tree-that-names-itself", "a size that no library writes"),
        ("array-of-too-many-bits", "a size that no library writes"),
        ("chunks-without-an-index", "compressed chunks without an index"),
        ("shuffled-again-and-again", "more than eight filters"),
        ("types-in-types", "more than 32 types in one another"),
        ("types-of-many-members", "more members than bytes"),
        ("records-of-no-bytes", "a size that no library writes"),
        ("attribute-in-a-tree", "a size that no library writes"),
        ("header-like-another", "more members than bytes"),
        ("types-that-are-shared", "no readable shared message table"),
        ("axes-by-the-hundred", "more than eight axes"),
        ("attribute-as-long-as-a-part", "more members than bytes"),
        ("chunk-listed-often", "chunks that aren't those of its array"),
        ("chunk-of-any-size", "chunks that aren't those of its array"),
        ("chunks-of-no-size", "chunks of no size"),
        ("chunk-outside-its-array", "chunks that aren't those of its array"),
        ("pages-of-too-many-bits", "a size that no library writes"),
        ("filters-of-another-version", "chunks that aren't those of its array"),
        ("chunk-larger-than-its-array", "much larger than their array"),
        ("chunk-in-place-of-another", "chunks that aren't those of its array"),
        ("directory-before-chunks", "more than 6 times"),
        ("names-listed-again", "list of different strings"),
        // Nothing is lost: there is an optimizer without a name.
        ("empty-but-huge", "`optimizer` must be"),
    ] {
        let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/found/hdf5/{}"), name);
        let held = ModelFile::from_bytes(name, &std::fs::read(&path).unwrap(), FileFormat::Hdf5);
        for read in [held, ModelFile::read(&path)] {
            let said = match read {
                Ok(ModelFile { compiled: Some(compiled), .. }) => compiled.lost.join("; "),
                Ok(file) => file.check_runnable().unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(said.contains(why), "{name}: {said}");
        }
    }
}

/// All layers inside a layer have its name before their own.
#[test]
fn names_are_of_a_thousand_bytes_at_most() {
    let named = |length: usize| {
        let mut inner =
            functional("m", &[input("i", &[4]), relu("a", &[json!(["i", 0, 0])])], &["i"], &[json!(["a", 0, 0])]);
        let name = "n".repeat(length);
        (inner["name"], inner["config"]["name"]) = (json!(name), json!(name));
        inner["inbound_nodes"] = json!([[["x", 0, 0]]]);
        let outer = functional("outer", &[input("x", &[4]), inner], &["x"], &[json!([name, 1, 0])]);
        read(&outer)
    };
    assert_eq!(named(998).unwrap().layers[1].inner[1].name.len(), 1000);
    assert!(named(999).unwrap().check_runnable().unwrap_err().to_string().contains("at most 1000 bytes"));
    assert!(named(1001).unwrap_err().to_string().contains("at most 1000 bytes"));
}

/// Whether the argument changes anything is asked once, not for each call of each layer inside.
#[test]
fn a_model_is_called_in_training_by_thousands() {
    let layers: Vec<Value> = std::iter::once(input("i", &[4]))
        .chain((0..3000).map(|at| {
            relu(&format!("a{at}"), &[json!([if at == 0 { "i".into() } else { format!("a{}", at - 1) }, 0, 0])])
        }))
        .collect();
    let mut inner = functional("m", &layers, &["i"], &[json!(["a2999", 0, 0])]);
    inner["inbound_nodes"] = (0..3000).map(|_| json!([["x", 0, 0, {"training": true}]])).collect();
    let file = model(&functional("outer", &[input("x", &[4]), inner], &["x"], &[json!(["m", 1, 0])]));
    assert_eq!(file.layers[1].inner.len(), 3001);
}

/// JSON takes a hundred times its bytes in memory, and compressed files stand for a thousand times theirs.
#[test]
fn compressed_json_is_little_longer_than_its_file() {
    let long = " ".repeat(3 << 20);
    let sequential = json!({"class_name": "Sequential", "config": {"name": "s", "layers": [input("i", &[4])]}});
    let hdf5 = {
        let mut sequential = sequential.clone();
        sequential["config"]["own"] = json!(long);
        model(&sequential).to_bytes(FileFormat::Hdf5).unwrap()
    };
    let keras = |text: &str| deflated("config.json", format!("{sequential}{text}").as_bytes());
    for (archive, why) in [
        (keras(&long), "too many for a file of"),
        (keras(&long[..2 << 20]), "model.weights.h5: isn't in the archive"),
        (deflated("m.h5", &hdf5), "too many for a file of"),
    ] {
        let said = ModelFile::from_bytes("zip", &archive, FileFormat::Keras).unwrap_err().to_string();
        assert!(said.contains(why), "{said}, not {why}");
    }
    // As long a text is read where it isn't compressed.
    ModelFile::from_bytes("hdf5", &hdf5, FileFormat::Hdf5).unwrap();
}

/// Each output would have each metric.
#[test]
fn a_shared_list_of_metrics_has_each_once() {
    let outputs: Vec<String> = (0..1000).map(|number| format!("o{number}")).collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let goals = |metrics: &[&str]| Compiled::from_config(json!({"loss": "mse", "metrics": metrics})).goals(&outputs);
    assert_eq!(goals(&["mse", "mean_squared_error"]).unwrap()[999].metrics.len(), 2);
    let said = goals(&vec!["mse"; 1001]).unwrap_err().to_string();
    assert!(said.contains("metrics") && said.contains("names of their own"), "{said}");
}

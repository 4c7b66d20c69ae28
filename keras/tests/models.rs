//! Whole models that the real Keras wrote (tests/fixtures/models), with their outputs and gradients, on every executor.

use crate::common::{GPU, fixture};
use locally_connected::headless::{Cpu, Device, DeviceOptions, OnDevice};
use locally_connected::model::{Wanted, names};
use locally_connected::reference;
use locally_connected_keras::npy::{NpyArray, read_npy, read_npz};
use locally_connected_keras::{Backend, FileFormat, ModelFile, ReadOptions};
use pollster::block_on;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The arrays of a model: `x/…`, `y/…`, `dy/…`, `grads/…`.
type Data = BTreeMap<String, NpyArray>;

fn folders() -> Vec<(String, PathBuf)> {
    let folders = std::fs::read_dir(fixture("models")).expect("the fixtures").map(|entry| entry.expect("it").path());
    let mut folders: Vec<_> = folders
        .filter(|path| path.is_dir())
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), path))
        .collect();
    folders.sort();
    assert!(folders.len() >= 18, "{}", folders.len());
    folders
}

/// Runs a test on each model, and says all that went wrong.
fn each(test: impl Fn(&str, &Path)) {
    let failed = folders().into_iter().filter(|(name, folder)| {
        let run = std::panic::AssertUnwindSafe(|| test(name, folder));
        std::panic::catch_unwind(run).is_err()
    });
    let failed: Vec<_> = failed.map(|(name, _)| name).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

fn data(folder: &Path) -> Data {
    read_npz(folder.join("data.npz")).expect("arrays").into_iter().collect()
}

/// What of the data is under a prefix, by the rest of the names.
fn under<'d>(data: &'d Data, prefix: &str) -> Vec<(&'d str, &'d NpyArray)> {
    data.iter().filter_map(|(name, array)| Some((name.strip_prefix(prefix)?, array))).collect()
}

/// The same model as it is stored in other ways.
fn files(folder: &Path) -> Vec<(String, ModelFile)> {
    let mut files = Vec::new();
    for name in ["model.h5", "model.keras"] {
        if folder.join(name).exists() {
            files.push((name.to_owned(), ModelFile::read(folder.join(name)).expect("a model")));
        }
    }
    if let Ok(architecture) = std::fs::read_to_string(folder.join("architecture.json")) {
        let options = ReadOptions { architecture: Some(architecture), ..ReadOptions::default() };
        for name in ["weights.h5", "model.weights.h5"] {
            files.push((name.to_owned(), ModelFile::read_with(folder.join(name), &options).expect("weights")));
        }
    }
    files
}

fn assert_near(what: &str, found: &[f32], keras: &NpyArray) {
    assert_eq!(found.len(), keras.values.len(), "{what}");
    let largest = keras.values.iter().fold(f32::MIN_POSITIVE, |most, v| most.max(v.abs()));
    let worst = found.iter().zip(&keras.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 2e-5 * largest, "{what}: off by {worst:e} of {largest}");
}

/// All outputs and gradients of a model on a device, against Keras's.
fn assert_device(what: &str, file: &ModelFile, data: &Data, device: &Device) {
    let model = file.model(None).unwrap_or_else(|error| panic!("{what}: {error}"));
    let given = |prefix: &str| under(data, prefix).into_iter().map(|(name, array)| (name, array.values.as_slice()));
    let (inputs, grad_outputs): (Vec<_>, Vec<_>) = (given("x/").collect(), given("dy/").collect());
    let loaded: OnDevice<'_, '_> = block_on(device.upload(&model)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let outputs = block_on(loaded.run_named(&inputs)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(outputs.len(), grad_outputs.len(), "{what}");
    for (name, keras) in under(data, "y/") {
        assert_near(&format!("{name} of {what}"), &outputs[name], keras);
        let shape = model.graph.outputs().into_iter().find(|end| end.name == name).expect("an output").shape.to_vec();
        assert_eq!(keras.shape[1..], shape, "{name} of {what}");
    }
    let found = block_on(loaded.gradients_named(&inputs, &grad_outputs)).unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut ours: BTreeMap<String, NpyArray> = BTreeMap::new();
    for (name, values) in found.inputs {
        let shape = data[&format!("x/{name}")].shape.clone();
        ours.insert(model.graph.input_buffer(names::INPUT, &name), NpyArray { shape, values });
    }
    let several = file.all_layers().filter(|layer| layer.parameters() != [0; 2]).count() > 1;
    for (name, array) in file.gradients(None, &found.parameters).expect("gradients") {
        assert!(several);
        ours.insert(name, array);
    }
    let keras: BTreeMap<&str, &NpyArray> = under(data, "grads/").into_iter().collect();
    assert_eq!(
        ours.keys().map(String::as_str).collect::<Vec<_>>(),
        keras.keys().copied().collect::<Vec<_>>(),
        "{what}"
    );
    for (name, ours) in &ours {
        assert_eq!(ours.shape, keras[name.as_str()].shape, "gradient of {name} of {what}");
        assert_near(&format!("gradient of {name} of {what}"), &ours.values, keras[name.as_str()]);
    }
}

/// All outputs and gradients of a model by the reference, against Keras's.
fn assert_reference(what: &str, file: &ModelFile, data: &Data) {
    let model = file.model(None).unwrap_or_else(|error| panic!("{what}: {error}"));
    let program = model.graph.backward(Wanted::All);
    assert_eq!(program.check(), Ok(()), "{what}");
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let mut values: reference::Values =
        model.parameters.iter().map(|(name, values)| (name.clone(), wide(values))).collect();
    let mut batch = 0;
    for (name, x) in under(data, "x/") {
        batch = x.shape[0];
        values.insert(model.graph.input_buffer(names::INPUT, name), wide(&x.values));
    }
    for (name, dy) in under(data, "dy/") {
        values.insert(model.graph.output_buffer(names::GRAD_OUTPUT, name), wide(&dy.values));
    }
    let written = reference::run(&program, batch as u32, &values).unwrap_or_else(|e| panic!("{what}: {e}"));
    let narrow = |name: &str| written[name].iter().map(|&v| v as f32).collect::<Vec<f32>>();
    for (name, keras) in under(data, "y/") {
        let found = narrow(&model.graph.output_buffer(names::OUTPUT, name));
        assert_near(&format!("{name} of {what}"), &found, keras);
    }
    for (name, keras) in under(data, "grads/") {
        if name == "input" || name.starts_with("input/") {
            assert_near(&format!("gradient of {name} of {what}"), &narrow(&format!("grad_{name}")), keras);
        }
    }
    let canonical = written.keys().map(|name| (name.clone(), narrow(name))).collect();
    for (name, ours) in file.gradients(None, &canonical).expect("gradients") {
        assert_near(&format!("gradient of {name} of {what}"), &ours.values, &data[&format!("grads/{name}")]);
    }
}

fn adapter() -> Device {
    let adapter = Some(GPU.adapter().get_info().name);
    block_on(Device::open(&DeviceOptions { adapter, ..DeviceOptions::default() })).expect("an adapter")
}

/// The reference, which judges the executors, is judged by Keras.
#[test]
fn the_reference_computes_what_keras_does() {
    each(|name, folder| {
        let data = data(folder);
        for (file_name, file) in files(folder) {
            assert_reference(&format!("{name}/{file_name}"), &file, &data);
        }
    });
}

#[test]
fn the_host_s_threads_compute_what_keras_does() {
    let device = Device::Cpu(Cpu::new(&DeviceOptions::default()).expect("threads"));
    // In pieces of one sample as well, whose gradients add up.
    let pieces = DeviceOptions { sample_budget: Some(1), ..DeviceOptions::default() };
    let pieces = Device::Cpu(Cpu::new(&pieces).expect("threads"));
    each(|name, folder| {
        let data = data(folder);
        for (file_name, file) in files(folder) {
            assert_device(&format!("{name}/{file_name}"), &file, &data, &device);
        }
        assert_device(&format!("{name} in pieces"), &files(folder)[0].1, &data, &pieces);
    });
}

#[test]
fn the_adapter_computes_what_keras_does() {
    let device = adapter();
    each(|name, folder| {
        let (data, file) = (data(folder), &files(folder)[0].1);
        assert_device(&format!("{name} on the adapter"), file, &data, &device);
    });
}

/// Models of Keras 3 with a user's port of the layer, unregistered by its old name and registered by another.
#[test]
fn ports_of_the_layer_in_keras_3_run() {
    let device = Device::Cpu(Cpu::new(&DeviceOptions::default()).expect("threads"));
    let mut read = 0;
    for (folder, registered) in
        [("sequential", false), ("sequential_registered", true), ("functional", false), ("functional_registered", true)]
    {
        let folder = fixture("keras3").join(folder);
        for name in ["model.keras", "model.h5"].into_iter().filter(|name| folder.join(name).exists()) {
            let path = folder.join(name);
            let what = path.display().to_string();
            if registered {
                let unknown = ModelFile::read(&path).expect("a model").check_runnable().expect_err("it isn't known");
                assert!(unknown.to_string().contains("Registered)"), "{unknown}");
            }
            let classes = [("pkg>Registered".to_owned(), "LocallyConnected2D".to_owned())].into();
            let options = ReadOptions { classes, ..ReadOptions::default() };
            let file = ModelFile::read_with(&path, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_device(&what, &file, &data(&folder), &device);
            read += 1;
        }
    }
    assert_eq!(read, 7);
}

/// A layer that is read as another class is that in each of its calls.
#[test]
fn ports_are_called_again_with_other_shapes() {
    let layer = |class: &str, name: &str, shape: Value, calls: Value| {
        let config = json!({"name": name, "batch_input_shape": shape});
        json!({"class_name": class, "name": name, "config": config, "inbound_nodes": calls})
    };
    let layers = [
        layer("InputLayer", "i", json!([null, 4, 3]), json!([])),
        layer("InputLayer", "j", json!([null, 6, 3]), json!([])),
        layer("Mine", "pool", Value::Null, json!([[["i", 0, 0]], [["j", 0, 0]]])),
        layer("Flatten", "flat", Value::Null, json!([[["pool", 1, 0]]])),
    ];
    let config = json!({"layers": layers, "input_layers": [["i", 0, 0], ["j", 0, 0]], "output_layers": ["flat", 0, 0]});
    let model = json!({"class_name": "Functional", "config": config});
    let metadata = json!({"version": 1, "keras_version": "2.15.0", "model": model, "layers": {}}).to_string();
    let header = json!({"__metadata__": {"locally_connected": metadata}}).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let classes = [("Mine".to_owned(), "MaxPooling1D".to_owned())].into();
    let options = ReadOptions { classes, ..ReadOptions::default() };
    let file = ModelFile::from_bytes_with("ports", &bytes, FileFormat::Safetensors, &options).expect("a model");
    assert_eq!(file.output_shape(), [9]);
    file.check_runnable().expect("all of it is known");
}

/// Models of convolutions, pooling, normalisation, locally connected and dense layers by Keras 1.2.2 to 2.3.1 on Theano and by
/// TensorFlow 2.5: whole, and as weights alone. Theano's kernels are flipped in space.
#[test]
fn old_keras_s_models_run() {
    let versions =
        std::fs::read_dir(fixture("old_models")).expect("the fixtures").map(|entry| entry.expect("it").path());
    let mut ran = 0;
    for version in versions.filter(|path| path.is_dir()) {
        // Keras 1 doesn't say what ran it.
        let backend = version.ends_with("keras-1.2.2").then_some(Backend::Theano);
        for name in ["models", "graph"] {
            let folder = version.join(name);
            let [x, y] = ["x.npy", "y.npy"].map(|file| read_npy(folder.join(file)).expect("an array"));
            let architecture = std::fs::read_to_string(folder.join("architecture.json")).expect("JSON");
            let whole = ReadOptions { backend, ..ReadOptions::default() };
            let alone = ReadOptions { architecture: Some(architecture), ..whole.clone() };
            for (file_name, options) in [("model.h5", &whole), ("weights.h5", &alone)] {
                let path = folder.join(file_name);
                let what = path.display().to_string();
                let file = ModelFile::read_with(&path, options).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_near(&what, &output(&file, &x), &y);
                // As Keras 2.15 would have it: written and read again, nothing is flipped any more.
                for format in [FileFormat::Hdf5, FileFormat::Keras] {
                    let bytes = file.to_bytes(format).unwrap_or_else(|error| panic!("{what}: {error}"));
                    let again = ModelFile::from_bytes("again", &bytes, format).expect("ours");
                    assert_near(&format!("{what} as {format:?}"), &output(&again, &x), &y);
                }
                ran += 1;
            }
            if backend.is_some() {
                // Without it the kernels mean something else.
                let file = ModelFile::read(folder.join("model.h5")).expect("a model");
                let found = output(&file, &x);
                let worst = found.iter().zip(&y.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst > 0.01, "{worst}");
            }
            if version.ends_with("keras-2.3.1") {
                let wrong = ReadOptions { backend: Some(Backend::TensorFlow), ..ReadOptions::default() };
                let refused = ModelFile::read_with(folder.join("model.h5"), &wrong).expect_err("it says Theano");
                assert!(refused.to_string().contains("its backend is theano"), "{refused}");
            }
        }
    }
    assert_eq!(ran, 20);
}

/// The data of a model of one input and one output, each array in a file of its own.
fn old_data(folder: &Path, file: &ModelFile) -> Data {
    let graph = file.model(None).expect("it runs").graph;
    let [input, output] = [&graph.inputs()[0], &graph.outputs()[0]].map(|end| end.name.to_owned());
    let array = |file: &str| read_npy(folder.join(file)).expect("an array");
    let grads = read_npz(folder.join("grads.npz")).expect("arrays");
    let mut data: Data = grads.into_iter().map(|(name, array)| (format!("grads/{name}"), array)).collect();
    data.insert(format!("x/{input}"), array("x.npy"));
    data.insert(format!("y/{output}"), array("y.npy"));
    data.insert(format!("dy/{output}"), array("dy.npy"));
    data
}

/// The gradients of those models, which the Keras that wrote them computed, on every executor.
#[test]
fn old_keras_s_models_have_their_gradients() {
    let devices = [adapter(), Device::Cpu(Cpu::new(&DeviceOptions::default()).expect("threads"))];
    let versions =
        std::fs::read_dir(fixture("old_models")).expect("the fixtures").map(|entry| entry.expect("it").path());
    let mut compared = 0;
    for version in versions.filter(|path| path.is_dir()) {
        let backend = version.ends_with("keras-1.2.2").then_some(Backend::Theano);
        for folder in ["models", "graph"].map(|name| version.join(name)) {
            let what = folder.display().to_string();
            let options = ReadOptions { backend, ..ReadOptions::default() };
            let file =
                ModelFile::read_with(folder.join("model.h5"), &options).unwrap_or_else(|e| panic!("{what}: {e}"));
            let data = old_data(&folder, &file);
            assert_reference(&what, &file, &data);
            for device in &devices {
                assert_device(&what, &file, &data, device);
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 10);
}

/// The one output of a model of one input, on the calling thread.
fn output(file: &ModelFile, x: &NpyArray) -> Vec<f32> {
    let device = Device::Cpu(Cpu::new(&DeviceOptions::default()).expect("threads"));
    let model = file.model(None).unwrap_or_else(|error| panic!("{error}"));
    let loaded = block_on(device.upload(&model)).expect("its weights");
    block_on(loaded.run(&x.values)).expect("an output")
}

/// What is written is the same model again, in every format.
#[test]
fn models_are_written_as_they_were_read() {
    each(|name, folder| {
        for (file_name, file) in files(folder) {
            let model = file.model(None).expect("it runs");
            for format in [FileFormat::Hdf5, FileFormat::Keras, FileFormat::Safetensors] {
                let what = format!("{name}/{file_name} as {format:?}");
                let bytes = file.to_bytes(format).unwrap_or_else(|error| panic!("{what}: {error}"));
                let again = ModelFile::from_bytes("again", &bytes, format).unwrap_or_else(|e| panic!("{what}: {e}"));
                let again = again.model(None).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(again.graph, model.graph, "{what}");
                assert!(again.parameters == model.parameters, "{what}: other weights");
            }
        }
    });
}

/// Weights alone under other names are taken in order; where they don't fit, all that doesn't is named with both shapes.
#[test]
fn weights_alone_are_matched_by_name_or_in_order() {
    let folder = fixture("models/deepface");
    let architecture = std::fs::read_to_string(folder.join("architecture.json")).expect("JSON");
    let read = |architecture: &str| {
        let options = ReadOptions { architecture: Some(architecture.to_owned()), ..ReadOptions::default() };
        ModelFile::read_with(folder.join("weights.h5"), &options)
    };
    let own = read(&architecture).expect("weights");
    let renamed = ["C1", "C3", "L4", "L5", "L6", "F7", "F8"]
        .iter()
        .fold(architecture.clone(), |text, name| text.replace(&format!("\"{name}\""), &format!("\"other_{name}\"")));
    let other = read(&renamed).expect("weights");
    let values = |file: &ModelFile| file.model(None).expect("it runs").parameters.into_values().collect::<Vec<_>>();
    assert_eq!(values(&own).len(), 14);
    // In the order of names both have C1, C3, F7, … .
    assert!(values(&own) == values(&other));
    // A layer more than there are weights for.
    let more = renamed.replacen("\"MaxPooling2D\"", "\"LayerNormalization\"", 1);
    let refused = read(&more).expect_err("they don't fit").to_string();
    assert!(
        refused.contains("the file has weights of 7 layers (C1, C3") && refused.contains("of 8 (other_C1, M2"),
        "{refused}"
    );
    // Other sizes: each layer is named with what it needs and what there is.
    let wide = architecture.replace("\"units\": 12", "\"units\": 13").replace("\"filters\": 6", "\"filters\": 7");
    let refused = read(&wide).expect("a description").check_runnable().expect_err("they don't fit").to_string();
    for part in
        ["C1 (Conv2D: kernel must have shape [3, 3, 3, 7], but has [3, 3, 3, 6]; bias", "F7 (Dense: kernel must", "F8"]
    {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    // Without an architecture nothing is known.
    let refused = ModelFile::read(folder.join("weights.h5")).expect_err("weights alone").to_string();
    assert!(refused.contains("--architecture"), "{refused}");
    // In an archive.
    let mut zip = Vec::new();
    let bytes = std::fs::read(folder.join("weights.h5")).expect("it");
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(&mut zip));
    let options = zip::write::SimpleFileOptions::default();
    writer.start_file("weights/VGG.h5", options).expect("an entry");
    std::io::Write::write_all(&mut writer, &bytes).expect("memory");
    writer.finish().expect("memory");
    let options = ReadOptions { architecture: Some(architecture), ..ReadOptions::default() };
    let found = ModelFile::from_bytes_with("w.zip", &zip, FileFormat::Keras, &options).expect("weights");
    assert!(found.model(None) == own.model(None));
}

/// The published architectures have the shapes and parameters that are published.
#[test]
fn built_in_architectures_have_their_sizes() {
    // Weights of no layer: every layer with some is missing them, and says so; the others have their shapes.
    let folder = fixture("models/moves1d");
    for (name, output, listed) in [("deepface", 8631, 11), ("deepface-embedding", 4096, 9), ("alltnn", 565, 19)] {
        let options = ReadOptions { architecture: Some(name.to_owned()), ..ReadOptions::default() };
        let file = ModelFile::read_with(folder.join("model.h5"), &options).expect("an architecture");
        assert_eq!((file.layers.len(), file.output_shape()), (listed, &[output][..]), "{name}");
    }
}

/// The built-in descriptions have the layers that the published code makes, by name, class and argument.
#[test]
fn built_in_architectures_are_the_published_ones() {
    let read = |architecture: String| {
        let classes = [("Hypercolumn2D".to_owned(), "LocallyConnected2D".to_owned())].into();
        let options = ReadOptions { architecture: Some(architecture), classes, ..ReadOptions::default() };
        ModelFile::read_with(fixture("models/moves1d/model.h5"), &options).expect("an architecture")
    };
    for name in ["deepface", "alltnn"] {
        let published = fixture(&format!("published/{name}.json"));
        let published = read(std::fs::read_to_string(published).expect("the fixture"));
        let built_in = read(name.to_owned());
        let layers = |file: &ModelFile| {
            let layers = file.layers.iter().filter(|layer| layer.class_name != "InputLayer").cloned();
            layers.collect::<Vec<_>>()
        };
        let (published, built_in) = (layers(&published), layers(&built_in));
        assert_eq!(published.len(), built_in.len(), "{name}");
        for (published, built_in) in published.iter().zip(&built_in) {
            let what = format!("{} of {name}", published.name);
            assert_eq!((&built_in.name, &built_in.class_name), (&published.name, &published.class_name));
            assert_eq!(built_in.output_shape, published.output_shape, "{what}");
            for (argument, value) in built_in.config.as_object().expect("a dictionary") {
                assert_eq!(*value, published.config[argument], "{argument} of {what}");
            }
        }
    }
}

/// A subclass, and a registered one, are read as what they are said to be.
#[test]
fn classes_are_read_as_others() {
    let folder = fixture("models/gennet");
    let text = std::fs::read_to_string(folder.join("architecture.json")).expect("JSON");
    let text = text.replacen("\"LocallyConnected1D\"", "\"Hypercolumn1D\"", 1);
    let text = text.replacen("\"LocallyConnected1D\"", "\"pkg>LocallyConnected1D\"", 1);
    let read = |classes: &[(&str, &str)]| {
        let classes = classes.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let options = ReadOptions { architecture: Some(text.clone()), classes, ..ReadOptions::default() };
        ModelFile::read_with(folder.join("weights.h5"), &options).expect("weights")
    };
    let refused = read(&[]).check_runnable().expect_err("they aren't known").to_string();
    assert!(refused.contains("genes (Hypercolumn1D)"), "{refused}");
    assert!(refused.contains("pathways (pkg>LocallyConnected1D)"), "{refused}");
    let as_ours = "LocallyConnected1D";
    let file = read(&[("Hypercolumn1D", as_ours), ("pkg>LocallyConnected1D", as_ours)]);
    let whole = ModelFile::read(folder.join("model.h5")).expect("a model");
    assert!(file.model(None).expect("it runs") == whole.model(None).expect("it runs"));
    // Written, it is a model of Keras's own classes.
    let bytes = file.to_bytes(FileFormat::Hdf5).expect("a file");
    let again = ModelFile::from_bytes("again", &bytes, FileFormat::Hdf5).expect("ours");
    assert!(again.model(None).expect("it runs") == whole.model(None).expect("it runs"));
}

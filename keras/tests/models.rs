//! Whole models that the real Keras wrote (tests/fixtures/models), with their outputs and gradients, on every executor.

use crate::common::{GPU, fixture};
use locally_connected::headless::{Cpu, Device, DeviceOptions, OnDevice};
use locally_connected::model::{Wanted, names};
use locally_connected::reference;
use locally_connected_keras::npy::{NpyArray, read_npz};
use locally_connected_keras::{ModelFile, ReadOptions};
use pollster::block_on;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The arrays of a model: `x/…`, `y/…`, `dy/…`, `grads/…`.
type Data = BTreeMap<String, NpyArray>;

fn folders() -> Vec<(String, PathBuf)> {
    let folders = std::fs::read_dir(fixture("models")).expect("the fixtures").map(|entry| entry.expect("it").path());
    let mut folders: Vec<_> = folders
        .filter(|path| path.is_dir())
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), path))
        .collect();
    folders.sort();
    assert!(folders.len() >= 17, "{}", folders.len());
    folders
}

/// Runs a test on each model, and says all that went wrong.
fn each(test: impl Fn(&str, &std::path::Path)) {
    let failed = folders().into_iter().filter(|(name, folder)| {
        let run = std::panic::AssertUnwindSafe(|| test(name, folder));
        std::panic::catch_unwind(run).is_err()
    });
    let failed: Vec<_> = failed.map(|(name, _)| name).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

fn data(folder: &std::path::Path) -> Data {
    read_npz(folder.join("data.npz")).expect("arrays").into_iter().collect()
}

/// What of the data is under a prefix, by the rest of the names.
fn under<'d>(data: &'d Data, prefix: &str) -> Vec<(&'d str, &'d NpyArray)> {
    data.iter().filter_map(|(name, array)| Some((name.strip_prefix(prefix)?, array))).collect()
}

/// The same model as it is stored in other ways.
fn files(folder: &std::path::Path) -> Vec<(String, ModelFile)> {
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
    assert_eq!(ours.keys().map(String::as_str).collect::<Vec<_>>(), keras.keys().copied().collect::<Vec<_>>(), "{what}");
    for (name, ours) in &ours {
        assert_eq!(ours.shape, keras[name.as_str()].shape, "gradient of {name} of {what}");
        assert_near(&format!("gradient of {name} of {what}"), &ours.values, keras[name.as_str()]);
    }
}

/// The reference, which judges the executors, is judged by Keras.
#[test]
fn the_reference_computes_what_keras_does() {
    each(|name, folder| {
        let data = data(folder);
        for (file_name, file) in files(folder) {
            let what = format!("{name}/{file_name}");
            let model = file.model(None).unwrap_or_else(|error| panic!("{what}: {error}"));
            let program = model.graph.backward(Wanted::All);
            assert_eq!(program.check(), Ok(()), "{what}");
            let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let mut values: reference::Values =
                model.parameters.iter().map(|(name, values)| (name.clone(), wide(values))).collect();
            let mut batch = 0;
            for (name, x) in under(&data, "x/") {
                batch = x.shape[0];
                values.insert(model.graph.input_buffer(names::INPUT, name), wide(&x.values));
            }
            for (name, dy) in under(&data, "dy/") {
                values.insert(model.graph.output_buffer(names::GRAD_OUTPUT, name), wide(&dy.values));
            }
            let written = reference::run(&program, batch as u32, &values).unwrap_or_else(|e| panic!("{what}: {e}"));
            let narrow = |name: &str| written[name].iter().map(|&v| v as f32).collect::<Vec<f32>>();
            for (name, keras) in under(&data, "y/") {
                let found = narrow(&model.graph.output_buffer(names::OUTPUT, name));
                assert_near(&format!("{name} of {what}"), &found, keras);
            }
            for (name, keras) in under(&data, "grads/") {
                if name == "input" || name.starts_with("input/") {
                    assert_near(&format!("gradient of {name} of {what}"), &narrow(&format!("grad_{name}")), keras);
                }
            }
            let canonical = written.keys().map(|name| (name.clone(), narrow(name))).collect();
            for (name, ours) in file.gradients(None, &canonical).expect("gradients") {
                assert_near(&format!("gradient of {name} of {what}"), &ours.values, &data[&format!("grads/{name}")]);
            }
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
    let device = block_on(Device::open(&DeviceOptions {
        adapter: Some(GPU.adapter().get_info().name),
        ..DeviceOptions::default()
    }))
    .expect("an adapter");
    each(|name, folder| {
        let (data, file) = (data(folder), &files(folder)[0].1);
        assert_device(&format!("{name} on the adapter"), file, &data, &device);
    });
}

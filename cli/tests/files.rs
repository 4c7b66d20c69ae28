//! Files that a user has and that aren't a chain of Keras 2.15's as it writes it today: of old Keras, with layers in
//! layers, with layers that don't fit, of newer HDF5.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use common::{Folder, agree, all_agree, fails, fixture, in_parallel, npy, npz, succeeds};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn folders(path: &str, least: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixture(path)).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= least, "{path}");
    folders
}

/// A path in the fixtures, as a name.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// `run` and `grad` of a model, or of a layer in it, against what Keras wrote beside.
fn agrees(model: &Path, keras: &Path, arguments: &[&str]) {
    let (folder, what) = (Folder::new(), format!("{} {arguments:?}", shown(model)));
    let (y, gradients, x) = (folder.join("y.npy"), folder.join("g.npz"), keras.join("x.npy"));
    let with = |mut all: Vec<std::ffi::OsString>| {
        all.extend(arguments.iter().map(Into::into));
        common::locally(all)
    };
    let start = |command: &str| vec![command.into(), model.into(), "--input".into(), x.clone().into()];
    succeeds(&with([start("run"), vec!["--output".into(), y.clone().into()]].concat()));
    agree(&what, &npy(&y), &npy(&keras.join("y.npy")));
    let to = ["--grad-output".into(), keras.join("dy.npy").into(), "--output".into(), gradients.clone().into()];
    succeeds(&with([start("grad"), to.to_vec()].concat()));
    all_agree(&what, &npz(&gradients), &npz(&keras.join("grads.npz")));
}

/// Chains that Keras 1.2.2 to 2.3.1 and TensorFlow 2.5 wrote themselves, and what they computed.
#[test]
fn chains_of_old_keras() {
    let models: Vec<_> = folders("old_keras", 5).iter().flat_map(|version| folders(&shown(version), 3)).collect();
    in_parallel(&models, |folder| {
        for implementation in ["auto", "1", "2", "3"] {
            agrees(&folder.join("model.h5"), folder, &["--implementation", implementation]);
        }
        // What we write of it is one of Keras 2, and the same.
        let out = Folder::new();
        for to in ["new.h5", "new.keras", "new.safetensors"] {
            let to = out.join(to);
            let converted = locally!["convert", folder.join("model.h5"), &to];
            let said = common::stderr(&converted);
            assert_eq!(converted.status.code(), Some(0), "{said}");
            // What an optimizer of those days had come to isn't kept.
            assert!(said.lines().all(|line| line.starts_with("warning: not kept: ")), "{said}");
            agrees(&to, folder, &[]);
        }
    });
}

/// Keras 1 doesn't say what ran it; who does is not told so.
#[test]
fn the_backend_of_keras_1_is_asked_for_once() {
    let old = folders("old_models", 4).into_iter().find(|folder| folder.ends_with("keras-1.2.2")).expect("Keras 1");
    let model = old.join("models/model.h5");
    let note = "Keras 1 doesn't say what ran it";
    assert!(succeeds(&locally!["inspect", &model]).contains(note));
    for backend in ["theano", "tensorflow"] {
        let said = succeeds(&locally!["inspect", &model, "--backend", backend]);
        assert!(!said.contains(note), "{backend}: {said}");
    }
}

/// Every locally connected layer in another layer runs alone, by its path, and by its own name where that is the only
/// one; the whole says what stands in its way and what runs.
#[test]
fn layers_in_layers() {
    let models: Vec<_> = folders("inside", 3)
        .into_iter()
        .flat_map(|folder| ["model.h5", "model.keras"].map(|file| (folder.clone(), folder.join(file))))
        .collect();
    in_parallel(&models, |(folder, model)| {
        let inspected: Value = serde_json::from_str(&succeeds(&locally!["inspect", model, "--json"])).expect("JSON");
        let found: Vec<_> = inspected["layers"].as_array().expect("a list").iter().map(|l| &l["name"]).collect();
        let x = folders(&shown(folder), 2)[0].join("x.npy");
        let out = Folder::new();
        // As a whole it runs, but where a layer wraps another.
        let wrapped = inspected["runs"] == false;
        let mut help = String::new();
        if wrapped {
            (_, help) = fails(&locally!["run", model, "--input", &x, "--output", out.join("y.npy")], 2);
        }
        let alone = folders(&shown(folder), 2);
        assert_eq!(found.len(), alone.len(), "{found:?}");
        for keras in alone {
            let name = keras.file_name().expect("a name").to_string_lossy().replace('.', "/");
            assert!(found.iter().any(|layer| *layer == name.as_str()), "{name}: {found:?}");
            assert!(!wrapped || help.contains(&name), "{help}");
            agrees(model, &keras, &["--layer", &name]);
            let own = name.rsplit('/').next().expect("a name");
            let same = found.iter().filter(|layer| layer.as_str().is_some_and(|l| l.rsplit('/').next() == Some(own)));
            match same.count() {
                1 => agrees(model, &keras, &["--layer", own]),
                // One that is in no other layer goes by that name.
                _ if name == own => {}
                _ if found.iter().any(|layer| *layer == own) => {}
                _ => {
                    let output = out.join("y.npy");
                    let (_, help) =
                        fails(&locally!["run", model, "--layer", own, "--input", &x, "--output", output], 2);
                    assert!(help.contains(&name), "{help}");
                }
            }
        }
        succeeds(&locally!["verify", model]);
        if wrapped {
            fails(&locally!["convert", model, out.join("new.h5")], 2);
            assert!(out.names().is_empty());
        } else {
            succeeds(&locally!["convert", model, out.join("new.h5")]);
        }
    });
}

/// A version of `model.keras` of the fixtures whose config is changed, and whose weights may be.
fn edited(folder: &Folder, case: &str, edit: impl Fn(String) -> String) -> PathBuf {
    use std::io::{Read, Write};
    let bytes = std::fs::read(common::case(case).path("model")).expect("a fixture");
    let mut old = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("an archive");
    let mut new = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for index in 0..old.len() {
        let mut file = old.by_index(index).expect("a file");
        let name = file.name().expect("a name").into_owned();
        let mut contents = Vec::new();
        file.read_to_end(&mut contents).expect("its contents");
        if name == "config.json" {
            let text = String::from_utf8(contents).expect("text");
            let other = edit(text.clone());
            assert_ne!(text, other, "nothing was changed");
            contents = other.into_bytes();
        }
        new.start_file(name, zip::write::SimpleFileOptions::default()).expect("an entry");
        new.write_all(&contents).expect("an entry");
    }
    folder.file(&format!("{case}.keras"), new.finish().expect("an archive").into_inner())
}

/// What is wrong with one locally connected layer is said of it; the file is inspected, and the others run.
#[test]
fn a_layer_that_can_not_run_is_alone_with_it() {
    // Three layers; the second has strides of 2.
    let case = "functional_2d_mixed_keras";
    let whole = common::case(case);
    let second = r#""name": "locally_connected2d_1""#;
    let edits: [(&str, &str, &str); 6] = [
        (r#""activation": "tanh""#, r#""activation": "swoosh""#, "swoosh"),
        (r#""strides": [2, 2]"#, r#""strides": [2, 2], "dilation_rate": [2, 1]"#, "dilation_rate"),
        (r#""strides": [2, 2]"#, r#""strides": [1, 1]"#, "`strides` [2, 2] would fit its weights"),
        (r#""use_bias": true"#, r#""use_bias": false"#, "2 weights"),
        (r#""padding": "same""#, r#""padding": "causal""#, "causal"),
        (r#""filters": 2"#, r#""filters": 5"#, "kernel must have shape"),
    ];
    in_parallel(&edits, |(from, to, said)| {
        let folder = Folder::new();
        let model = edited(&folder, case, |text| {
            // The keys of a layer's config stand behind its name.
            let (before, after) = text.split_once(second).expect("the second layer");
            format!("{before}{second}{}", after.replacen(from, to, 1))
        });
        let inspected: Value = serde_json::from_str(&succeeds(&locally!["inspect", &model, "--json"])).expect("JSON");
        let chain = inspected["chain"].as_array().expect("a list");
        let refused: Vec<_> = chain.iter().filter(|layer| layer["runs"] == false).collect();
        assert_eq!(refused.len(), 1, "{chain:?}");
        assert_eq!(refused[0]["name"], "locally_connected2d_1");
        assert!(refused[0]["reason"].as_str().is_some_and(|why| why.contains(said)), "{refused:?}");
        assert_eq!(refused[0]["output_shape"], whole.layers()[1]["output_shape"], "{to}");
        let y = folder.join("y.npy");
        let (error, help) = fails(&locally!["run", &model, "--input", whole.path("x"), "--output", &y], 2);
        assert!(error.contains("locally_connected2d_1 (LocallyConnected2D: ") && error.contains(said), "{error}");
        assert!(help.ends_with("here: locally_connected2d, locally_connected2d_2"), "{help}");
        succeeds(&locally![
            "run",
            &model,
            "--layer",
            "locally_connected2d",
            "--input",
            whole.path("x"),
            "--output",
            &y
        ]);
        let sizes = whole.layers()[2]["input_shape"].as_array().expect("a shape").iter();
        let shape: Vec<usize> = sizes.map(|n| n.as_u64().expect("a size") as usize).collect();
        let ones = vec![1.0; shape.iter().product()];
        let shape = [&[1], shape.as_slice()].concat();
        let x = folder.file("x.npy", locally_connected_keras::npy::npy_bytes(&shape, &ones).expect("bytes"));
        succeeds(&locally!["run", &model, "--layer", "locally_connected2d_2", "--input", x, "--output", &y]);
        fails(&locally!["convert", &model, folder.join("new.keras")], 2);
    });
}

/// What Keras computes in 16 bits is said.
#[test]
fn reduced_precision_is_said() {
    let (case, folder) = ("functional_2d_mixed_keras", Folder::new());
    let text = succeeds(&locally!["inspect", common::case(case).path("model")]);
    assert!(!text.contains("float16"), "{text}");
    let policy = r#""dtype": {"module": "keras.mixed_precision", "class_name": "Policy", "config": {"name": "mixed_float16"}, "registered_name": null}"#;
    for (dtype, name) in [(policy, "mixed_float16"), (r#""dtype": "bfloat16""#, "bfloat16")] {
        let model = edited(&folder, case, |text| text.replace(r#""dtype": "float32""#, dtype));
        let text = succeeds(&locally!["inspect", &model]);
        assert!(text.contains(&format!("in {name} by Keras")) && text.contains("locally_connected2d_2"), "{text}");
        let inspected: Value = serde_json::from_str(&succeeds(&locally!["inspect", &model, "--json"])).expect("JSON");
        let layers = inspected["reduced_precision"][name].as_array().expect("a list");
        assert!(layers.contains(&"locally_connected2d".into()), "{layers:?}");
        let y = folder.join("y.npy");
        succeeds(&locally!["run", &model, "--input", common::case(case).path("x"), "--output", y]);
    }
}

/// Numbers that JSON has no words for, as Python's json writes them, stay what they are in all formats.
#[test]
fn numbers_beyond_json_are_kept() {
    let (case, folder) = ("functional_2d_mixed_keras", Folder::new());
    // Keras's Constant took arrays once; it is kept, whatever is in them.
    let glorot = r#""GlorotUniform", "config": {"seed": null}"#;
    let model = edited(&folder, case, |text| {
        text.replacen(glorot, r#""Constant", "config": {"value": [NaN, -Infinity, Infinity, "NaN"]}"#, 1)
    });
    let mut from = model.clone();
    for to in ["a.safetensors", "b.h5", "c.keras"] {
        let to = folder.join(to);
        succeeds(&locally!["convert", &from, &to]);
        let y = folder.join("y.npy");
        succeeds(&locally!["run", &to, "--input", common::case(case).path("x"), "--output", &y]);
        agree(case, &npy(&y), &npy(&common::case(case).path("y")));
        let bytes = std::fs::read(&to).expect("the file");
        let text = String::from_utf8_lossy(&bytes).replace('\\', "");
        assert!(text.contains(r#"[NaN,-Infinity,Infinity,"NaN"]"#), "{}", shown(&to));
        from = to;
    }
    let json = succeeds(&locally!["inspect", &model, "--json"]);
    let inspected: Value = serde_json::from_str(&json).expect("JSON");
    let value = &inspected["layers"][0]["config"]["kernel_initializer"]["config"]["value"];
    assert_eq!(*value, serde_json::json!(["NaN", "-Infinity", "Infinity", "NaN"]));
}

/// Of a frozen model nothing has gradients but the input.
#[test]
fn frozen_models() {
    let (case, folder) = ("functional_2d_mixed_keras", Folder::new());
    let whole = common::case(case);
    let model = edited(&folder, case, |text| text.replacen(r#""trainable": true"#, r#""trainable": false"#, 1));
    let gradients = folder.join("g.npz");
    let (x, dy) = (whole.path("x"), whole.path("dy"));
    succeeds(&locally!["grad", model, "--input", x, "--grad-output", dy, "--output", &gradients]);
    let names: Vec<_> = npz(&gradients).into_keys().collect();
    assert_eq!(names, ["input"]);
}

#[test]
fn inputs_as_people_have_them() {
    let (case, folder) = (common::case("1d_cl_i1_linear"), Folder::new());
    let (model, x, y) = (case.path("model"), npy(&case.path("x")), folder.join("y.npy"));
    let archive = |name: &str, names: &[&str]| {
        let arrays: Vec<_> = names.iter().map(|n| ((*n).to_owned(), x.shape.clone(), x.values.as_slice())).collect();
        folder.file(name, locally_connected_keras::npy::npz_bytes(&arrays).expect("bytes"))
    };
    let run = |input: &Path| locally!["run", &model, "--input", input, "--output", &y];
    for name in ["one.npz", "one.npy"] {
        succeeds(&run(&archive(name, &["arr_0"])));
        agree(name, &npy(&y), &npy(&case.path("y")));
    }
    let (error, _) = fails(&run(&archive("two.npz", &["train", "test"])), 2);
    assert!(error.contains("train, test") && error.contains("one array is needed"), "{error}");
    let (error, _) = fails(&run(&archive("none.npz", &[])), 2);
    assert!(error.contains("none.npz"), "{error}");
    let values = |shape: &[usize]| {
        let count = shape.iter().product();
        let bytes = locally_connected_keras::npy::npy_bytes(shape, &vec![0.5; count]).expect("bytes");
        folder.file("x.npy", bytes)
    };
    // The model takes (batch, 8, 5).
    let (_, help) = fails(&run(&values(&[2, 5, 8])), 2);
    assert!(help.contains("(batch, 8, 5)") && help.contains("numpy.transpose(x, (0, 2, 1))"), "{help}");
    let (_, help) = fails(&run(&values(&[8, 5, 2])), 2);
    assert!(help.contains("numpy.transpose(x, (2, 0, 1))"), "{help}");
    let (_, help) = fails(&run(&values(&[2, 40])), 2);
    assert!(help.contains("(batch, 8, 5)") && !help.contains("transpose"), "{help}");
}

/// HDF5 that isn't read here: the same line for every command.
#[test]
fn newer_hdf5() {
    let (model, x) = (fixture("hdf5/layout_5.h5"), common::case("1d_cl_i1_linear").path("x"));
    let folder = Folder::new();
    for output in [
        locally!["inspect", &model],
        locally!["run", &model, "--input", &x, "--output", folder.join("y.npy")],
        locally!["grad", &model, "--input", &x, "--grad-output", &x, "--output", folder.join("g.npz")],
        locally!["convert", &model, folder.join("new.h5")],
    ] {
        let (error, _) = fails(&output, 2);
        assert!(error.contains("data layout version 5") && error.contains("h5repack"), "{error}");
    }
    assert!(folder.names().is_empty());
}

//! Whole models of the fixtures through the real command: several inputs and outputs, weights alone, other classes.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use common::{Folder, agree, fails, fixture, in_parallel, npy, npz, succeeds};
use locally_connected_keras::npy::{NpyArray, write_npy, write_npz};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;

type Arrays = BTreeMap<String, NpyArray>;

/// A fixture's arrays under a prefix, by the rest of their names.
fn under(model: &str, prefix: &str) -> Arrays {
    let all = npz(&fixture(&format!("models/{model}/data.npz")));
    all.into_iter().filter_map(|(name, array)| Some((name.strip_prefix(prefix)?.to_owned(), array))).collect()
}

fn save(folder: &Folder, name: &str, array: &NpyArray) -> OsString {
    let path = folder.join(&format!("{name}.npy"));
    write_npy(&path, &array.shape, &array.values).expect("a file");
    path.into()
}

fn save_all(folder: &Folder, name: &str, arrays: &Arrays) -> OsString {
    let path = folder.join(&format!("{name}.npz"));
    let named: Vec<_> = arrays.iter().map(|(n, a)| (n.clone(), a.shape.clone(), a.values.as_slice())).collect();
    write_npz(&path, &named).expect("a file");
    path.into()
}

/// Every whole model, by one file of all its arrays.
#[test]
fn every_model_runs_and_has_its_gradients() {
    let models = ["conv2d", "merges", "activations", "deepface", "yolo", "gennet", "branches", "shared", "nested"];
    in_parallel(&models, |model| {
        let folder = Folder::new();
        let (x, y, dy) = (under(model, "x/"), under(model, "y/"), under(model, "dy/"));
        let (inputs, grad_outputs) = (save_all(&folder, "x", &x), save_all(&folder, "dy", &dy));
        let (path, out) = (fixture(&format!("models/{model}/model.h5")), folder.join("y.npz"));
        let run = || locally!["run", &path, "--input", &inputs, "--output", &out];
        let on_cpu = || locally!["run", &path, "--input", &inputs, "--output", &out, "--adapter", "cpu"];
        for run in [&run as &dyn Fn() -> _, &on_cpu] {
            succeeds(&run());
            let found = npz(&out);
            assert_eq!(found.keys().collect::<Vec<_>>(), y.keys().collect::<Vec<_>>(), "{model}");
            y.iter().for_each(|(name, y)| agree(&format!("{name} of {model}"), &found[name], y));
        }
        let gradients = folder.join("g.npz");
        succeeds(&locally!["grad", &path, "--input", &inputs, "--grad-output", &grad_outputs, "--output", &gradients]);
        let (found, expected) = (npz(&gradients), under(model, "grads/"));
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{model}");
        expected.iter().for_each(|(name, g)| agree(&format!("gradient of {name} of {model}"), &found[name], g));
    });
}

#[test]
fn several_inputs_are_given_in_order_or_by_name() {
    let folder = Folder::new();
    let x = under("gennet", "x/");
    let [covariates, genotype] = ["covariates", "genotype"].map(|name| save(&folder, name, &x[name]));
    let named = |name: &str, path: &OsString| {
        let mut argument = OsString::from(format!("{name}="));
        argument.push(path);
        argument
    };
    let (model, y) = (fixture("models/gennet/model.keras"), folder.join("y.npy"));
    let expected = &under("gennet", "y/")["output"];
    for inputs in [
        // The model's order is genotype, covariates.
        [genotype.clone(), covariates.clone()],
        [named("covariates", &covariates), named("genotype", &genotype)],
        [genotype.clone(), named("covariates", &covariates)],
    ] {
        succeeds(&locally!["run", &model, "--input", &inputs[0], "--input", &inputs[1], "--output", &y]);
        agree("gennet", &npy(&y), expected);
    }
    let run = |inputs: &[OsString]| {
        let mut arguments: Vec<OsString> = vec!["run".into(), model.clone().into()];
        inputs.iter().for_each(|input| arguments.extend(["--input".into(), input.clone()]));
        arguments.extend(["--output".into(), folder.join("none.npy").into()]);
        fails(&common::locally(arguments), 2)
    };
    let (error, help) = run(std::slice::from_ref(&genotype));
    assert!(
        error.contains("no file is given for \"covariates\"") && help.contains("genotype, covariates"),
        "{error} {help}"
    );
    let (error, _) = run(&[genotype.clone(), named("genotype", &genotype)]);
    assert!(error.contains("given twice"), "{error}");
    let (error, _) = run(&[genotype.clone(), named("age", &covariates)]);
    assert!(error.contains("no \"age\""), "{error}");
    let (error, _) = run(&[covariates.clone(), genotype.clone()]);
    assert!(error.contains("the input \"genotype\" must have shape"), "{error}");
    let (error, help) = fails(
        &locally![
            "run",
            fixture("models/branches/model.h5"),
            "--input",
            &genotype,
            "--output",
            folder.join("none.npy")
        ],
        2,
    );
    assert!(error.contains("2 outputs (head, add)") && help.contains(".npz"), "{error} {help}");
    assert!(!folder.names().iter().any(|name| name.starts_with("none")));
}

#[test]
fn weights_alone_run_with_their_architecture() {
    let folder = Folder::new();
    let dir = fixture("models/deepface");
    let x = save(&folder, "x", &under("deepface", "x/")["C1_input"]);
    let (y, expected) = (folder.join("y.npy"), &under("deepface", "y/")["F8"]);
    for weights in ["weights.h5", "model.weights.h5"] {
        let with = ["--architecture".into(), dir.join("architecture.json").into_os_string()];
        let [flag, json] = &with;
        succeeds(&locally!["run", dir.join(weights), flag, json, "--input", &x, "--output", &y]);
        agree(weights, &npy(&y), expected);
        let inspected = succeeds(&locally!["inspect", dir.join(weights), flag, json, "--json"]);
        let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
        assert_eq!((&inspected["runs"], &inspected["parameters"]), (&true.into(), &7128.into()));
        // Written as a whole model it needs no architecture any more.
        let whole = folder.join("whole.keras");
        succeeds(&locally!["convert", dir.join(weights), &whole, flag, json]);
        succeeds(&locally!["run", &whole, "--input", &x, "--output", &y]);
        agree(weights, &npy(&y), expected);
        let (error, _) = fails(&locally!["run", dir.join(weights), "--input", &x, "--output", &y], 2);
        assert!(error.contains("--architecture"), "{error}");
    }
    // Of the full size every layer with weights is named, with both shapes.
    let (error, _) = fails(
        &locally![
            "run",
            dir.join("weights.h5"),
            "--architecture",
            "deepface",
            "--input",
            &x,
            "--output",
            folder.join("n.npy")
        ],
        2,
    );
    for part in ["C1 (Conv2D: kernel must have shape [11, 11, 3, 32], but has [3, 3, 3, 6]", "L4 (", "F7 (", "F8 ("] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let (error, help) = fails(&locally!["inspect", dir.join("weights.h5"), "--architecture", "nowhere.json"], 2);
    assert!(error.contains("nowhere.json") && help.contains("deepface"), "{error} {help}");
}

#[test]
fn a_subclass_is_read_as_the_layer() {
    let folder = Folder::new();
    let dir = fixture("models/gennet");
    let text = std::fs::read_to_string(dir.join("architecture.json")).expect("JSON");
    let json = folder.file("a.json", text.replace("\"LocallyConnected1D\"", "\"pkg>Port\""));
    let x = save_all(&folder, "x", &under("gennet", "x/"));
    let (y, weights) = (folder.join("y.npy"), dir.join("weights.h5"));
    let (error, help) = fails(&locally!["run", &weights, "--architecture", &json, "--input", &x, "--output", &y], 2);
    assert!(error.contains("genes (pkg>Port)") && help.contains("--as"), "{error} {help}");
    let class = "pkg>Port=LocallyConnected1D";
    succeeds(&locally!["run", &weights, "--architecture", &json, "--as", class, "--input", &x, "--output", &y]);
    agree("gennet", &npy(&y), &under("gennet", "y/")["output"]);
    fails(&locally!["run", &weights, "--as", "nothing", "--input", &x, "--output", &y], 2);
}

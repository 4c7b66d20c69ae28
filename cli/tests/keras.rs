//! `run` and `grad` against what real Keras computed, for every model of `tests/fixtures`.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use common::{
    Case, Folder, agree, all_agree, case, cases, disagreement, fails, fixture, in_parallel, npy, npz, succeeds, wide,
};
use locally_connected::Implementation;
use locally_connected::headless::{Gpu, GpuOptions};
use locally_connected::model::{GraphLayer, Kind};
use locally_connected_keras::ModelFile;
use locally_connected_keras::npy::NpyArray;
use pollster::block_on;

fn supported() -> Vec<Case> {
    let cases: Vec<Case> = cases().into_iter().filter(Case::is_supported).collect();
    assert!(cases.len() > 40);
    cases
}

#[test]
fn every_supported_model_agrees_with_keras() {
    let cases: Vec<_> = supported().into_iter().zip(["auto", "1", "2", "3"].into_iter().cycle()).collect();
    in_parallel(&cases, |(case, implementation)| {
        let folder = Folder::new();
        let what = format!("{} by {implementation}", case.name());
        let (y, gradients) = (folder.join("y.npy"), folder.join("g.npz"));
        let (model, x, dy) = (case.path("model"), case.path("x"), case.path("dy"));
        let how = ["--implementation", implementation];
        succeeds(&locally!["run", &model, "--input", &x, "--output", &y, how[0], how[1]]);
        agree(&format!("y of {what}"), &npy(&y), &npy(&case.path("y")));
        succeeds(&locally!["grad", how[0], how[1], model, "--input", x, "--grad-output", dy, "--output", &gradients]);
        all_agree(&what, &npz(&gradients), &npz(&case.path("grads")));
        assert_eq!(folder.names(), ["g.npz", "y.npy"]);
    });
}

/// The CPU executor as well, on one thread and on several, without a driver.
#[test]
fn every_supported_model_agrees_with_keras_on_the_cpu() {
    let cases: Vec<_> = supported().into_iter().zip(["1", "3"].into_iter().cycle()).collect();
    in_parallel(&cases, |(case, threads)| {
        let folder = Folder::new();
        let what = format!("{} on {threads} threads", case.name());
        let (y, gradients) = (folder.join("y.npy"), folder.join("g.npz"));
        let (model, x, dy) = (case.path("model"), case.path("x"), case.path("dy"));
        let on = ["--adapter", "cpu", "--threads", threads];
        succeeds(&locally!["run", on[0], on[1], on[2], on[3], &model, "--input", &x, "--output", &y]);
        agree(&format!("y of {what}"), &npy(&y), &npy(&case.path("y")));
        let given = ["--input", "--grad-output", "--output"];
        succeeds(&locally!["grad", on[0], on[1], on[2], on[3], model, given[0], x, given[1], dy, given[2], &gradients]);
        all_agree(&what, &npz(&gradients), &npz(&case.path("grads")));
    });
}

/// Every model in every way, whole and in pieces of a sample or two, without a process for each.
#[test]
fn every_implementation_agrees_with_keras() {
    let gpu = |sample_budget| {
        block_on(Gpu::with_options(&GpuOptions { sample_budget, ..GpuOptions::default() }))
            .expect("tests need an adapter")
    };
    let gpus = [None, Some(1)].map(|budget| (budget, gpu(budget)));
    for case in supported() {
        let file = ModelFile::read(case.path("model")).expect("a model");
        let model = file.model(None).expect("it runs");
        let (x, dy) = (npy(&case.path("x")), npy(&case.path("dy")));
        let (y, expected) = (npy(&case.path("y")), npz(&case.path("grads")));
        for implementation in Implementation::ALL {
            for (sample_budget, gpu) in &gpus {
                let what = format!("{} by {} ({sample_budget:?})", case.name(), implementation.name());
                let model = model.clone().with_implementation(implementation);
                let loaded = block_on(model.upload(gpu.context())).expect("its weights");
                let local = |layer: &&GraphLayer| matches!(layer.kind(), Kind::Local(_));
                assert_eq!(loaded.graph().layers().iter().filter(local).count(), case.layers().len());
                let values = block_on(gpu.run(&loaded, &x.values)).expect("an output");
                agree(&format!("y of {what}"), &NpyArray { shape: y.shape.clone(), values }, &y);
                let found = block_on(gpu.gradients(&loaded, &x.values, &dy.values)).expect("gradients");
                let input = ("input".to_owned(), NpyArray { shape: x.shape.clone(), values: found.input });
                let parameters = file.gradients(None, &found.parameters).expect("the layers' own gradients");
                all_agree(&what, &parameters.into_iter().chain([input]).collect(), &expected);
            }
        }
    }
}

#[test]
fn digits_are_recognised_as_by_keras() {
    let folder = Folder::new();
    let x = fixture("digits/x_test.npy");
    for model in ["digits/digits.h5", "digits/digits.keras"] {
        let y = folder.join("y.npy");
        succeeds(&locally!["run", fixture(model), "--input", &x, "--output", &y]);
        let (found, expected) = (npy(&y), npy(&fixture("digits/predictions.npy")));
        assert_eq!(found.shape, expected.shape);
        assert_eq!(disagreement(&found.values, &wide(&expected.values), 1e-5), None, "{model}");
    }
}

#[test]
fn one_layer_of_a_model() {
    let folder = Folder::new();
    for name in ["unsupported", "unsupported_branches"] {
        let case = case(name);
        let alone = Case(case.0["alone"].clone());
        let layer = alone.0["layer"].as_str().expect("a layer");
        let (model, x) = (case.path("model"), alone.path("x"));
        let (y, gradients) = (folder.join("y.npy"), folder.join("g.npz"));
        for implementation in ["auto", "1", "2", "3"] {
            let run = locally![
                "run",
                &model,
                "--layer",
                layer,
                "--input",
                &x,
                "--output",
                &y,
                "--implementation",
                implementation
            ];
            succeeds(&run);
            agree(name, &npy(&y), &npy(&alone.path("y")));
        }
        succeeds(&locally![
            "grad",
            &model,
            "--layer",
            layer,
            "--input",
            &x,
            "--grad-output",
            alone.path("dy"),
            "--output",
            &gradients
        ]);
        all_agree(name, &npz(&gradients), &npz(&alone.path("grads")));
    }
}

/// One layer of a chain is what the chain does there, and its gradients have no layer's name in front.
#[test]
fn one_layer_of_a_chain() {
    let case = case("functional_1d");
    let (folder, model) = (Folder::new(), case.path("model"));
    let (first, gradients) = (folder.join("first.npy"), folder.join("g.npz"));
    succeeds(&locally!["run", &model, "--layer", "first", "--input", case.path("x"), "--output", &first]);
    assert_eq!(npy(&first).shape, [npy(&case.path("x")).shape[0], 8, 4]);
    succeeds(&locally![
        "grad",
        model,
        "--layer",
        "first",
        "--input",
        case.path("x"),
        "--grad-output",
        &first,
        "--output",
        &gradients
    ]);
    assert_eq!(npz(&gradients).into_keys().collect::<Vec<_>>(), ["bias", "input", "kernel"]);
}

#[test]
fn models_that_do_not_run_say_why() {
    let folder = Folder::new();
    let run = |case: &Case, layer: &[&str]| {
        let y = folder.join("y.npy");
        let mut arguments: Vec<std::ffi::OsString> =
            vec!["run".into(), case.path("model").into(), "--input".into(), case.path("x").into()];
        arguments.extend(["--output".into(), y.into()]);
        arguments.extend(layer.iter().map(Into::into));
        common::locally(arguments)
    };
    let (model, x) = (fixture("refused/model.h5"), fixture("refused/x.npy"));
    let (error, help) = fails(&locally!["run", &model, "--input", &x, "--output", folder.join("y.npy")], 2);
    for part in ["up (UpSampling2D: interpolation", "unit (UnitNormalization)"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("flat") && !error.contains("dense"), "{error}");
    assert!(help.contains("--layer NAME") && help.contains("local") && help.contains("--as CLASS"), "{help}");
    let (error, help) = fails(&run(&case("unsupported"), &["--layer", "nobody"]), 2);
    assert!(error.contains("nobody") && help.contains("local"), "{error} {help}");
    let (error, _) = fails(&run(&case("unsupported"), &["--layer", "conv"]), 2);
    assert!(error.contains("Conv2D"), "{error}");
    assert!(folder.names().is_empty());
}

#[test]
fn no_numbers_pass_through() {
    let case = case("1d_cl_i1_linear");
    let (folder, mut x) = (Folder::new(), npy(&case.path("x")));
    let sample = x.values.len() / x.shape[0];
    x.values[0] = f32::NAN;
    x.values[sample + 1] = f32::INFINITY;
    let bytes = locally_connected_keras::npy::npy_bytes(&x.shape, &x.values).expect("bytes");
    let (input, output) = (folder.file("x.npy", bytes), folder.join("y.npy"));
    succeeds(&locally!["run", case.path("model"), "--input", input, "--output", &output]);
    let (y, expected) = (npy(&output), npy(&case.path("y")));
    let (outputs, filters) = (y.values.len() / x.shape[0], y.shape[2]);
    assert!(y.values[..filters].iter().all(|v| v.is_nan()), "the window that sees the NaN");
    assert!(y.values[outputs..][..filters].iter().all(|v| v.is_infinite()), "the one that sees the infinity");
    // The first window alone reads position 0.
    let rest = |y: &NpyArray| y.values[filters..outputs].to_vec();
    assert_eq!(disagreement(&rest(&y), &wide(&rest(&expected)), 1e-4), None);
}

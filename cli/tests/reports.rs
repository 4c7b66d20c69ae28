//! `info`, `inspect`, `verify`: what they say, in JSON and in words.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use common::{case, cases, fails, fixture, in_parallel, succeeds};
use serde_json::Value;
use std::collections::BTreeSet;

fn json(output: &std::process::Output) -> Value {
    serde_json::from_str(&succeeds(output)).expect("JSON")
}

#[test]
fn info_lists_adapters() {
    let info = json(&locally!["info", "--json"]);
    let adapters = info["adapters"].as_array().expect("adapters");
    assert_eq!(adapters.iter().filter(|adapter| adapter["default"] == true).count(), 1);
    let (first, text) = (&adapters[0], succeeds(&locally!["info"]));
    assert!(text.contains(first["name"].as_str().expect("a name")), "{text}");
    assert!(first["limits"]["max_storage_buffer_binding_size"].as_u64().is_some_and(|bytes| bytes >= 128 << 20));
    assert!(first["features"]["subgroup"].is_boolean());

    // The CPU executor is there on every machine.
    let (cpu, adapters) = adapters.split_last().expect("the CPU executor");
    assert_eq!((&cpu["backend"], &cpu["default"]), (&Value::from("cpu"), &Value::from(false)));
    let threads = json(&locally!["info", "--json", "--adapter", "cpu", "--threads", "5"]);
    let chosen = threads["adapters"].as_array().and_then(|all| all.last()).expect("the CPU executor");
    assert_eq!((&chosen["default"], &chosen["threads"]), (&Value::from(true), &Value::from(5)));

    // Any case, and part of the name, the backend or the driver.
    let last = adapters.last().expect("an adapter");
    for key in ["name", "backend", "driver"] {
        let wanted = last[key].as_str().expect("text").to_uppercase();
        let chosen = json(&locally!["info", "--json", "--adapter", &wanted]);
        let chosen = chosen["adapters"].as_array().and_then(|list| list.iter().find(|a| a["default"] == true)).cloned();
        let chosen = chosen.expect("one is chosen")[key].as_str().expect("text").to_uppercase();
        assert!(chosen.contains(&wanted), "{chosen} for {wanted}");
    }
}

#[test]
fn inspect_tells_what_keras_tells() {
    in_parallel(&cases(), |case| {
        let report = json(&locally!["inspect", case.path("model"), "--json"]);
        let layers = report["layers"].as_array().expect("layers");
        assert_eq!(layers.len(), case.layers().len(), "{}", case.name());
        for (found, expected) in layers.iter().zip(case.layers()) {
            for key in ["name", "class", "input_shape", "output_shape", "kernel_shape", "bias_shape"] {
                assert_eq!(found[key], expected[key], "{key} of {}", case.name());
            }
            let product = |shape: &Value| match shape.as_array() {
                Some(shape) => shape.iter().filter_map(Value::as_u64).product::<u64>(),
                None => 0,
            };
            let parameters = product(&expected["kernel_shape"]) + product(&expected["bias_shape"]);
            assert_eq!(found["parameters"], parameters, "{}", case.name());
            for key in ["filters", "kernel_size", "strides", "data_format", "implementation"] {
                // Old versions of Keras left some out.
                if found["config"][key].is_null() && case.name() == "old_keras_h5" {
                    continue;
                }
                assert_eq!(found["config"][key], expected["config"][key], "{key} of {}", case.name());
            }
            let implementations = found["implementations"].as_array().expect("implementations");
            assert_eq!(implementations.len(), 3);
            for (pass, key) in [("forward", "auto_forward"), ("backward", "auto_backward")] {
                let taken: Vec<_> = implementations.iter().filter(|i| i[key] == true).collect();
                let auto = &found["auto"];
                let operations = if pass == "forward" { vec!["forward"] } else { vec!["grad_weights", "grad_input"] };
                let of_operations: BTreeSet<_> = operations.iter().map(|operation| auto[operation].as_u64()).collect();
                let implementations: BTreeSet<_> = taken.iter().map(|i| i["implementation"].as_u64()).collect();
                assert_eq!(implementations, of_operations);
                let one = of_operations.first().copied().flatten().filter(|_| of_operations.len() == 1);
                assert_eq!(auto[pass].as_u64(), one);
                assert!(found["auto_reason"].as_str().is_some_and(|why| why.contains(pass)));
            }
            for implementation in implementations {
                assert_eq!(implementation["possible"], true);
                assert!(implementation["forward_dispatches"].as_u64() >= Some(1));
                assert!(implementation["backward_bytes"].as_u64() > implementation["forward_bytes"].as_u64());
            }
            assert!(found["nonzero_fraction"].as_f64().is_some_and(|part| part > 0.9 && part <= 1.0));
            assert!(found["sparsity_ratio"].as_f64().is_some_and(|ratio| ratio > 0.0));
        }
        if case.is_supported() {
            assert_eq!((&report["runs"], &report["problem"]), (&true.into(), &Value::Null));
        }
    });
}

#[test]
fn inspect_in_words() {
    let text = succeeds(&locally!["inspect", fixture("digits/digits.h5"), "--batch", "32"]);
    for part in [
        "local_1",
        "LocallyConnected2D",
        "(36, 9, 8)",
        "2,880",
        "1 loop",
        "2 dense",
        "3 sparse",
        "auto",
        "32",
        // 8 filters of 3x3 on 8x8 positions.
        "sparsity ratio 1.1250",
        "Keras's advice",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = succeeds(&locally!["inspect", fixture("refused/model.h5")]);
    assert!(text.contains("doesn't run as a whole") && text.contains("unit (UnitNormalization)"), "{text}");
    assert!(text.contains("(doesn't run here)"), "{text}");
    let text = succeeds(&locally!["inspect", fixture("models/yolo/model.h5")]);
    for part in
        ["runs as a whole", "norm_1", "BatchNormalization", "24 (24 not trained)", "4,257 parameters", "batch 128"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn verify_passes_here() {
    let names = ["functional_2d_mixed_h5", "chain_1d_relu_defaults_h5", "2d_cf_i2_same_mish", "1d_cf_i1_softmax"];
    in_parallel(&names, |name| {
        let report = json(&locally!["verify", case(name).path("model"), "--json"]);
        assert_eq!(report["passed"], true);
        let results = report["results"].as_array().expect("results");
        // Three implementations and the CPU executor.
        let of_locals =
            results.iter().filter(|result| case(name).layers().iter().any(|layer| result["layer"] == layer["name"]));
        assert_eq!(of_locals.count(), 4 * case(name).layers().len());
        for result in results {
            assert_eq!((&result["ran"], &result["passed"]), (&true.into(), &true.into()), "{name}");
            assert!(result["errors"]["output"].as_f64().is_some_and(|error| error <= 2e-5), "{name}");
        }
    });
    let text = succeeds(&locally!["verify", fixture("digits/digits.keras"), "--batch", "2"]);
    assert!(text.contains("classifier") && !text.contains("WRONG"), "{text}");
    let text = succeeds(&locally!["verify", case("unsupported").path("model"), "--layer", "local"]);
    assert!(text.contains("local") && !text.contains("conv"), "{text}");
    succeeds(&locally!["verify", fixture("digits/digits.h5"), "--batch", "0"]);
}

/// Convolutions, pooling, normalisation and the rest each by themselves, and all together.
#[test]
fn whole_models_are_verified() {
    let names: Vec<String> = std::fs::read_dir(fixture("models"))
        .expect("fixtures")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| std::path::Path::new(&fixture(&format!("models/{name}/model.h5"))).exists())
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    in_parallel(&names, |name| {
        let report = json(&locally!["verify", fixture(&format!("models/{name}/model.h5")), "--json"]);
        assert_eq!(report["passed"], true, "{name}: {report}");
        let results = report["results"].as_array().expect("results");
        let of = |layer: &str| results.iter().filter(move |result| result["layer"] == layer).collect::<Vec<_>>();
        let whole: Vec<_> = results.iter().filter(|result| result["layer"].is_null()).collect();
        assert_eq!(
            whole.iter().map(|row| row["name"].as_str()).collect::<Vec<_>>(),
            [Some("gpu"), Some("cpu")],
            "{name}"
        );
        assert!(whole.iter().all(|row| row["errors"]["output"].is_number() && row["errors"]["input"].is_null()));
        if *name == "yolo" {
            // Its statistics are not trained, its scale and shift are.
            let [gpu, cpu] = of("norm_1")[..] else { panic!("{results:?}") };
            assert!(
                [gpu, cpu].iter().all(|row| row["errors"]["kernel"].is_number() && row["errors"]["bias"].is_number())
            );
        }
    });
    let one = succeeds(&locally!["verify", fixture("models/yolo/model.h5"), "--layer", "norm_1"]);
    assert!(one.contains("norm_1") && !one.contains("whole model"), "{one}");
}

#[test]
fn verify_of_what_is_not_there() {
    let (_, help) = fails(&locally!["verify", fixture("digits/digits.h5"), "--layer", "nobody"], 2);
    assert!(help.contains("local_1, local_2, classifier"), "{help}");
}

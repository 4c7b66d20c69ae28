//! `locally bench` as its users call it.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::{Folder, fails, stderr, stdout, succeeds};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

fn bench(arguments: &[&str]) -> Output {
    common::locally([&["bench"], arguments].concat())
}

/// The path of a file that isn't there yet.
fn path(folder: &Folder, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

fn read(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The fields of every row; those of earlier builds first.
const ROW: [&str; 19] = [
    "workload",
    "pass",
    "implementation",
    "auto",
    "batch",
    "dtype",
    "wall_ms",
    "gpu_ms",
    "bytes",
    "flops",
    "gb_s",
    "gflop_s",
    "of_ceiling",
    "interval_ms",
    "batched_ms",
    "max_error",
    "stopped",
    "warm_up",
    "samples",
];

/// Short, and with caches as they are, which takes no reading of more than they hold before each run.
const SHORT: [&str; 6] = ["--cache", "hot", "--min-time", "0.01", "--max-time", "0.1"];

/// A report as the committed schema has it.
fn report(path: &str) -> Value {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/bench.schema.json");
    let report = read(path);
    assert_eq!(common::schema::faults(&read(schema), &report), [""; 0]);
    report
}

fn check_spread(spread: &Value) {
    assert_eq!(keys(spread), ["min", "median", "max"]);
    let [min, median, max] = ["min", "median", "max"].map(|key| spread[key].as_f64().unwrap());
    assert!(0.0 < min && min <= median && median <= max, "{spread}");
}

#[test]
fn reports_have_the_contracts_form() {
    let folder = Folder::new();
    let [json_file, csv, html] = ["r.json", "r.csv", "r.html"].map(|name| path(&folder, name));
    let arguments =
        ["signal-1d", "--batch", "1,2", "--min-time", "0.05", "--max-time", "0.2", "--implementation", "auto,1,3"];
    let more = ["--batch-submits", "4", "--json", &json_file, "--csv", &csv, "--html", &html];
    let output = bench(&[&arguments[..], &more].concat());
    assert!(succeeds(&output).contains("signal-1d"));
    assert_eq!(folder.names(), ["r.csv", "r.html", "r.json"]);

    let report = report(&json_file);
    assert_eq!(keys(&report), ["schema", "meta", "adapter", "ceiling", "results"]);
    assert_eq!((&report["schema"], &report["meta"]["cache"]), (&json!("locally-bench-1"), &json!("cold")));
    assert_eq!(report["meta"]["argv"][1], json!("bench"));
    assert_eq!(keys(&report["adapter"]), ["name", "backend", "driver", "device_type"]);
    assert_eq!(keys(&report["ceiling"]), ["copy_gb_s", "f32_gflop_s"]);
    assert!(["copy_gb_s", "f32_gflop_s"].iter().all(|key| report["ceiling"][key].as_f64().unwrap() > 0.0));
    let rows = report["results"].as_array().unwrap();
    // Two batches, two passes, two implementations; the planner's choice is one of them, or one for each gradient.
    for (batch, pass) in [(1, "forward"), (2, "forward"), (1, "backward"), (2, "backward")] {
        let of_pass = rows.iter().filter(|row| row["batch"] == json!(batch) && row["pass"] == json!(pass));
        let [auto, all] = [of_pass.clone().filter(|row| row["auto"] == json!(true)).count(), of_pass.count()];
        assert!(auto == 1 && (all == 2 || all == 3 && pass == "backward"), "{auto} of {all} rows of {pass} {batch}");
    }
    for row in rows {
        assert_eq!(keys(row)[..ROW.len()], ROW);
        assert_eq!((&row["workload"], &row["dtype"]), (&json!("signal-1d"), &json!("f32")));
        check_spread(&row["wall_ms"]);
        check_spread(&row["batched_ms"]);
        // Sums of three products: what is wrong is wrong by more.
        assert!(row["max_error"].as_f64().unwrap() < 1e-5, "{row}");
        let samples: Vec<f64> = row["samples"].as_array().unwrap().iter().map(|ms| ms.as_f64().unwrap()).collect();
        let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(Some(least), row["wall_ms"]["min"].as_f64());
        let counted = if row["gpu_ms"].is_null() { &row["wall_ms"] } else { &row["gpu_ms"] };
        let [low, high] = [0, 1].map(|end: usize| row["interval_ms"][end].as_f64().unwrap());
        assert!((low..=high).contains(&counted["median"].as_f64().unwrap()), "{row}");
        if !row["gpu_ms"].is_null() {
            check_spread(&row["gpu_ms"]);
        }
        let batch = row["batch"].as_u64().unwrap();
        let weights = 3 * 2046;
        let (bytes, flops) = match row["pass"].as_str().unwrap() {
            "forward" => (4 * (batch * (2048 + 2046) + weights + 2046), 2 * batch * weights),
            "backward" => (4 * (batch * (2 * 2048 + 2046) + 2 * weights + 2046), 4 * batch * weights),
            other => panic!("pass {other}"),
        };
        assert_eq!((&row["bytes"], &row["flops"]), (&json!(bytes), &json!(flops)));
        assert!(["gb_s", "gflop_s", "of_ceiling"].iter().all(|key| row[key].as_f64().unwrap() > 0.0), "{row}");
    }

    let csv = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(csv.lines().count(), 1 + rows.len());
    assert!(csv.starts_with("workload,pass,implementation,auto,batch,dtype,wall_ms_min,wall_ms_median,wall_ms_max,"));
    let html = std::fs::read_to_string(&html).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
    assert!(html.contains("<svg") && !html.contains("src=") && !html.contains("<link"));

    // An earlier report is something to compare with.
    let output = bench(&[&["signal-1d", "--batch", "1", "--compare", &json_file], &SHORT[..]].concat());
    let text = succeeds(&output);
    assert!(text.contains("geometric mean") && text.contains("earlier"), "{text}");
}

#[test]
fn what_cannot_run_is_skipped() {
    let folder = Folder::new();
    let file = path(&folder, "r.json");
    // The dense matrix of this layer has 4 · 2·10⁶ · 2·10⁶ bytes.
    let shape = ["--shape", "2000000x1", "--kernel", "1", "--filters", "1", "--batch", "1", "--pass", "forward"];
    let shape = [&shape[..], &SHORT].concat();
    let arguments = [&shape[..], &["--implementation", "1,2", "--json", &file]].concat();
    let output = bench(&arguments);
    assert!(stdout(&output).contains("2000000x1-k1-f1"), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(
        text.starts_with("skip: 2000000x1-k1-f1 dense f32 forward batch 1: ") && text.lines().count() == 1,
        "{text}"
    );
    let report = report(&file);
    let rows = report["results"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["implementation"], &rows[0]["auto"]), (&json!("loop"), &json!(false)));

    // With nothing left the machine could not, and no file appears.
    let file = path(&folder, "nothing.json");
    let output = bench(&[&shape[..], &["--implementation", "2", "--json", &file]].concat());
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("\nerror: ") && text.contains("\nhelp: "), "{text}");
    assert!(!Path::new(&file).exists());
}

/// What `cargo xtask gpu-record` stands on: ceilings of their own, setups against each other, rows as they come.
#[test]
fn setups_are_measured_beside_each_other() {
    let folder = Folder::new();
    let [ceilings, lines] = ["ceilings.json", "rows.jsonl"].map(|name| path(&folder, name));
    let output = bench(&["--cache", "cold", "--min-time", "0.001", "--save-ceilings", &ceilings]);
    assert!(succeeds(&output).contains("GFLOP/s"));
    let roof = read(&ceilings);
    let footprints = roof["footprints"].as_array().unwrap();
    assert!(footprints.len() > 3 && roof["cache"] == "cold", "{roof}");
    assert_eq!(roof["ceiling"]["copy_gb_s"], footprints[0]["copy_gb_s"]);
    for footprint in footprints {
        assert!(["read_gb_s", "write_gb_s", "copy_gb_s"].iter().all(|key| footprint[key].as_f64().unwrap() > 0.0));
    }

    let cold = ["--cache", "cold", "--min-time", "0.001", "--ceilings", &ceilings];
    let setups = ["--strategy", "own", "--strategy", "form=tiled,tile_shape=16x32", "--form", "register"];
    let layer = ["cifar-local4", "--batch", "2", "--implementation", "1", "--lines", &lines, "--max-time", "0.1"];
    // Twice: the file grows.
    for _ in 0..2 {
        succeeds(&bench(&[&layer[..], &setups, &cold].concat()));
    }
    let text = std::fs::read_to_string(&lines).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line["roof"] == roof).count(), 2);
    let kernels = |setup: &str, pass: &str| {
        let of = |line: &&Value| line["setup"] == setup && line["pass"] == pass;
        assert_eq!(lines.iter().filter(of).count(), 2, "{setup}, {pass}");
        lines.iter().find(of).unwrap()["kernels"].to_string()
    };
    let tiled = kernels("form=tiled tile_shape=16x32", "forward");
    assert!(tiled.contains("loop_forward_tiled") && !kernels("form=register", "forward").contains("tiled"), "{tiled}");
    kernels("own", "backward");

    // What is left out is said, and nothing else is.
    let without = ["--without", "loop_forward,loop_grad_input_tiled", "--pass", "forward"];
    let output =
        bench(&[&layer[..3], &["--form", "register,tiled", "--implementation", "1"], &without, &cold].concat());
    assert!(stderr(&output).contains("loop_forward is left out") && stdout(&output).contains("tiled"));
    let hot = ["signal-1d", "--ceilings", &ceilings, "--batch", "1", "--cache", "hot"];
    let (error, help) = fails(&bench(&hot), 2);
    assert!(error.contains("cold") && help.contains("--cache"), "{error}");
}

#[test]
fn bad_requests_are_told() {
    let folder = Folder::new();
    let (file, nowhere) = (path(&folder, "peers.json"), path(&folder, "none/r.json"));
    folder.file("peers.json", "{\"results\": 3}");
    for arguments in [
        &["no-such-workload"][..],
        &["signal-1d", "--batch", "0"],
        &["signal-1d", "--pass", "sideways"],
        &["signal-1d", "--quick"],
        &["--kernel", "3"],
        &["--shape", "8x1", "--filters", "1"],
        &["--shape", "8by1", "--kernel", "3", "--filters", "1"],
        // A window larger than its input, and a kernel of another rank.
        &["--shape", "8x1", "--kernel", "9", "--filters", "1"],
        &["--shape", "8x1", "--kernel", "3x3", "--filters", "1"],
        &["signal-1d", "--compare", &file],
        &["signal-1d", "--json", &nowhere],
        &["signal-1d", "--lines", &nowhere],
        &["signal-1d", "--strategy", "no_such_number=1"],
        &["signal-1d", "--form", "round"],
        &["signal-1d", "--without", "no_such_kernel"],
        &["signal-1d", "--ceilings", &nowhere],
        &["signal-1d", "--ceilings", &file],
        &["signal-1d", "--pass", "model"],
        &["signal-1d", "--fail-if-slower", "5%"],
        &["signal-1d", "--baseline", &file],
        &["signal-1d", "--against", &nowhere],
        &["--curve"],
        &["--model", &nowhere],
    ] {
        fails(&bench(arguments), 2);
    }
    assert_eq!(folder.names(), ["peers.json"]);
}

/// The CPU executor's rows have no implementation and no device's clock, and none is over what the probe measured.
#[test]
fn the_cpu_executor_is_measured() {
    let folder = Folder::new();
    let [json_file, csv] = ["r.json", "r.csv"].map(|name| path(&folder, name));
    let arguments = [
        "cifar-local3",
        "--batch",
        "1,8",
        "--min-time",
        "0.05",
        "--max-time",
        "0.5",
        "--dtype",
        "f32,f16",
        "--adapter",
        "cpu",
    ];
    let output = bench(&[&arguments[..], &["--threads", "1", "--json", &json_file, "--csv", &csv]].concat());
    assert!(output.status.success());
    let report = report(&json_file);
    assert_eq!((&report["adapter"]["backend"], &report["meta"]["cache"]), (&json!("cpu"), &json!("cold")));
    assert!(["copy_gb_s", "f32_gflop_s"].iter().all(|key| report["ceiling"][key].as_f64().unwrap() > 0.0));
    let rows = report["results"].as_array().unwrap();
    assert_eq!(rows.len(), 8, "two batches, two passes, two types of weights");
    for row in rows {
        assert_eq!(keys(row), ROW);
        assert_eq!([&row["implementation"], &row["gpu_ms"], &row["auto"]], [&Value::Null, &Value::Null, &json!(false)]);
        check_spread(&row["wall_ms"]);
    }
    assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), 1 + rows.len());
    // An earlier report is something to compare with.
    let again = ["cifar-local3", "--batch", "1", "--adapter", "cpu", "--compare", &json_file];
    let output = bench(&[&again[..], &SHORT].concat());
    assert!(output.status.success() && stdout(&output).contains("earlier"), "{}", stderr(&output));
    for flag in [["--form", "tiled"], ["--save-ceilings", "c.json"]] {
        let (error, _) = fails(&bench(&[&["signal-1d", "--adapter", "cpu"][..], &flag].concat()), 2);
        assert!(error.contains(flag[0]), "{error}");
    }
}

#[test]
fn several_adapters_are_set_side_by_side() {
    let folder = Folder::new();
    let [json_file, csv, html] = ["r.json", "r.csv", "r.html"].map(|name| path(&folder, name));
    let arguments = ["signal-1d", "--batch", "2", "--adapter", "cpu", "--adapter", "llvmpipe"];
    let output = bench(&[&arguments[..], &SHORT, &["--json", &json_file, "--csv", &csv, "--html", &html]].concat());
    assert!(succeeds(&output).contains("Side by side"), "{}", stdout(&output));

    let report = report(&json_file);
    assert_eq!(keys(&report), ["schema", "meta", "adapters", "results"]);
    let adapters = report["adapters"].as_array().unwrap();
    assert_eq!(adapters.len(), 2);
    for adapter in adapters {
        assert_eq!(keys(adapter), ["name", "backend", "driver", "device_type", "ceiling", "meta"]);
        let of = |row: &&Value| row["adapter"] == adapter["name"];
        let rows: Vec<&Value> = report["results"].as_array().unwrap().iter().filter(of).collect();
        assert!(rows.len() >= 2, "{} rows of {}", rows.len(), adapter["name"]);
        assert!(rows.iter().all(|row| keys(row)[..=ROW.len()] == [&["adapter"], &ROW[..]].concat()));
    }
    let lines = std::fs::read_to_string(&csv).unwrap();
    assert!(lines.starts_with("adapter,workload,") && lines.contains("\nCPU executor,signal-1d,"), "{lines}");
    assert!(std::fs::read_to_string(&html).unwrap().contains("Side by side"));

    let twice = ["--adapter", "cpu", "--adapter", "llvmpipe"];
    let refused = common::locally([&["info"][..], &twice].concat());
    assert!(fails(&refused, 2).0.contains("--adapter"));
    let refused = bench(&[&twice[..], &["signal-1d", "--lines", &path(&folder, "l.jsonl")]].concat());
    assert!(fails(&refused, 2).0.contains("--lines"));
}

/// A build that answers as this one does, always with the same time: a script, as any build may be.
#[cfg(unix)]
fn fake(folder: &Folder, milliseconds: &str, adapter: &Value) -> String {
    let greeting = json!({"serves": "locally-bench-serve-1", "build": "a fake", "adapter": adapter});
    let case = |pass: &str| {
        json!({"workload": "signal-1d", "pass": pass, "auto": false, "implementation": null, "batch": 1, "dtype": "f32",
               "setup": null})
    };
    let cases = json!({"cases": {"cases": [case("backward"), case("forward")], "skipped": []}});
    let times =
        json!({"times": {"wall_ms": [0], "gpu_ms": []}}).to_string().replace("[0]", &format!("[{milliseconds}]"));
    let script = format!(
        "#!/bin/sh\necho '{greeting}'\nwhile read -r line; do\ncase \"$line\" in\n*prepare*) echo '{cases}';;\n\
         *turn*) echo '{times}';;\nesac\ndone\n"
    );
    folder.file("fake", &script);
    let path = path(folder, "fake");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[cfg(unix)]
#[test]
fn builds_are_measured_in_turns() {
    let folder = Folder::new();
    let [json_file, first] = ["r.json", "first.json"].map(|name| path(&folder, name));
    let workload = ["signal-1d", "--batch", "1", "--adapter", "cpu", "--threads", "1"];
    let arguments = [&workload[..], &SHORT].concat();
    succeeds(&bench(&[&arguments[..], &["--json", &first]].concat()));
    let adapter = read(&first)["adapter"].clone();

    // This build against a faster one, and against a slower one. Both clocks are the wall's.
    let faster = fake(&folder, "0.000001", &adapter);
    let against = [&arguments[..], &["--against", &faster, "--json", &json_file]].concat();
    let output = bench(&[&against[..], &["--fail-if-slower", "5%"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("error: SLOWER: signal-1d forward batch 1 by "), "{}", stderr(&output));
    assert!(stdout(&output).contains("2 SLOWER") && stdout(&output).contains("a fake"), "{}", stdout(&output));
    let report = read(&json_file);
    assert_eq!((&report["schema"], &report["margin"]), (&json!("locally-bench-against-1"), &json!(0.05)));
    for row in report["results"].as_array().unwrap() {
        assert_eq!((&row["verdict"], &row["clock"], &row["rounds"]), (&json!("SLOWER"), &json!("wall"), &json!(8)));
        assert!(row["interval"][0].as_f64().unwrap() > 1.05 && row["ms"]["other"] == json!(1e-6), "{row}");
    }
    // Without being asked to fail, it only says so.
    assert!(succeeds(&bench(&against)).contains("2 SLOWER"));
    let slower = fake(&folder, "1000000", &adapter);
    let output = bench(&[&arguments[..], &["--against", &slower, "--fail-if-slower", "5%"]].concat());
    assert!(succeeds(&output).contains("2 FASTER"));

    // Against itself it is as fast as itself, at least within a margin that no noise is over.
    let itself = env!("CARGO_BIN_EXE_locally");
    let output = bench(&[&arguments[..], &["--against", itself, "--fail-if-slower", "900%"]].concat());
    assert!(succeeds(&output).contains("2 SAME"), "{}", stdout(&output));

    // What is no such build, is on another adapter, or ends, is told.
    let another = json!({"name": "another", "backend": "cpu", "driver": "", "device_type": "Cpu"});
    let elsewhere = fake(&folder, "1", &another);
    let (error, help) = fails(&bench(&[&arguments[..], &["--against", &elsewhere]].concat()), 2);
    assert!(error.contains("another") && help.contains("--adapter"), "{error}");
    folder.file("fake", "#!/bin/sh\necho hello\n");
    assert!(fails(&bench(&[&arguments[..], &["--against", &elsewhere]].concat()), 2).0.contains("no build"));
    folder.file("fake", "#!/bin/sh\necho it broke >&2; exit 3\n");
    assert!(fails(&bench(&[&arguments[..], &["--against", &elsewhere]].concat()), 1).0.contains("it broke"));

    // And against a file of an earlier run.
    let baseline = ["--baseline", &first, "--fail-if-slower", "5000%"];
    let text = succeeds(&bench(&[&arguments[..], &baseline].concat()));
    assert!(text.contains("2 SAME") && text.contains("--against"), "{text}");
    let mut faster = read(&first);
    for row in faster["results"].as_array_mut().unwrap() {
        row["samples"].as_array_mut().unwrap().iter_mut().for_each(|ms| *ms = json!(1e-6));
    }
    folder.file("first.json", faster.to_string());
    let output = bench(&[&arguments[..], &["--baseline", &first, "--fail-if-slower", "5%"]].concat());
    assert!(output.status.code() == Some(1) && stderr(&output).contains("SLOWER"), "{}", stderr(&output));
    faster["adapter"]["driver"] = json!("another");
    folder.file("first.json", faster.to_string());
    let output = bench(&[&arguments[..], &["--baseline", &first]].concat());
    assert!(output.status.code() == Some(2) && stderr(&output).contains("another"), "{}", stderr(&output));
}

#[test]
fn models_and_curves_are_measured() {
    let folder = Folder::new();
    let [json_file, html] = ["r.json", "r.html"].map(|name| path(&folder, name));
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/digits/digits.h5");
    for adapter in [&[][..], &["--adapter", "cpu"]] {
        let arguments = [&["--model", model, "--batch", "2", "--json", &json_file], &SHORT[..], adapter].concat();
        let text = succeeds(&bench(&arguments));
        assert!(text.contains("train_step"), "{text}");
        let report = report(&json_file);
        let rows = report["results"].as_array().unwrap();
        assert_eq!(rows.iter().map(|row| row["pass"].as_str().unwrap()).collect::<Vec<_>>(), ["model", "train_step"]);
        // Both were held against the reference: losses, and gradients as the optimizer keeps them.
        assert!(rows.iter().all(|row| row["max_error"].as_f64().unwrap() < 1e-4), "{rows:?}");
        assert!(rows[1]["flops"].as_u64() > rows[0]["flops"].as_u64());
    }
    let shape = ["--shape", "6x6x2", "--kernel", "3x3", "--filters", "4", "--pass", "forward", "--curve"];
    let text = succeeds(&bench(&[&shape[..], &SHORT, &["--html", &html, "--json", &json_file]].concat()));
    assert!(text.contains("samples/s"), "{text}");
    // Each curve says either that it has none, or which.
    let (none, curves) = (text.matches("no cliff").count(), text.matches("by batch").count());
    assert!(curves > 0 && none <= curves && (none > 0 || text.contains("cliff: ")), "{text}");
    assert_eq!(report(&json_file)["results"].as_array().unwrap().len(), 30);
    assert!(std::fs::read_to_string(&html).unwrap().contains("Rate by batch"));
}

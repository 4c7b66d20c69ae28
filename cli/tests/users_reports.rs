//! What users' files and inputs showed: every folder of `tests/data/reports` through the real command, against what
//! Keras 2.15 computed or what must be said.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use common::{Folder, agree, all_agree, fails, in_parallel, npy, npz, succeeds};
use locally_connected_keras::npy::NpyArray;
use serde_json::Value;
use std::path::{Path, PathBuf};

const IMPLEMENTATIONS: [&str; 4] = ["auto", "1", "2", "3"];

/// What must be said of a file that isn't run as it is: by `inspect`, `run` and `grad` alike where it can't be read.
const REFUSED: [(&str, &[&str]); 2] = [
    ("hdf5_btree2_chunks", &["version 2 B-tree", "h5repack", "h5py"]),
    ("one_bad_layer_blocks_file", &["first (LocallyConnected1D: ", "activation"]),
];

fn reports() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/reports");
    let entries = std::fs::read_dir(folder).expect("the reports").map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 12);
    folders
}

fn name(report: &Path) -> String {
    report.file_name().expect("a name").to_string_lossy().into_owned()
}

fn model(report: &Path) -> PathBuf {
    ["model.h5", "model.keras"].map(|file| report.join(file)).into_iter().find(|path| path.exists()).expect("a model")
}

/// Runs of files that are to run: the output, and the gradients where Keras's are there, by every implementation.
fn agrees(report: &Path) {
    for implementation in IMPLEMENTATIONS {
        let (folder, what) = (Folder::new(), format!("{} by {implementation}", name(report)));
        let (y, gradients) = (folder.join("y.npy"), folder.join("g.npz"));
        let (model, x, dy) = (model(report), report.join("x.npy"), report.join("dy.npy"));
        let how = ["--implementation", implementation];
        succeeds(&locally!["run", &model, "--input", &x, "--output", &y, how[0], how[1]]);
        let (found, expected) = (npy(&y), npy(&report.join("y.npy")));
        // NaN and infinity must be where Keras has them; the rest is compared as always.
        let kinds = |array: &NpyArray| {
            let kind = |v: &f32| if v.is_finite() { "finite".to_owned() } else { v.to_string() };
            array.values.iter().map(kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&found), kinds(&expected), "{what}");
        let finite = |mut array: NpyArray| {
            array.values.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = 0.0);
            array
        };
        agree(&what, &finite(found), &finite(expected));
        if dy.exists() {
            let [a, b] = how;
            succeeds(&locally!["grad", model, "--input", x, "--grad-output", dy, "--output", &gradients, a, b]);
            all_agree(&what, &npz(&gradients), &npz(&report.join("grads.npz")));
        }
    }
}

#[test]
fn every_report() {
    in_parallel(&reports(), |report| {
        let Some((_, said)) = REFUSED.iter().find(|(refused, _)| *refused == name(report)) else {
            return agrees(report);
        };
        let (folder, model, x) = (Folder::new(), model(report), report.join("x.npy"));
        let refusals = [
            locally!["run", &model, "--input", &x, "--output", folder.join("y.npy")],
            locally!["grad", &model, "--input", &x, "--grad-output", &x, "--output", folder.join("g.npz")],
            locally!["convert", &model, folder.join("new.h5")],
        ];
        for output in refusals {
            let (error, _) = fails(&output, 2);
            assert!(said.iter().all(|part| error.contains(part)), "{error}");
        }
        assert!(folder.names().is_empty());
    });
}

#[test]
fn files_that_can_not_be_read_are_not_inspected() {
    for report in reports().iter().filter(|r| name(r) == "hdf5_btree2_chunks") {
        let said = REFUSED.iter().find(|(refused, _)| *refused == name(report)).expect("it is listed").1;
        let (error, _) = fails(&locally!["inspect", model(report)], 2);
        assert!(said.iter().all(|part| error.contains(part)), "{error}");
    }
}

/// The layer that can't run is said, the other one runs.
#[test]
fn one_bad_layer_does_not_block_the_file() {
    let reports = reports();
    let report = reports.iter().find(|r| name(r) == "one_bad_layer_blocks_file").expect("the report");
    let (folder, model) = (Folder::new(), model(report));
    let inspected: Value = serde_json::from_str(&succeeds(&locally!["inspect", &model, "--json"])).expect("JSON");
    let chain = inspected["chain"].as_array().expect("a list");
    let of = |name: &str| chain.iter().find(|layer| layer["name"] == name).expect("the layer");
    assert_eq!((&of("first")["runs"], &of("second")["runs"]), (&false.into(), &true.into()));
    assert!(of("first")["reason"].as_str().is_some_and(|why| why.contains("activation")));
    let (x, y) = (report.join("x_second.npy"), folder.join("y.npy"));
    for implementation in IMPLEMENTATIONS {
        let how = ["--layer", "second", "--implementation", implementation];
        succeeds(&locally!["run", &model, how[0], how[1], how[2], how[3], "--input", &x, "--output", &y]);
        agree("second", &npy(&y), &npy(&report.join("y_second.npy")));
    }
    for layer in [None, Some("first")] {
        let mut arguments = vec!["run".into(), model.clone().into_os_string(), "--input".into(), x.clone().into()];
        arguments.extend(["--output".into(), folder.join("none.npy").into()]);
        arguments.extend(layer.iter().flat_map(|name| ["--layer".into(), (*name).into()]));
        let (error, help) = fails(&common::locally(arguments), 2);
        assert!(error.contains("first") && !error.contains("second"), "{error}");
        assert!(help.contains("--layer NAME") && help.contains("second") && !help.contains("first"), "{help}");
    }
    assert_eq!(folder.names(), ["y.npy"]);
}

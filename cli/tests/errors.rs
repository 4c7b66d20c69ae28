//! Bad requests and bad files: one line, the right exit code, nothing written.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use common::{Folder, case, cases, fails, fixture, in_parallel, npy, stderr};
use std::fs;
use std::path::Path;
use std::process::Command;

/// splitmix64, for damage that is the same in every run.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn usage() {
    let (error, help) = fails(&locally![], 2);
    assert!(error.contains("no command") && help.contains("--help"), "{error} {help}");
    let (error, help) = fails(&locally!["run"], 2);
    assert!(error.contains("--input") && error.contains("--output"), "{error}");
    assert!(help.contains("usage: locally run"), "{help}");
    let (error, help) = fails(&locally!["inspcet"], 2);
    assert!(error.contains("inspcet") && help.contains("inspect"), "{error} {help}");
    for arguments in [
        &["run", "m.h5", "--input", "x", "--output", "y", "--implementation", "4"][..],
        &["inspect", "m.h5", "--batch", "-1"],
        &["inspect", "m.h5", "--batch", "1048577"],
        &["inspect", "m.h5", "n.h5"],
        &["convert", "m.h5", "n.h5", "--implementation", "auto"],
        &["verify", "--frobnicate", "m.h5"],
        &["verify\u{1b}[31m\n", "m.h5"],
    ] {
        fails(&common::locally(arguments), 2);
    }
    for arguments in [&["--help"][..], &["--version"], &["help", "grad"], &["run", "--help"]] {
        assert!(common::succeeds(&common::locally(arguments)).contains("locally"));
    }
}

/// Without a backend wgpu panics; we say what there is and what to enable.
#[test]
fn no_backend() {
    let none = if cfg!(target_vendor = "apple") { "dx12" } else { "metal" };
    let output = Command::new(env!("CARGO_BIN_EXE_locally"))
        .args(["info", "--adapter", "any"])
        .env("WGPU_BACKEND", none)
        .output()
        .expect("the binary starts");
    let (error, help) = fails(&output, 1);
    assert!(error.contains(none) && error.contains("`headless`") && help.contains("WGPU_BACKEND"), "{error} {help}");
}

#[test]
fn damaged_models() {
    let folder = Folder::new();
    let mut files = vec![];
    let mut state = 1;
    for (name, extension) in [("digits/digits.h5", "h5"), ("digits/digits.keras", "keras")] {
        let whole = fs::read(fixture(name)).expect("a fixture");
        let mut add = |what: &str, bytes: &[u8]| files.push(folder.file(&format!("{what}.{extension}"), bytes));
        add("empty", b"");
        add("zeroes", &[0; 4096]);
        add("text", b"not a model\n");
        add("noise", &(0..5000).map(|_| random(&mut state) as u8).collect::<Vec<_>>());
        add("signed_noise", &[&whole[..8], &(0..5000).map(|_| random(&mut state) as u8).collect::<Vec<_>>()].concat());
        for length in [1, 4, 8, 9, 48, 96, 500, 2048, whole.len() / 3, whole.len() / 2, whole.len() - 100] {
            add(&format!("first_{length}"), &whole[..length]);
        }
        files.push(folder.join(&format!("missing.{extension}")));
        let directory = folder.join(&format!("folder.{extension}"));
        fs::create_dir(&directory).expect("a folder");
        files.push(directory);
    }
    files.push(folder.file("model.safetensors", b"\x10\0\0\0\0\0\0\0{\"a\":1}"));
    files.push(folder.file("model.pb", b"x"));
    files.push(folder.file("model", b""));
    files.push(case("1d_cl_i1_linear").path("x"));
    files.push(case("1d_cl_i1_linear").path("grads"));
    let x = fixture("digits/x_test.npy");
    in_parallel(&files, |file| {
        let out = Folder::new();
        let name = file.file_name().expect("a name").to_string_lossy();
        for output in [
            locally!["inspect", file],
            locally!["verify", file],
            locally!["run", file, "--input", &x, "--output", out.join("y.npy")],
            locally!["grad", file, "--input", &x, "--grad-output", &x, "--output", out.join("g.npz")],
            locally!["convert", file, out.join("new.h5")],
        ] {
            let (error, _) = fails(&output, 2);
            assert!(error.contains(&*name), "{name}: {error}");
        }
        assert!(out.names().is_empty());
    });
}

/// Damage in the middle of a file may go unnoticed, but never ends in anything but success or an error.
#[test]
fn flipped_bytes() {
    let sources: Vec<_> = ["chain_2d_relu_layers/model.keras", "functional_1d/model.h5", "old_keras_h5/model.h5"]
        .iter()
        .map(|path| (fs::read(fixture("cases").join(path)).expect("a fixture"), Path::new(path).extension()))
        .collect();
    let rounds: Vec<u64> = (0..240).collect();
    in_parallel(&rounds, |&round| {
        let (folder, mut state) = (Folder::new(), round * 1000);
        let (mut bytes, extension) = sources[round as usize % sources.len()].clone();
        // HDF5 keeps what matters at the front.
        let reach = if round % 2 == 0 { bytes.len() } else { 3000 };
        for _ in 0..1 + round % 5 {
            let at = random(&mut state) as usize % reach;
            bytes[at] = random(&mut state) as u8;
        }
        let name = format!("model.{}", extension.expect("an extension").to_string_lossy());
        let (model, out) = (folder.file(&name, bytes), folder.join("out.safetensors"));
        let output = locally!["convert", model, &out];
        if output.status.success() {
            assert_eq!(stderr(&output), "");
            assert!(out.exists());
        } else {
            fails(&output, 2);
            assert_eq!(folder.names(), [name], "round {round}");
        }
    });
}

#[test]
fn wrong_arrays() {
    let case = case("1d_cl_i1_linear");
    let folder = Folder::new();
    let (model, x, dy) = (case.path("model"), case.path("x"), case.path("dy"));
    let array = npy(&x);
    let values = |shape: &[usize]| {
        let count = shape.iter().product();
        locally_connected_keras::npy::npy_bytes(shape, &vec![0.5; count]).expect("bytes")
    };
    let whole = fs::read(&x).expect("a fixture");
    let header = |text: &str| {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend([0; 4096]);
        bytes
    };
    let run = |input: &Path| locally!["run", &model, "--input", input, "--output", folder.join("y.npy")];
    // The model takes (batch, 8, 5).
    assert_eq!(array.shape[1..], [8, 5]);
    for shape in [&[][..], &[0], &[2], &[2, 8], &[2, 5, 8], &[2, 8, 6], &[2, 8, 5, 1], &[2, 40], &[0, 8, 4]] {
        let input = folder.file("shape.npy", values(shape));
        let (error, _) = fails(&run(&input), 2);
        let found = format!("{shape:?}");
        assert!(error.contains("(batch, 8, 5)") && error.contains(&found), "{error}");
    }
    let (_, help) = fails(&run(&folder.file("one.npy", values(&[8, 5]))), 2);
    assert!(help.contains("(1, 8, 5)"), "{help}");
    for bytes in [
        b"".to_vec(),
        b"\x93NUMPY".to_vec(),
        vec![7; 300],
        whole[..whole.len() - 1].to_vec(),
        [whole.clone(), vec![0]].concat(),
        whole[..60].to_vec(),
        fs::read(case.path("grads")).expect("a fixture"),
        header("{'descr': '<c8', 'fortran_order': False, 'shape': (1, 8, 5), }"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1, 8, 5), }"),
        header("{'descr': '<U3', 'fortran_order': False, 'shape': (1, 8, 5), }"),
        header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 8, 5), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 8, 5), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 8, 5), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 8, 5), }"),
        header("{'descr': '<f4', 'shape': (1, 8, 5), }"),
        header("\u{1b}[31m{"),
    ] {
        fails(&run(&folder.file("bad.npy", bytes)), 2);
    }
    fails(&run(&folder.join("missing.npy")), 2);
    fails(&run(&std::env::temp_dir()), 2);

    let grad = |input: &Path, grad_output: &Path| {
        let output = folder.join("g.npz");
        locally!["grad", &model, "--input", input, "--grad-output", grad_output, "--output", output]
    };
    let (error, _) = fails(&grad(&x, &x), 2);
    assert!(error.contains("(2, 6, 4)") && error.contains("[2, 8, 5]"), "{error}");
    let (error, _) = fails(&grad(&x, &folder.file("dy.npy", values(&[3, 6, 4]))), 2);
    assert!(error.contains("(2, 6, 4)") && error.contains("[3, 6, 4]"), "{error}");
    fails(&grad(&dy, &dy), 2);
    let written = folder.names().into_iter().filter(|name| name.starts_with("y.") || name.starts_with("g."));
    assert_eq!(written.count(), 0);
}

/// Outputs that no machine has the memory for: 14 terabytes by a thousand numbers.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_asked_for_first() {
    let folder = Folder::new();
    let larger =
        r#"{"class_name":"UpSampling2D","config":{"name":"l","size":[60000,60000],"batch_input_shape":[null,1,1,1]}}"#;
    let model = format!(r#"{{"class_name":"Sequential","config":{{"name":"m","layers":[{larger}]}}}}"#);
    let metadata = format!(r#"{{"version":1,"keras_version":"2.15.0","model":{model},"layers":{{}}}}"#);
    let header = serde_json::json!({"__metadata__": {"locally_connected": metadata}}).to_string();
    let model = folder.file("m.safetensors", [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat());
    let shape = [1000, 1, 1, 1];
    let input = folder.file("x.npy", locally_connected_keras::npy::npy_bytes(&shape, &[0.5; 1000]).expect("bytes"));
    let output = folder.join("y.npy");
    let (error, _) = fails(&locally!["run", model, "--input", input, "--output", &output, "--adapter", "cpu"], 1);
    assert!(error.contains("running the model needs about") && error.contains("of memory"), "{error}");
    assert!(!output.exists());
}

/// What was at the output's place before a failure is there after it.
#[test]
fn outputs_are_whole_or_untouched() {
    let good = case("1d_cl_i1_linear");
    let (model, x) = (good.path("model"), good.path("x"));
    let folder = Folder::new();
    let output = folder.file("old", b"old contents");
    let unsupported = common::fixture("refused/model.h5");
    fails(&locally!["run", &unsupported, "--input", &x, "--output", &output], 2);
    fails(&locally!["run", &model, "--input", &model, "--output", &output], 2);
    fails(&locally!["run", &model, "--input", &x, "--output", &output, "--adapter", "no such adapter"], 1);
    fails(&locally!["grad", &model, "--input", &x, "--grad-output", &x, "--output", &output], 2);
    fails(&locally!["convert", &unsupported, &output], 2);
    assert_eq!(fs::read(&output).expect("the file"), b"old contents");
    assert_eq!(folder.names(), ["old"]);

    // Destinations that can't be are refused before there is any work.
    let below_a_file = output.join("y.npy");
    for destination in [folder.join("nowhere/y.npy"), std::env::temp_dir(), below_a_file, "".into()] {
        fails(&locally!["run", &model, "--input", &x, "--output", &destination], 2);
        fails(&locally!["grad", &model, "--input", &x, "--grad-output", &x, "--output", &destination], 2);
    }
    fails(&locally!["convert", &model, folder.join("nowhere/new.h5")], 2);
    fails(&locally!["convert", &model, folder.join("new.onnx")], 2);
    assert_eq!(folder.names(), ["old"]);

    // The longest name that systems have; the new file has another until it is whole.
    let long = format!("{}.h5", "n".repeat(252));
    common::succeeds(&locally!["convert", &model, folder.join(&long)]);
    assert_eq!(folder.names(), [long.clone(), "old".into()]);
    fs::remove_file(folder.join(&long)).expect("the file");

    // A good run replaces it, and leaves nothing beside it.
    common::succeeds(&locally!["run", model, "--input", x, "--output", &output]);
    assert_eq!(npy(&output).shape, npy(&good.path("y")).shape);
    assert_eq!(folder.names(), ["old"]);
}

/// A full disk, as a limit of 512 bytes for each file: the old file stays as it was, alone. A new one is read by those who could read the
/// old one.
#[cfg(unix)]
#[test]
fn what_cannot_be_written_leaves_the_old_file() {
    use std::os::unix::fs::PermissionsExt;
    let model = case("1d_cl_i1_linear").path("model");
    let folder = Folder::new();
    let old = folder.file("old.h5", b"old contents");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o600)).expect("our own file");
    let limited = "trap '' XFSZ; ulimit -f 1; exec \"$0\" convert \"$1\" \"$2\"";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_locally")]).args([&model, &old]);
    let (error, _) = fails(&shell.output().expect("a shell"), 2);
    assert!(error.contains("old.h5") && error.contains("too large"), "{error}");
    assert_eq!((fs::read(&old).expect("the file"), folder.names()), (b"old contents".to_vec(), vec!["old.h5".into()]));

    common::succeeds(&locally!["convert", model, &old]);
    let written = fs::metadata(&old).expect("the file");
    assert_eq!((written.permissions().mode() & 0o777, folder.names()), (0o600, vec!["old.h5".into()]));
    assert!(written.len() > 512);
}

#[test]
fn implementation_1_has_no_layout_for_padding() {
    let same = cases().into_iter().find(|case| case.name() == "2d_cl_i3_same_s2_k24_relu").expect("the case");
    let folder = Folder::new();
    let out = folder.join("new.h5");
    fails(&locally!["convert", same.path("model"), &out, "--implementation", "1"], 2);
    assert!(folder.names().is_empty());
}

#[test]
fn adapters_that_are_not_there() {
    let (error, help) = fails(&locally!["info", "--adapter", "no such adapter"], 1);
    assert!(error.contains("no such adapter") && help.contains("--adapter"), "{error} {help}");
}

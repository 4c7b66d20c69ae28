//! What the tests share: the fixtures that real Keras wrote, the binary, folders that vanish, comparisons.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    reason = "each test binary uses its own part, and a test may panic"
)]

/// As the library's tests compare.
#[path = "../../../tests/common/near.rs"]
mod near;
pub mod schema;

use locally_connected_keras::npy::{NpyArray, read_npy, read_npz};
pub(crate) use near::disagreement;
use near::largest;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// As `locally grad` must agree with Keras: in parts of the largest value.
pub const TOLERANCE: f64 = 2e-5;

/// The first adapter that runs WGSL, which the tests run on unless they name another one.
static ADAPTER: LazyLock<String> = LazyLock::new(|| {
    if let Ok(named) = std::env::var("WGPU_ADAPTER_NAME") {
        return named;
    }
    let info =
        Command::new(env!("CARGO_BIN_EXE_locally")).args(["info", "--json"]).output().expect("the binary starts");
    let info: Value = serde_json::from_slice(&info.stdout).expect("JSON");
    info["adapters"][0]["name"].as_str().expect("tests need an adapter").to_owned()
});

/// Runs the command.
pub fn locally<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_locally"))
        .args(arguments)
        .env("WGPU_ADAPTER_NAME", ADAPTER.as_str())
        // What the drivers print where it is missing must not look like our errors.
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .expect("the binary starts")
}

/// `locally` with arguments that are strings and paths.
#[macro_export]
macro_rules! locally {
    ($($argument:expr),* $(,)?) => {
        $crate::common::locally::<std::ffi::OsString>([$(std::ffi::OsString::from($argument)),*])
    };
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Done, without a word on standard error; gives standard output.
pub fn succeeds(output: &Output) -> String {
    assert_eq!((output.status.code(), stderr(output).as_str()), (Some(0), ""), "{}", stdout(output));
    stdout(output)
}

/// Ends with `code`, nothing on standard output, one line `error:` and at most one line `help:`; gives both.
pub fn fails(output: &Output, code: i32) -> (String, String) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(stdout(output), "");
    let mut lines = text.lines();
    let error =
        lines.next().and_then(|line| line.strip_prefix("error: ")).unwrap_or_else(|| panic!("no error: {text}"));
    let help = lines.next().map(|line| line.strip_prefix("help: ").unwrap_or_else(|| panic!("no help: {text}")));
    assert_eq!(lines.next(), None, "{text}");
    assert!(!error.contains("internal"), "{text}");
    (error.to_owned(), help.unwrap_or_default().to_owned())
}

/// A folder of this test's own, gone when it ends.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("locally-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and gives its path.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, contents).expect("a file");
        path
    }

    /// The names of all that is in it.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("the folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file of `tests/fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}

/// A model of `tests/fixtures/cases` with Keras's own results.
#[derive(Debug, Clone)]
pub struct Case(pub Value);

impl Case {
    pub fn name(&self) -> &str {
        self.0["name"].as_str().expect("a name")
    }

    pub fn path(&self, key: &str) -> PathBuf {
        fixture("cases").join(self.0[key].as_str().unwrap_or_else(|| panic!("{key} of {}", self.name())))
    }

    pub fn is_supported(&self) -> bool {
        self.0["supported"] == true
    }

    pub fn layers(&self) -> &[Value] {
        self.0["layers"].as_array().expect("layers")
    }
}

/// All of `index.json`.
pub fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(fixture("cases/index.json")).expect("the fixtures");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    cases.into_iter().map(Case).collect()
}

/// The case of that name.
pub fn case(name: &str) -> Case {
    cases().into_iter().find(|case| case.name() == name).unwrap_or_else(|| panic!("no case {name}"))
}

/// Runs `check` for all `items` on a few threads: the processes mostly wait for drivers to load.
pub fn in_parallel<T: Sync>(items: &[T], check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(item);
                }
            });
        }
    });
}

pub fn npy(path: &Path) -> NpyArray {
    read_npy(path).expect("an .npy file")
}

pub fn npz(path: &Path) -> BTreeMap<String, NpyArray> {
    read_npz(path).expect("an .npz file").into_iter().collect()
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// Compares shapes, and values to [`TOLERANCE`] of the largest.
pub fn agree(what: &str, found: &NpyArray, expected: &NpyArray) {
    assert_eq!(found.shape, expected.shape, "shape of {what}");
    let expected = wide(&expected.values);
    assert_eq!(disagreement(&found.values, &expected, TOLERANCE * largest(&expected)), None, "{what}");
}

/// Compares all arrays of two `.npz` files.
pub fn all_agree(what: &str, found: &BTreeMap<String, NpyArray>, expected: &BTreeMap<String, NpyArray>) {
    let names = |arrays: &BTreeMap<String, NpyArray>| arrays.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{what}");
    for (name, expected) in expected {
        agree(&format!("{name} of {what}"), &found[name], expected);
    }
}

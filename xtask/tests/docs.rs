//! What the pages in `docs/` say by name is there.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("a page")
}

/// Arguments of Keras's two layers (TensorFlow's pages, and R's), and members of its base layer in TF 1.4 and 2.15.
const KERAS: &str = "filters kernel_size strides padding data_format activation use_bias kernel_initializer bias_initializer \
    kernel_regularizer bias_regularizer activity_regularizer kernel_constraint bias_constraint implementation name trainable \
    dtype input_shape batch_input_shape batch_size input_dim weights dynamic autocast object graph input input_mask losses \
    non_trainable_variables non_trainable_weights output output_mask output_shape scope_name trainable_variables \
    trainable_weights updates variables __init__ __call__ __deepcopy__ add_loss add_update add_variable add_weight apply build \
    call compute_mask count_params from_config get_config get_input_at get_input_mask_at get_input_shape_at get_losses_for \
    get_output_at get_output_mask_at get_output_shape_at get_updates_for get_weights set_weights compute_dtype dtype_policy \
    input_spec metrics stateful submodules supports_masking variable_dtype compute_output_shape compute_output_signature \
    finalize_state build_from_config get_build_config load_own_variables save_own_variables with_name_scope";

#[test]
fn every_argument_and_member_of_keras_is_on_its_page() {
    let page = page("docs/keras.md");
    let first_cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.split('|').next());
    let named: Vec<&str> = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let there = |name: &&str| named.iter().any(|cell| cell == name || cell.starts_with(&format!("{name}=")));
    let missing: Vec<&str> = KERAS.split_whitespace().filter(|name| !there(name)).collect();
    assert!(missing.is_empty(), "docs/keras.md lacks {missing:?}");
}

/// Every file that a page names in backticks.
fn files(page: &str) -> impl Iterator<Item = &str> {
    let quoted = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|name| {
        let known = ["src/", "shaders/", "tests/", "docs/", "xtask/", "web/", "examples/", "fuzz/", "keras/", "cli/"];
        known.iter().any(|folder| name.starts_with(folder)) && !name.contains(['<', '*', ' ', ':', '{'])
    })
}

#[test]
fn files_that_pages_name_are_there() {
    let docs = ["adding-a-kernel", "backends", "fuzzing", "keras", "numbers", "training", "versions"];
    let docs = docs.map(|name| format!("docs/{name}.md"));
    for name in ["ARCHITECTURE.md", "SECURITY.md"].into_iter().chain(docs.iter().map(String::as_str)) {
        let page = page(name);
        let mut checked = 0;
        // What its diff adds is not there.
        let new = |file: &str| page.contains(&format!("--- /dev/null\n+++ b/{file}\n"));
        for file in files(&page).filter(|file| !new(file)) {
            assert!(root().join(file).exists(), "{name} names {file}");
            checked += 1;
        }
        assert!(checked > 0 || ["docs/keras.md", "docs/versions.md"].contains(&name), "{name} names no file");
    }
}

/// Of the page's diff: new files are not there, or the kernel was kept; of others all lines are that it leaves or takes away.
#[test]
fn the_diff_of_the_kernel_from_nothing_fits_the_tree() {
    let page = page("docs/adding-a-kernel.md");
    let diff = page.split("```diff\n").nth(1).and_then(|rest| rest.split("```\n").next()).expect("a diff");
    let mut files = 0;
    for part in diff.split("diff --git ").skip(1) {
        let name = part.lines().find_map(|line| line.strip_prefix("+++ b/")).expect("a file's name");
        if part.contains("--- /dev/null") {
            assert!(!root().join(name).exists(), "{name} is there: the page needs another example");
        } else {
            let text = std::fs::read_to_string(root().join(name)).expect("a file of ours");
            let hunks = part.lines().skip_while(|line| !line.starts_with("@@")).filter(|line| !line.starts_with("@@"));
            for line in hunks.filter(|line| line.starts_with([' ', '-'])).map(|line| &line[1..]) {
                assert!(text.lines().any(|own| own == line), "{name} has no line {line:?}");
            }
        }
        files += 1;
    }
    assert_eq!(files, 5, "its two files, the list, the plan and the table of the tests");
}

/// Tests that pages name: a file and one of its functions, with `::` between.
fn tests(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter_map(|name| name.split_once("::")).filter(|(file, _)| file.ends_with(".rs"))
}

#[test]
fn tests_that_pages_name_are_there() {
    for (name, least) in [("docs/numbers.md", 25), ("SECURITY.md", 10), ("docs/backends.md", 3), ("docs/fuzzing.md", 1)]
    {
        let page = page(name);
        let mut checked = 0;
        for (file, test) in tests(&page) {
            let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|_| panic!("{name} names {file}"));
            let (before, _) =
                text.split_once(&format!("fn {test}(")).unwrap_or_else(|| panic!("{name} names {file}::{test}"));
            // Attributes and comments may stand between.
            let own = before.rsplit("\n\n").next().unwrap_or_default();
            assert!(own.contains("#[test]"), "{file}::{test}, which {name} names, is no test");
            checked += 1;
        }
        assert!(checked >= least, "{name} names {checked} tests");
    }
}

/// What was wrong stands on the page with its input.
#[test]
fn what_fuzzers_found_is_on_its_page() {
    let page = page("docs/fuzzing.md");
    let folders = std::fs::read_dir(root().join("fuzz/found")).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut found = 0;
    for folder in folders {
        for input in std::fs::read_dir(folder.path()).expect("a folder") {
            let name = input.expect("an entry").file_name().into_string().expect("UTF-8");
            assert!(page.contains(&format!("(`{name}`")), "docs/fuzzing.md doesn't say what {name} is");
            found += 1;
        }
    }
    assert!(found > 4, "{found} inputs");
}

/// The cells of a page's tables, without their heads: rows by rows.
fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let mut before = "";
    let lines = page.lines().filter_map(move |line| {
        let is_head = |line: &str| line.starts_with("|---");
        let row = (line.starts_with('|') && !is_head(line) && before.starts_with('|')).then_some(line);
        before = line;
        row
    });
    lines.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// Files that are tests as a whole: programs that say themselves what is wrong, and pages in browsers.
fn is_a_test(file: &str) -> bool {
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    text.lines().any(|line| line.trim_start() == "fn main() {") && !text.contains("#[test]")
}

/// A promise that no test holds says so. `tests_that_pages_name_are_there` looks whether they are tests.
#[test]
fn every_promise_names_its_test() {
    let numbers = page("docs/numbers.md");
    let security = page("SECURITY.md");
    let threats = security.split("## Threats").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let mut promises = 0;
    for row in rows(&numbers).chain(rows(threats)) {
        let last = *row.last().expect("a cell");
        let whole: Vec<&str> = files(last).filter(|file| file.ends_with(".rs")).collect();
        for file in &whole {
            assert!(is_a_test(file), "{:?} names {file} and none of its tests", row[0]);
        }
        let held = tests(last).count() + whole.len() > 0;
        assert!(held || last == "none", "{:?} is promised, and no test is named", row[0]);
        promises += 1;
    }
    assert!(promises > 40, "{promises} promises");
}

/// What cargo knows of a workspace: its packages with their targets.
fn metadata(manifest: &Path) -> serde_json::Value {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"]).arg(manifest);
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The roots of all that cargo builds here: libraries, programs, examples, tests and benchmarks, by their paths. Also of packages that
/// are no members of the workspace.
fn crate_roots() -> Vec<String> {
    let own = root().canonicalize().expect("a folder");
    let mut manifests = vec![own.join("Cargo.toml")];
    let workspace = std::fs::read_to_string(own.join("Cargo.toml")).expect("UTF-8");
    let excluded =
        workspace.lines().find_map(|line| line.strip_prefix("exclude = [")).expect("packages that are apart");
    let excluded = excluded.split('"').skip(1).step_by(2);
    manifests.extend(excluded.map(|folder| own.join(folder).join("Cargo.toml")));
    let mut roots = Vec::new();
    for manifest in &manifests {
        let metadata = metadata(manifest);
        let packages = metadata["packages"].as_array().expect("packages");
        for target in packages.iter().flat_map(|package| package["targets"].as_array().expect("targets")) {
            let path = Path::new(target["src_path"].as_str().expect("a path"));
            let path = path.strip_prefix(&own).expect("ours").to_str().expect("UTF-8").replace('\\', "/");
            roots.push(path);
        }
    }
    assert!(manifests.len() > 1);
    roots
}

/// What doesn't forbid `unsafe` stands in SECURITY.md with its reason; and what stands there doesn't.
#[test]
fn unsafe_code_is_where_the_page_says() {
    let page = page("SECURITY.md");
    let section = page.split("## `unsafe`").nth(1).expect("the section");
    let first_cells: Vec<&str> = rows(section).filter_map(|row| row.first().copied()).collect();
    let mut said: Vec<&str> = first_cells.iter().flat_map(|cell| files(cell)).collect();
    said.sort_unstable();
    let roots = crate_roots();
    assert!(roots.len() > 50 && roots.iter().any(|root| root == "tests/memory.rs"), "{roots:?}");
    let forbids = |path: &String| {
        let text = std::fs::read_to_string(root().join(path)).expect("UTF-8");
        text.lines().any(|line| line == "#![forbid(unsafe_code)]")
    };
    let mut found: Vec<&str> = roots.iter().filter(|path| !forbids(path)).map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, said, "roots without `#![forbid(unsafe_code)]`, and those that SECURITY.md lists");
}

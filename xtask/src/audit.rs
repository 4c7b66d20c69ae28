//! `cargo xtask audit`: what takes too long for every change; run before an issue that touches it ends.

use crate::installed::{CARGO_DENY, TYPOS};
use crate::sh::{self, Result};
use crate::steps::Steps;
use crate::{drivers, features, fuzz, gpu_record, isa, msrv, package, setup, tiles, translations, web};

/// `only` names steps, by their beginnings; without any, all are run.
pub(crate) fn audit(only: &[&str]) -> Result {
    let mut steps = Steps::only(only);
    steps.step("setup", setup::setup)?;
    steps.step("typos", || sh::run(TYPOS.command()?.args(["--format", "brief"])))?;
    steps.step("deny", deny)?;
    features::alone(&mut steps)?;
    steps.step("msrv", msrv::msrv)?;
    steps.step("package", package::package)?;
    steps.step("npm", web::npm)?;
    // Another wgpu to compile.
    steps.step("browser app", web::test_app)?;
    steps.step("benches", benches)?;
    steps.step("tiles", tiles::tiles)?;
    steps.step("address sanitizer", address_sanitizer)?;
    if cfg!(target_os = "linux") {
        steps.step("isa", || isa::isa(&[]))?;
    }
    steps.step("translations", || translations::translations(&[]))?;
    // Of the processor's time, each target.
    steps.step("fuzz", || fuzz::fuzz(&["--seconds", "60"]))?;
    steps.step("fuzz with address sanitizer", || fuzz::fuzz(&["--seconds", "15", "--address"]))?;
    steps.step("soak", || sh::run(sh::tool("soak")?.arg("2")))?;
    steps.step("drivers", drivers::drivers)?;
    steps.step("egui", egui)?;
    // Every part runs and is read, most of them cut short: what is rehearsed is that nothing is in the way of a record.
    steps.step("gpu-record", gpu_record::rehearse)?;
    steps.end()
}

/// Packages that are no members of the workspace, each with a lock file of its own.
const APART: [&str; 3] = ["examples/egui", "fuzz/libfuzzer", "xtask/bindgen"];

/// Licences, sources and versions of what we depend on: deny.toml.
fn deny() -> Result {
    println!("deny: advisories are left out, their database is fetched; `cargo deny check advisories` asks it");
    let workspace = std::fs::read_to_string(sh::root().join("Cargo.toml")).map_err(|e| format!("Cargo.toml: {e}"))?;
    let apart = APART.map(|folder| format!("\"{folder}\"")).join(", ");
    if !workspace.contains(&format!("\nexclude = [{apart}]\n")) {
        return Err(format!("Cargo.toml excludes other packages than {apart}"));
    }
    for folder in std::iter::once("").chain(APART) {
        let mut deny = CARGO_DENY.command()?;
        deny.arg("--manifest-path").arg(sh::root().join(folder).join("Cargo.toml"));
        if folder.is_empty() {
            deny.arg("--workspace");
        }
        deny.arg("--config").arg(sh::root().join("deny.toml"));
        sh::run(deny.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    }
    Ok(())
}

/// The example with egui, a package of its own: nothing else compiles egui. Its picture is in the target folder.
fn egui() -> Result {
    let mut run = sh::cargo();
    run.args(["run", "--locked", "--manifest-path", "examples/egui/Cargo.toml", "--target-dir"]);
    let target = sh::target_dir().join("egui");
    sh::run(run.arg(&target).arg("--").arg(target.join("panel.png")))
}

/// Every benchmark once, to see that it runs; its figures are for `cargo bench`.
fn benches() -> Result {
    let mut test = sh::cargo();
    test.args(["test", "--workspace", "--all-features", "--bench", "*"]);
    sh::run(&mut test)
}

/// The CPU executor's tests with every access to memory checked: it has the library's `unsafe` code but one line.
fn address_sanitizer() -> Result {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("address sanitizer: not run, it is for {TARGET}");
        return Ok(());
    }
    let mut test = sh::cargo();
    test.args(["test", "--package", "locally-connected", "--all-features", "--target", TARGET]);
    // The sanitizer is no stable option yet; with a target named, build scripts and macros are built without it.
    test.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
    // Without optimisation, and with room between variables, all tiles of an operation are in one frame of a MB. A thread that runs out of
    // stack looks like a wrong access.
    test.env("RUST_MIN_STACK", (16 << 20).to_string());
    sh::run(test.args(["--test", "all", "--", "cpu::"]))
}

//! `cargo xtask check`: what to run after every few lines. It takes under a minute where little has changed.

use crate::sh::{self, Result};
use crate::steps::Steps;
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn check() -> Result {
    let mut steps = Steps::all();
    steps.step("format", format)?;
    steps.step("lints", lints)?;
    // Those beside the code, of all crates: they need no adapter.
    steps.step("unit tests", || {
        sh::run(sh::cargo().args(["test", "--quiet", "--workspace", "--all-features", "--lib", "--bins"]))
    })?;
    steps.end()
}

pub(crate) fn format() -> Result {
    component("fmt", "rustfmt")?;
    sh::run(sh::cargo().args(["fmt", "--all", "--check", "--"]).args(kernels()?))
}

/// The kernels' files: a macro declares these modules, so `cargo fmt` doesn't find them by itself.
fn kernels() -> Result<Vec<PathBuf>> {
    let folder = sh::root().join("src/kernels");
    let at = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = std::fs::read_dir(&folder).map_err(at)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(at)).collect()
}

pub(crate) fn lints() -> Result {
    component("clippy", "clippy")?;
    let deny = ["--", "-D", "warnings"];
    sh::run(sh::cargo().args(["clippy", "--workspace", "--all-targets", "--all-features"]).args(deny))
}

/// `cargo fmt` and `cargo clippy` are components that a minimal toolchain lacks.
fn component(subcommand: &str, component: &str) -> Result {
    if sh::capture(sh::cargo().args([subcommand, "--version"])).is_some() {
        return Ok(());
    }
    if sh::find(&["rustup"]).is_none() {
        return Err(format!("`cargo {subcommand}` is missing: install {component} from where your Rust came"));
    }
    println!("`cargo {subcommand}` is missing: adding it with `rustup component add {component}`");
    sh::run_quiet(Command::new("rustup").args(["component", "add", component]))
}

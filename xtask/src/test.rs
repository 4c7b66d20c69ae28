//! `cargo xtask test`: everything that a change must pass, cheapest first.

use crate::sh::{self, Result};
use crate::{features, isa, page, setup, tint, wasm};
use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

/// `args` go to `cargo test`.
pub(crate) fn test(args: &[&str]) -> Result {
    let start = Instant::now();
    step("setup", setup::setup)?;
    step("format", || {
        component("fmt", "rustfmt")?;
        sh::run(sh::cargo().args(["fmt", "--all", "--check"]))
    })?;
    step("lints", || {
        component("clippy", "clippy")?;
        let deny = ["--", "-D", "warnings"];
        sh::run(sh::cargo().args(["clippy", "--workspace", "--all-targets", "--all-features"]).args(deny))
    })?;
    step("features", features::features)?;
    step("docs", || {
        let mut doc = sh::cargo();
        doc.args(["doc", "--workspace", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings");
        sh::run(&mut doc)
    })?;
    step("tests", || {
        let mut test = sh::cargo();
        test.args(["test", "--workspace", "--all-features"]).args(args);
        // Only what WebGPU promises, even where the native API would allow more.
        sh::run(test.env("WGPU_STRICT_WEBGPU_COMPLIANCE", "1"))
    })?;
    step("wasm", wasm::wasm)?;
    step("tint", || tint::tint(None))?;
    step("page", page::page)?;
    if cfg!(target_os = "linux") {
        step("isa", || isa::isa(&[]))?;
    } else {
        println!("\n== isa: not run, it is for Linux");
    }
    println!("\nall passed in {}", minutes(start));
    Ok(())
}

/// Runs a step and prints its time.
pub(crate) fn step(name: &str, body: impl FnOnce() -> Result) -> Result {
    println!("\n== {name}");
    let _ = std::io::stdout().flush();
    let start = Instant::now();
    body().map_err(|error| format!("step `{name}`: {error}"))?;
    println!("== {name}: ok, {}", minutes(start));
    Ok(())
}

fn minutes(start: Instant) -> String {
    let tenths = start.elapsed().as_millis() / 100;
    match tenths / 600 {
        0 => format!("{}.{} s", tenths / 10, tenths % 10),
        minutes => format!("{minutes} min {} s", tenths % 600 / 10),
    }
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

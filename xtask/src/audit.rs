//! `cargo xtask audit`: what takes too long for every change; run before an issue that touches it ends.

use crate::sh::{self, Result};
use crate::test::step;
use crate::{gpu_record, setup};

pub(crate) fn audit() -> Result {
    step("setup", setup::setup)?;
    // `test` compiles all features together, and the sets without wgpu.
    for features in ["cpu", "gpu", "gpu,serde", "headless", "cpu,headless"] {
        step(&format!("library with {features}"), || {
            let mut check = sh::cargo();
            check.args(["clippy", "--package", "locally-connected", "--lib", "--no-default-features", "--features"]);
            sh::run(check.arg(features).args(["--", "-D", "warnings"]))
        })?;
    }
    step("address sanitizer", address_sanitizer)?;
    // Every part runs and is read, most of them cut short: what is rehearsed is that nothing is in the way of a record.
    step("gpu-record", gpu_record::rehearse)
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
    sh::run(test.args(["--test", "all", "--", "cpu::"]))
}

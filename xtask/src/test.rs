//! `cargo xtask test`: everything that a change must pass, cheapest first.

use crate::apt;
use crate::sh::{self, Result};
use crate::steps::Steps;
use crate::{check, examples, features, page, setup, tint, wasm, web};
use std::path::Path;

/// `args` go to `cargo test`.
pub(crate) fn test(args: &[&str]) -> Result {
    let mut steps = Steps::all();
    steps.step("setup", setup::setup)?;
    steps.step("format", check::format)?;
    steps.step("lints", check::lints)?;
    steps.step("features", features::features)?;
    steps.step("docs", || {
        let mut doc = sh::cargo();
        doc.args(["doc", "--workspace", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings");
        sh::run(&mut doc)
    })?;
    steps.step("tests", || tests(args))?;
    steps.step("examples", examples::examples)?;
    steps.step("wasm", wasm::wasm)?;
    steps.step("web", || web::test(&[]))?;
    steps.step("tint", || tint::tint(None))?;
    steps.step("page", page::page)?;
    steps.end()
}

fn tests(args: &[&str]) -> Result {
    if cfg!(target_os = "linux") {
        // tests/counts.rs counts instructions with it.
        let elsewhere = "install valgrind by your system's package of that name and try again";
        apt::program("valgrind", "valgrind", elsewhere)?;
        // tests/gl_refusal.rs needs one whose driver refuses shaders.
        if !Path::new("/usr/share/glvnd/egl_vendor.d/50_mesa.json").is_file() {
            let elsewhere = "install Mesa's EGL (Fedora: `dnf install mesa-libEGL mesa-dri-drivers`; Arch: `pacman -S mesa`) and try again";
            apt::install("no Mesa EGL found", &["libegl1", "libegl-mesa0", "libgl1-mesa-dri"], elsewhere)?;
        }
    }
    let mut test = sh::cargo();
    test.args(["test", "--workspace", "--all-features"]).args(args);
    // Only what WebGPU promises, even where the native API would allow more.
    sh::run(test.env("WGPU_STRICT_WEBGPU_COMPLIANCE", "1"))
}

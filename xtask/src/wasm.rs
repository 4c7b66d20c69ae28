//! `cargo xtask wasm`: the libraries build for the browser, that of the layers as planner and shaders alone, too.

use crate::apt;
use crate::sh::{self, Result};
use std::path::Path;
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
/// Libraries, with sets of features.
const LIBRARIES: [(&str, &str); 4] = [
    ("locally-connected", ""),
    ("locally-connected", "headless,serde"),
    ("locally-connected", "cpu"),
    ("locally-connected-keras", ""),
];

/// Builds with rustup's target where it can be had, else with Debian's `rustc-web`.
pub(crate) fn wasm() -> Result {
    let debian = !rustup_target();
    if debian {
        debian_toolchain()?;
        println!("wasm: Debian's rustc-web, which builds the standard library too");
    }
    for (package, features) in LIBRARIES {
        let mut cargo = if debian { debian_cargo() } else { sh::cargo() };
        // `cargo rustc` gives the last words to the library alone; a host's RUSTFLAGS are for the host.
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_RUSTFLAGS");
        cargo.args(["rustc", "--package", package, "--lib", "--target", TARGET]);
        if debian {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        // It only has to build: our dev profile optimises dependencies for the sake of the tests.
        cargo.args(["--config", "profile.dev.package.\"*\".opt-level=0"]);
        cargo.args(["--no-default-features", "--features", features]);
        // The CPU executor's vectors; browsers have had them for years.
        sh::run(cargo.args(["--", "-D", "warnings", "-C", "target-feature=+simd128"]))?;
    }
    println!("wasm: the libraries build for {TARGET}");
    Ok(())
}

/// Whether the compiler that started us has the target, once rustup has tried to add it.
fn rustup_target() -> bool {
    if has_target() {
        return true;
    }
    if sh::find(&["rustup"]).is_none() {
        return false;
    }
    println!("wasm: no {TARGET} here: adding it with `rustup target add`");
    match sh::run_quiet(sh::command("rustup").args(["target", "add", TARGET])) {
        Ok(()) => has_target(),
        Err(error) => {
            let why = error.lines().rfind(|line| line.contains("error")).unwrap_or("it failed").to_owned();
            println!("wasm: rustup cannot add it ({why})");
            false
        }
    }
}

fn has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    sh::capture(sh::command(rustc).args(["--print", "target-libdir", "--target", TARGET]))
        .and_then(|dir| std::fs::read_dir(dir).ok())
        .is_some_and(|mut files| {
            files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libcore-")))
        })
}

/// Makes sure of Debian's compiler for browsers (made for Firefox and Chromium, hence recent), cargo, and std's source.
fn debian_toolchain() -> Result {
    let present = || {
        let version =
            sh::capture(Command::new("dpkg-query").args(["--show", "rustc-web", "cargo-web", "rust-web-src"]));
        version.is_some()
            && Path::new("/usr/lib/rustlib/src/rust/library/std/Cargo.toml").exists()
            && sh::find(&["wasm-ld"]).is_some()
    };
    if present() {
        return Ok(());
    }
    apt::install(
        &format!("no Rust standard library for {TARGET}"),
        &["rustc-web", "cargo-web", "rust-web-src", "lld"],
        &format!("run `rustup target add {TARGET}`, or install that target from where your Rust came"),
    )?;
    if present() {
        Ok(())
    } else {
        Err("Debian's rustc-web is not where it should be, in /usr/bin and /usr/lib/rustlib".into())
    }
}

/// Debian's cargo and rustc, clear of what the rustup cargo that started us has set.
fn debian_cargo() -> Command {
    let mut cargo = sh::command("/usr/bin/cargo");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "RUSTUP_", "RUSTC"];
        if text == "CARGO" || text == "LD_LIBRARY_PATH" || prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once("/usr/bin".into()).chain(std::env::split_paths(&path));
    if let Ok(path) = std::env::join_paths(path) {
        cargo.env("PATH", path);
    }
    cargo
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1") // -Zbuild-std on a stable compiler
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld")
        .env("CARGO_TARGET_DIR", sh::target_dir().join("wasm"));
    cargo
}

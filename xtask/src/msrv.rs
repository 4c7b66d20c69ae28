//! Whether what we publish builds with the oldest Rust that Cargo.toml names.

use crate::sh::{self, Result};
use crate::wasm;
use std::process::Command;

/// What others take, all features of it.
const PACKAGES: [&str; 3] = ["locally-connected", "locally-connected-keras", "locally-cli"];

/// Checks with the toolchain that rustup has or fetches. Where there is no rustup, or it can't fetch, that is an error: nothing was
/// checked.
pub(crate) fn msrv() -> Result {
    let manifest = std::fs::read_to_string(sh::root().join("Cargo.toml")).map_err(|e| format!("Cargo.toml: {e}"))?;
    let version = oldest(&manifest).ok_or("Cargo.toml has no rust-version")?;
    if sh::find(&["rustup"]).is_none() {
        return Err(format!(
            "there is no rustup to have Rust {version} of: install it, or check with that Rust by hand"
        ));
    }
    if sh::capture(with(&version, "rustc").arg("--version")).is_none() {
        println!("msrv: installing Rust {version} with rustup");
        let mut install = Command::new("rustup");
        sh::run_quiet(install.args(["toolchain", "install", &version, "--profile", "minimal", "--no-self-update"]))?;
    }
    let mut check = with(&version, "cargo");
    check.args(["check", "--locked", "--all-features", "--target-dir"]).arg(sh::target_dir().join("msrv"));
    PACKAGES.iter().for_each(|name| _ = check.args(["--package", name]));
    sh::run(&mut check)?;
    browsers(&version)
}

/// The same for browsers, where rustup has that toolchain's standard library for them or can get it; else it says why it can't.
fn browsers(version: &str) -> Result {
    let mut add = Command::new("rustup");
    if let Err(error) = sh::run_quiet(add.args(["target", "add", wasm::TARGET, "--toolchain", version])) {
        println!("msrv: not checked for browsers, Rust {version} has no standard library for them here: {error}");
        return Ok(());
    }
    for (package, features) in wasm::LIBRARIES {
        let mut check = with(version, "cargo");
        check.args(["check", "--locked", "--lib", "--package", package, "--no-default-features", "--features"]);
        check.args([features, "--target", wasm::TARGET, "--target-dir"]).arg(sh::target_dir().join("msrv"));
        check.env("RUSTFLAGS", wasm::VECTORS).env_remove("CARGO_ENCODED_RUSTFLAGS");
        sh::run(&mut check)?;
    }
    Ok(())
}

/// A program of that toolchain's.
fn with(version: &str, program: &str) -> Command {
    let mut command = sh::command("rustup");
    // A cargo that rustup started says by these which toolchain all others are.
    ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC"].iter().for_each(|name| _ = command.env_remove(name));
    command.args(["run", version, program]);
    command
}

fn oldest(manifest: &str) -> Option<String> {
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \""))?;
    Some(line.trim_end_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_rust_is_read() {
        assert_eq!(oldest("edition = \"2024\"\nrust-version = \"1.89\"\n"), Some("1.89".into()));
        assert_eq!(oldest("rust-version.workspace = true"), None);
    }
}

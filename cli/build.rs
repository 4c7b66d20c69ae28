//! What a report says of this build: the commit, and wgpu's version.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    // Cargo runs this again where one of these changes: the sources, since a commit with changes is another build.
    for part in ["src", "build.rs", "../src", "../shaders", "../keras/src", "../Cargo.lock"] {
        if here.join(part).exists() {
            println!("cargo::rerun-if-changed={part}");
        }
    }
    let logs = git(&here, &["rev-parse", "--git-path", "logs/HEAD"]).filter(|path| here.join(path).exists());
    if let Some(path) = logs {
        println!("cargo::rerun-if-changed={path}");
    }
    // A package has no repository of its own, and that which it may lie in is another's.
    let own = here.join("../benches/peers/workloads.json").exists();
    let commit = own.then(|| git(&here, &["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])).flatten();
    println!("cargo::rustc-env=LOCALLY_COMMIT={}", commit.unwrap_or_default());
    println!("cargo::rustc-env=LOCALLY_WGPU={}", wgpu(&here).unwrap_or_default());
}

fn git(here: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).current_dir(here).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// The version that is locked.
fn wgpu(here: &Path) -> Option<String> {
    let lock =
        ["../Cargo.lock", "Cargo.lock"].into_iter().find_map(|path| std::fs::read_to_string(here.join(path)).ok())?;
    let (_, after) = lock.split_once("name = \"wgpu\"\nversion = \"")?;
    after.split_once('"').map(|(version, _)| version.to_owned())
}

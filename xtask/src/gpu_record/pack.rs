//! All that a run needs, in one folder.

use super::files::at;
use crate::sh::{self, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a borrowed machine's tool takes along at most, beside the repository's own files: 64 MiB in all.
const MOST_BYTES: u64 = 45 << 20;

/// Debian's packages of the Vulkan loader and of what NVIDIA's driver wants beside it.
const LOADER: [&str; 7] = ["libvulkan1", "libegl1", "libglvnd0", "libopengl0", "libgl1", "libglx0", "libgles2"];

/// Where the Vulkan loader comes from.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Loader {
    /// Packages in the folder, for a machine that has none.
    Packed,
    /// The machine's own.
    System,
}

pub(super) fn pack(folder: &Path, loader: Loader) -> Result {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(at(folder))?;
    }
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    let (locally, tests) = build()?;
    let this = std::env::current_exe().map_err(|e| format!("this program's place: {e}"))?;
    for (program, name) in [(locally, "locally"), (tests, "tests-all"), (this, "xtask")] {
        let to = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        std::fs::copy(&program, &to).map_err(at(&program))?;
        if cfg!(unix) {
            // Without it the folder is several times as large; it comes with the linker that Rust needs.
            sh::run_quiet(Command::new("strip").arg(&to)).map_err(|e| format!("{e}\n`strip` is binutils'"))?;
        }
        // `record` unpacks them. It begins with xtask, which is small.
        if loader == Loader::Packed && name != "xtask" {
            sh::run_quiet(Command::new("gzip").arg("-9").arg(&to))?;
        }
    }
    for part in ["tests/fixtures", "shaders"] {
        copy(&sh::root().join(part), &folder.join(part))?;
    }
    copy(&sh::root().join("benches/peers"), &folder.join("peers"))?;
    for part in ["tests/fixtures", "shaders"] {
        // The tests would take the repository's instead.
        if !folder.join(part).is_dir() {
            return Err(format!("{part} is missing in {}", folder.display()));
        }
    }
    let commit = sh::capture(sh::command("git").args(["describe", "--always", "--dirty", "--abbrev=12"]));
    let file = folder.join("commit.txt");
    std::fs::write(&file, commit.unwrap_or_else(|| "unknown".into()) + "\n").map_err(at(&file))?;
    if loader == Loader::Packed {
        packages(&folder.join("loader"))?;
        script(&folder.join("record"))?;
    }
    let bytes = size(folder)?;
    println!("{}: {:.1} MiB", folder.display(), bytes as f64 / f64::from(1 << 20));
    if loader == Loader::Packed && bytes > MOST_BYTES {
        return Err(format!("that is over the {} MiB which a borrowed machine's tool takes along", MOST_BYTES >> 20));
    }
    Ok(())
}

/// `locally` and the program of all integration tests, both optimised.
fn build() -> Result<(PathBuf, PathBuf)> {
    sh::run(sh::cargo().args(["build", "--release", "--package", "locally-cli"]))?;
    let program = format!("locally{}", std::env::consts::EXE_SUFFIX);
    let locally = sh::target_dir().join("release").join(program);
    let mut tests = sh::cargo();
    tests.args(["test", "--release", "--package", "locally-connected", "--all-features", "--test", "all", "--no-run"]);
    let output = tests
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("`{}` did not start: {e}", sh::shown(&tests)))?;
    if !output.status.success() {
        return Err(format!("`{}` failed ({})", sh::shown(&tests), output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut made = messages
        .filter(|message| message["target"]["name"] == "all")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    Ok((locally, made.next_back().ok_or("cargo named no program of the tests")?))
}

/// The loader's packages, for x86-64, whatever this machine's own lists of packages hold.
fn packages(folder: &Path) -> Result {
    if sh::find(&["apt-get"]).is_none() {
        return Err("packing the Vulkan loader takes Debian or Ubuntu; without --pack the machine's own is used".into());
    }
    let lists = sh::target_dir().join("gpu-record-lists");
    for made in [folder, &lists.join("partial")] {
        std::fs::create_dir_all(made).map_err(at(made))?;
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-oAPT::Architecture=amd64", "-oAPT::Architectures=amd64", "-oAPT::Sandbox::User=root"]);
        command.arg(format!("-oDir::State::Lists={}", lists.display())).current_dir(folder);
        command
    };
    sh::run_quiet(apt().arg("update"))?;
    sh::run_quiet(apt().arg("download").args(LOADER))
}

/// The one command of a packed folder.
fn script(to: &Path) -> Result {
    let text = include_str!("../../gpu-record/record");
    std::fs::write(to, text).map_err(at(to))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755)).map_err(at(to))?;
    }
    Ok(())
}

/// A folder's files, but for what programs left beside them.
fn copy(from: &Path, to: &Path) -> Result {
    std::fs::create_dir_all(to).map_err(at(to))?;
    for entry in std::fs::read_dir(from).map_err(at(from))? {
        let path = entry.map_err(at(from))?.path();
        let Some(name) = path.file_name().filter(|name| *name != "__pycache__") else { continue };
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            std::fs::copy(&path, to.join(name)).map_err(at(&path))?;
        }
    }
    Ok(())
}

fn size(path: &Path) -> Result<u64> {
    if !path.is_dir() {
        return Ok(std::fs::metadata(path).map_err(at(path))?.len());
    }
    std::fs::read_dir(path).map_err(at(path))?.map(|entry| size(&entry.map_err(at(path))?.path())).sum()
}

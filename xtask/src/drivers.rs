//! The adapter tests on the newest Mesa that Debian has, in a root of its own: `target/drivers/sid`.

use crate::apt;
use crate::sh::{self, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const ELSEWHERE: &str = "install debootstrap and try again";
/// Lavapipe in the root.
const DRIVER: &str = "usr/share/vulkan/icd.d/lvp_icd.json";

/// Runs the library's tests, or those whose names have one of `names`, inside the root. It takes root's rights, as chroot does.
pub(crate) fn drivers(names: &[&str]) -> Result {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("drivers: not run, the root is Debian's for x86-64");
        return Ok(());
    }
    if sh::capture(Command::new("id").arg("-u")).as_deref() != Some("0") {
        return Err("this makes a root of Debian's and runs programs in it: run it as root".into());
    }
    let root = sh::target_dir().join("drivers/sid");
    make(&root)?;
    let program = built()?;
    // Mounts of a namespace of its own, which are gone with it: the programs find the repository where they were built, and /proc.
    let script = "set -e; root=$1; repository=$2; target=$3; shift 3
        mkdir -p \"$root$repository\" \"$root$target\"
        mount --bind \"$repository\" \"$root$repository\"; mount --bind \"$target\" \"$root$target\"
        mount -t proc proc \"$root/proc\"
        exec chroot \"$root\" \"$@\"";
    let mut run = sh::command("unshare");
    run.args(["--mount", "sh", "-c", script, "sh"]).arg(&root).arg(sh::root()).arg(sh::target_dir());
    run.arg(&program).args(names);
    // Nothing of this system's choice of drivers.
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "LD_LIBRARY_PATH"] {
        run.env_remove(name);
    }
    sh::run(run.env("RUST_BACKTRACE", "0").env("XDG_RUNTIME_DIR", "/tmp"))
}

/// Makes the root, unless it is there.
fn make(root: &Path) -> Result {
    if !root.join(DRIVER).exists() {
        if sh::find(&["debootstrap"]).is_none() && !Path::new("/usr/sbin/debootstrap").exists() {
            apt::install("no debootstrap found", &["debootstrap"], ELSEWHERE)?;
        }
        println!("drivers: making {}", root.display());
        let _ = std::fs::remove_dir_all(root);
        std::fs::create_dir_all(root).map_err(|e| format!("{}: {e}", root.display()))?;
        let mut make = Command::new("debootstrap");
        make.args(["--variant=minbase", "--include=mesa-vulkan-drivers,libvulkan1", "sid"]).arg(root);
        let path = std::env::var("PATH").unwrap_or_default();
        sh::run_quiet(make.env("PATH", format!("{path}:/usr/sbin:/sbin")))?;
    }
    let mut asked = Command::new("chroot");
    asked.arg(root).args(["dpkg-query", "--show", "mesa-vulkan-drivers"]);
    println!("drivers: {}", sh::capture(&mut asked).ok_or("the root has no mesa-vulkan-drivers")?);
    Ok(())
}

/// The library's tests, built as `cargo xtask test` builds them.
fn built() -> Result<PathBuf> {
    let mut build = sh::cargo();
    build.args(["test", "--workspace", "--all-features", "--no-run", "--message-format=json", "--test", "all"]);
    let said = sh::capture(&mut build).ok_or("the tests don't build")?;
    let ours = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let manifest = message.get("manifest_path")?.as_str()?;
        let is_ours = Path::new(manifest) == sh::root().join("Cargo.toml");
        message.get("executable")?.as_str().filter(|_| is_ours).map(PathBuf::from)
    };
    said.lines().find_map(ours).ok_or_else(|| "cargo names no program of tests".into())
}

//! The adapter tests on the newest Mesa that Debian has, in a root of its own: `target/drivers/sid`.

use crate::apt;
use crate::sh::{self, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

const ELSEWHERE: &str = "install debootstrap and try again";
/// Lavapipe in the root, by either name that Mesa has given its manifest.
const DRIVERS: [&str; 2] = ["usr/share/vulkan/icd.d/lvp_icd.json", "usr/share/vulkan/icd.d/lvp_icd.x86_64.json"];
/// Mesa's GL there, which one of the programs has refuse shaders.
const GL: &str = "usr/share/glvnd/egl_vendor.d/50_mesa.json";
const PACKAGES: &str = "--include=mesa-vulkan-drivers,libvulkan1,libegl1,libegl-mesa0,libgl1-mesa-dri";
/// A root that is older than this is made anew: sid has another Mesa every other week.
const RENEWED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Our programs of tests that use an adapter, the library's and the one of Keras's files. Not `address_space`: where the host's memory
/// ends, Mesa 26.2.6 maps memory at -1, and a process that writes there ends (docs/backends.md).
const PROGRAMS: [&str; 4] = ["all", "memory", "nth_call", "gl_refusal"];

/// Runs the tests of the library and of Keras's files inside the root. It takes root's rights, as chroot does.
pub(crate) fn drivers() -> Result {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("drivers: not run, the root is Debian's for x86-64");
        return Ok(());
    }
    if sh::capture(Command::new("id").arg("-u")).as_deref() != Some("0") {
        return Err("this makes a root of Debian's and runs programs in it: run it as root".into());
    }
    let root = sh::target_dir().join("drivers/sid");
    make(&root)?;
    for program in built()? {
        println!("drivers: {}", program.display());
        run(&root, &program)?;
    }
    Ok(())
}

/// Runs a program in the root, where the repository lies where it does here.
fn run(root: &Path, program: &Path) -> Result {
    // Mounts in a namespace of its own, which are gone with it.
    let script = "set -e; root=$1; repository=$2; target=$3; shift 3
        mkdir -p \"$root$repository\" \"$root$target\"
        mount --bind \"$repository\" \"$root$repository\"
        [ -e \"$root$1\" ] || mount --bind \"$target\" \"$root$target\"
        mount -t proc proc \"$root/proc\"
        exec chroot \"$root\" \"$@\"";
    let mut run = sh::command("unshare");
    run.args(["--mount", "sh", "-c", script, "sh"]).arg(root).arg(sh::root()).arg(sh::target_dir()).arg(program);
    // Nothing of this system's choice of drivers.
    ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "LD_LIBRARY_PATH"].iter().for_each(|name| _ = run.env_remove(name));
    sh::run(run.env("RUST_BACKTRACE", "0").env("XDG_RUNTIME_DIR", "/tmp"))
}

/// Whether something was made so long ago, or nobody knows when.
fn is_old(made: Option<SystemTime>) -> bool {
    made.and_then(|made| made.elapsed().ok()).is_none_or(|age| age > RENEWED)
}

/// Makes the root, unless it is there and new.
fn make(root: &Path) -> Result {
    let is_there = || DRIVERS.iter().any(|driver| root.join(driver).exists()) && root.join(GL).exists();
    // Written last: of a root that was half made there is none.
    let stamp = root.with_extension("made");
    let made = std::fs::metadata(&stamp).and_then(|stamp| stamp.modified()).ok();
    if !is_there() || is_old(made) {
        if sh::find(&["debootstrap"]).is_none() && !Path::new("/usr/sbin/debootstrap").exists() {
            apt::install("no debootstrap found", &["debootstrap"], ELSEWHERE)?;
        }
        println!("drivers: making {}", root.display());
        let _ = (std::fs::remove_file(&stamp), std::fs::remove_dir_all(root));
        std::fs::create_dir_all(root).map_err(|e| format!("{}: {e}", root.display()))?;
        let mut make = Command::new("debootstrap");
        make.args(["--variant=minbase", PACKAGES, "sid"]).arg(root);
        let path = std::env::var("PATH").unwrap_or_default();
        sh::run_quiet(make.env("PATH", format!("{path}:/usr/sbin:/sbin")))?;
        if !is_there() {
            return Err(format!("{} has no lavapipe, or no GL of Mesa's", root.display()));
        }
        std::fs::write(&stamp, "").map_err(|e| format!("{}: {e}", stamp.display()))?;
    }
    let mut asked = Command::new("chroot");
    asked.arg(root).args(["dpkg-query", "--show", "mesa-vulkan-drivers"]);
    println!("drivers: {}", sh::capture(&mut asked).ok_or("the root has no mesa-vulkan-drivers")?);
    Ok(())
}

/// [`PROGRAMS`], built as `cargo xtask test` builds them.
fn built() -> Result<Vec<PathBuf>> {
    let mut build = sh::cargo();
    build.args(["test", "--workspace", "--all-features", "--no-run", "--message-format=json"]);
    PROGRAMS.iter().for_each(|name| _ = build.args(["--test", name]));
    let said = sh::capture(&mut build).ok_or_else(|| format!("`{}` failed", sh::shown(&build)))?;
    let programs: Vec<PathBuf> = said.lines().filter_map(executable).collect();
    if programs.is_empty() { Err("cargo names no program of tests".into()) } else { Ok(programs) }
}

/// The program that a line of cargo's messages is about.
fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    Some(message.get("executable")?.as_str()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_age() {
        let before = |age| SystemTime::now().checked_sub(age);
        assert!(!is_old(before(RENEWED / 2)));
        assert!(is_old(before(2 * RENEWED)) && is_old(None));
    }

    #[test]
    fn programs_are_found_in_cargo_s_messages() {
        let built = r#"{"reason":"compiler-artifact","executable":"/work/target/debug/deps/all-1"}"#;
        assert_eq!(executable(built), Some("/work/target/debug/deps/all-1".into()));
        assert_eq!(executable(r#"{"reason":"compiler-artifact","executable":null}"#), None);
        assert_eq!(executable("Compiling"), None);
    }
}

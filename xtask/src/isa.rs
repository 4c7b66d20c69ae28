//! `cargo xtask isa`: every shader variant through Mesa's RADV, which compiles for an AMD GPU that isn't there.

use crate::apt;
use crate::sh::{self, Result};
use std::path::PathBuf;

/// A family that both old and new Mesas know by this name.
const FAMILY: &str = "navi21";
const FOLDERS: [&str; 3] = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/// `args` go to `examples/isa.rs`: names of variants, `--listing`.
pub(crate) fn isa(args: &[&str]) -> Result {
    if !cfg!(target_os = "linux") {
        return Err("RADV, whose compiler this asks, is there on Linux only".into());
    }
    let driver = match driver() {
        Some(driver) => driver,
        None => {
            apt::install("no RADV (radeon_icd*.json) found", &["mesa-vulkan-drivers", "libvulkan1"], ELSEWHERE)?;
            driver().ok_or("no RADV found, even after installing mesa-vulkan-drivers")?
        }
    };
    let example = ["--workspace", "--all-features", "--example", "isa"];
    sh::run(sh::cargo().arg("build").args(example).env_remove("CARGO_BUILD_TARGET"))?;
    let mut command = sh::command(sh::target_dir().join("debug/examples/isa"));
    command.args(args).env("VK_DRIVER_FILES", &driver).env("VK_ICD_FILENAMES", &driver);
    // The name of this variable changed with Mesa's versions. Numbers are of what is compiled now, not cached.
    command.env("RADV_FORCE_FAMILY", FAMILY).env("AMD_FORCE_FAMILY", FAMILY).env("MESA_SHADER_CACHE_DISABLE", "true");
    sh::run(&mut command).map_err(|_| "not every shader variant stays in the registers, see above".into())
}

const ELSEWHERE: &str = "install Mesa's Vulkan driver for AMD GPUs (Fedora: `dnf install mesa-vulkan-drivers`; \
     Arch: `pacman -S vulkan-radeon`; Alpine: `apk add mesa-vulkan-ati`) and try again";

fn driver() -> Option<PathBuf> {
    let files = FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    files.filter_map(|file| Some(file.ok()?.path())).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("radeon_icd") && name.ends_with(".json")
    })
}

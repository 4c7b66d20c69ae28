//! `cargo xtask isa`: every shader variant through Mesa's RADV, which compiles for an AMD GPU that isn't there.

use crate::sh::{self, Result};
use crate::{apt, setup};

/// A family that both old and new Mesas know by this name.
const FAMILY: &str = "navi21";

/// `args` go to `xtask/tools/src/isa.rs`: names of variants, `--listing`.
pub(crate) fn isa(args: &[&str]) -> Result {
    if !cfg!(target_os = "linux") {
        return Err("RADV, whose compiler this asks, is there on Linux only".into());
    }
    let driver = match setup::driver("radeon") {
        Some(driver) => driver,
        None => {
            apt::install("no RADV (radeon_icd.*.json) found", &["mesa-vulkan-drivers", "libvulkan1"], ELSEWHERE)?;
            setup::driver("radeon").ok_or("no RADV found, even after installing mesa-vulkan-drivers")?
        }
    };
    let mut command = sh::tool("isa")?;
    command.args(args).env("VK_DRIVER_FILES", &driver).env("VK_ICD_FILENAMES", &driver);
    // The name of this variable changed with Mesa's versions. Numbers are of what is compiled now, not cached.
    command.env("RADV_FORCE_FAMILY", FAMILY).env("AMD_FORCE_FAMILY", FAMILY).env("MESA_SHADER_CACHE_DISABLE", "true");
    sh::run(&mut command).map_err(|_| "not every shader variant stays in the registers, see above".into())
}

const ELSEWHERE: &str = "install Mesa's Vulkan driver for AMD GPUs (Fedora: `dnf install mesa-vulkan-drivers`; \
     Arch: `pacman -S vulkan-radeon`; Alpine: `apk add mesa-vulkan-ati`) and try again";

//! `cargo xtask translations`: every shader variant in the language of every backend, and what compilers say of it.

use crate::apt;
use crate::sh::{self, Result};

/// Compilers, and Debian's packages of them.
const PROGRAMS: [(&str, &str); 2] = [("spirv-val", "spirv-tools"), ("glslangValidator", "glslang-tools")];
const ELSEWHERE: &str = "install SPIRV-Tools and glslang (Fedora: `dnf install spirv-tools glslang`; Arch: `pacman -S \
     spirv-tools glslang`; Homebrew: `brew install spirv-tools glslang`) and try again";

/// `names` are the beginnings of variants' names; all without any. The texts are in the target folder.
pub(crate) fn translations(names: &[&str]) -> Result {
    for (program, package) in PROGRAMS {
        apt::program(program, package, ELSEWHERE)?;
    }
    let folder = sh::target_dir().join("translations");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let mut tool = sh::tool("translations")?;
    sh::run(tool.arg(&folder).args(names)).map_err(|_| "not every shader variant is taken everywhere, see above".into())
}

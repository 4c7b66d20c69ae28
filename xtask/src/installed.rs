//! Programs of others that checks run, at the versions named here, in `target/tools`: nothing of the system's is changed.

use crate::sh::{self, Result};
use std::path::Path;
use std::process::Command;

pub(crate) struct Program {
    name: &'static str,
    version: &'static str,
    /// The crate that has it.
    crate_name: &'static str,
    /// Whether Python's registry has it built, by this name: seconds instead of minutes.
    wheel: bool,
}

pub(crate) const TYPOS: Program = Program { name: "typos", version: "1.52.0", crate_name: "typos-cli", wheel: true };
pub(crate) const CARGO_DENY: Program =
    Program { name: "cargo-deny", version: "0.20.2", crate_name: "cargo-deny", wheel: false };

impl Program {
    /// The program, installed if it wasn't, as a command in the repository's root.
    pub(crate) fn command(&self) -> Result<Command> {
        let Self { name, version, .. } = self;
        let tools = sh::target_dir().join("tools");
        let folder = tools.join(format!("{name}-{version}"));
        let program = folder.join("bin").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        if !program.is_file() {
            println!("{name}: installing version {version} in {}", folder.display());
            if !(self.wheel && self.install_wheel(&folder) && program.is_file()) {
                self.build_from_source(&folder, &tools.join("build"))?;
            }
        }
        Ok(sh::command(program))
    }

    /// Whether pip is there and gave it.
    fn install_wheel(&self, folder: &Path) -> bool {
        sh::find(&["python3", "python"]).is_some_and(|python| {
            let mut pip = Command::new(python);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
            pip.arg("--target").arg(folder).arg(format!("{}=={}", self.name, self.version));
            sh::run_quiet(&mut pip).is_ok()
        })
    }

    fn build_from_source(&self, folder: &Path, build: &Path) -> Result {
        let mut install = sh::cargo();
        install.args(["install", "--locked", self.crate_name, "--version", self.version, "--root"]).arg(folder);
        sh::run(install.arg("--target-dir").arg(build))?;
        // Hundreds of megabytes that nothing needs again.
        std::fs::remove_dir_all(build).map_err(|e| format!("{}: {e}", build.display()))
    }
}

//! `cargo xtask web`: the npm package, from Rust and TypeScript to `web/dist`; its demo page; its tests.

use crate::browser;
use crate::sh::{self, Result};
use crate::wasm::Compiler;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "locally-connected-web";
const PROFILE: &str = "web";
/// The example of an app of Rust.
const APP: &str = "locally-connected-in-browser";
/// A module: the package with the feature of its name.
struct Module {
    name: &'static str,
    /// `z` where what is downloaded counts, 3 where it computes.
    opt_level: &'static str,
    /// What the compiler is told besides.
    flags: &'static [&'static str],
    /// Whether all of it is compiled for vectors; browsers have had them for years.
    vectors: bool,
}

/// Without an optimisation of addresses in loops that makes modules 1 % larger.
const SMALL: &[&str] = &["-C", "llvm-args=-disable-lsr"];
const MODULES: [Module; 5] = [
    Module { name: "core", opt_level: "z", flags: SMALL, vectors: false },
    Module { name: "train", opt_level: "z", flags: SMALL, vectors: false },
    Module { name: "cpu", opt_level: "3", flags: &[], vectors: true },
    Module { name: "keras", opt_level: "z", flags: SMALL, vectors: false },
    Module { name: "save", opt_level: "z", flags: SMALL, vectors: false },
];

/// Builds the package; fails where it is larger than it may be.
pub(crate) fn build() -> Result {
    let compiler = Compiler::smallest()?;
    let bindgen = bindgen()?;
    let glue = sh::target_dir().join("web");
    let src = sh::root().join("web/src");
    for Module { name: module, opt_level, flags, vectors } in MODULES {
        let mut cargo = compiler.with_vectors(vectors).library(PACKAGE);
        compiler.link(&mut cargo)?;
        cargo.env("CARGO_PROFILE_WEB_OPT_LEVEL", opt_level);
        cargo.args(["--crate-type", "cdylib", "--profile", PROFILE, "--no-default-features", "--features", module]);
        sh::run(cargo.args(["--", "-D", "warnings"]).args(flags))?;
        let built = compiler.folder(PROFILE).join("locally_connected_web.wasm");
        bindgen.run(&built, &glue, module)?;
        for (from, to) in [
            (format!("{module}_bg.wasm"), format!("{module}.wasm")),
            (format!("{module}.js"), format!("{module}_glue.js")),
            (format!("{module}.d.ts"), format!("{module}_glue.d.ts")),
        ] {
            let from = glue.join(from);
            std::fs::copy(&from, src.join(to)).map_err(|e| format!("{}: {e}", from.display()))?;
        }
    }
    browser::npm_ci("web")?;
    let mut build = sh::command("node");
    build.arg(sh::root().join("web/build.mjs"));
    if !compiler.is_small() {
        build.arg("--large");
    }
    sh::run(&mut build)?;
    println!("web: the package is in {}", sh::root().join("web/dist").display());
    Ok(())
}

/// Builds the package and tests it in headless Chromium: all of its tests, or those whose names contain one of these. All of them are also
/// the quick ones in Node, on Dawn.
pub(crate) fn test(names: &[&str]) -> Result {
    build()?;
    let failed = |_| "not every test of the package passed, see above".to_owned();
    let mut tests = browser::script_at("web/test/run.mjs")?;
    sh::run(tests.args(names)).map_err(failed)?;
    if names.is_empty() {
        sh::run(sh::command("node").arg(sh::root().join("web/test/node.mjs"))).map_err(failed)?;
    }
    Ok(())
}

/// Builds the package and the example of an app of Rust, and tests that in headless Chromium, beside the package.
pub(crate) fn test_app() -> Result {
    build()?;
    let mut test = browser::script_at("examples/browser/test.mjs")?;
    sh::run(test.arg(app()?)).map_err(|_| "the app of Rust fails in the browser, see above".into())
}

/// Builds the example of an app of Rust (`examples/browser`): the folder of its module and the glue.
fn app() -> Result<PathBuf> {
    let compiler = Compiler::find()?;
    let mut cargo = compiler.library(APP);
    compiler.link(&mut cargo)?;
    // It only has to run: our dev profile optimises dependencies for the sake of the tests.
    cargo.args(["--config", "profile.dev.package.\"*\".opt-level=0"]);
    sh::run(cargo.args(["--", "-D", "warnings"]))?;
    let folder = sh::target_dir().join("app");
    bindgen()?.run(&compiler.folder("debug").join("locally_connected_in_browser.wasm"), &folder, "app")?;
    let (from, to) = (folder.join("app_bg.wasm"), folder.join("app.wasm"));
    std::fs::copy(&from, to).map_err(|e| format!("{}: {e}", from.display()))?;
    Ok(folder)
}

/// Builds the package, and installs, type-checks and runs it in a project of its own, which Vite builds.
pub(crate) fn npm() -> Result {
    build()?;
    sh::run(&mut browser::script_at("web/test/npm.mjs")?)
}

/// Builds the package and serves its demo page until it is stopped.
pub(crate) fn serve(port: &str) -> Result {
    build()?;
    sh::run(browser::script_at("web/serve.mjs")?.arg(port))
}

/// What makes JavaScript of a module: it must be of exactly the version that the module is built with.
enum Bindgen {
    /// The command, installed.
    Installed(PathBuf),
    /// Our own small program on its library (`xtask/bindgen`).
    Own(PathBuf),
}

impl Bindgen {
    fn run(&self, wasm: &Path, folder: &Path, name: &str) -> Result {
        let mut command = match self {
            Self::Installed(program) => {
                let mut command = sh::command(program);
                command.args(["--target", "web", "--omit-default-module-path"]);
                command.args(["--remove-name-section", "--remove-producers-section", "--out-name", name, "--out-dir"]);
                command.arg(folder).arg(wasm);
                command
            }
            Self::Own(program) => {
                let mut command = sh::command(program);
                command.arg(wasm).arg(folder).arg(name);
                command
            }
        };
        sh::run_quiet(&mut command)
    }
}

fn bindgen() -> Result<Bindgen> {
    let version = locked(&sh::root().join("Cargo.lock"), "wasm-bindgen")?;
    if let Some(installed) = sh::find(&["wasm-bindgen"])
        && sh::capture(Command::new(&installed).arg("--version")).is_some_and(|said| said.ends_with(&version))
    {
        return Ok(Bindgen::Installed(installed));
    }
    let manifest = sh::root().join("xtask/bindgen/Cargo.toml");
    let own = locked(&sh::root().join("xtask/bindgen/Cargo.lock"), "wasm-bindgen-cli-support")?;
    if own != version {
        let what = format!("wasm-bindgen is {version} in Cargo.lock, but {own} in xtask/bindgen");
        return Err(format!("{what}: they must be of one version, change {}", manifest.display()));
    }
    let target = sh::target_dir().join("bindgen");
    sh::run(sh::cargo().args(["build", "--locked", "--manifest-path"]).arg(manifest).env("CARGO_TARGET_DIR", &target))?;
    Ok(Bindgen::Own(target.join("debug").join(format!("bindgen{}", std::env::consts::EXE_SUFFIX))))
}

/// A package's version in a lock file.
fn locked(lock: &Path, package: &str) -> Result<String> {
    let text = std::fs::read_to_string(lock).map_err(|e| format!("{}: {e}", lock.display()))?;
    let named = format!("name = \"{package}\"");
    let mut lines = text.lines().skip_while(|line| *line != named);
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version.map(str::to_owned).ok_or_else(|| format!("{} has no {package}", lock.display()))
}

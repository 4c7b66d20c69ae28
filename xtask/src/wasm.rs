//! `cargo xtask wasm`: the libraries compile for the browser, that of the layers as planner and shaders alone, too.

use crate::apt;
use crate::sh::{self, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What browsers run.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// Libraries, with sets of features.
pub(crate) const LIBRARIES: [(&str, &str); 5] = [
    ("locally-connected", ""),
    ("locally-connected", "models"),
    ("locally-connected", "headless,serde"),
    ("locally-connected", "cpu"),
    ("locally-connected-keras", ""),
];

/// The CPU executor's vectors; browsers have had them for years.
pub(crate) const VECTORS: &str = "-Ctarget-feature=+simd128";

/// What a module that is downloaded does without: what a panic says, which nobody reads there, and where; and of structs, whose fields no
/// message of ours prints.
const SMALL: &str = "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=shallow";

/// A compiler for the browser.
pub(crate) struct Compiler {
    /// Debian's, which builds the standard library too.
    debian: bool,
    /// Builds the standard library too, all of it without what [`SMALL`] says.
    small: bool,
    /// Compiles all crates for [`VECTORS`].
    vectors: bool,
}

impl Compiler {
    /// Rustup's target where it can be had, else Debian's `rustc-web`.
    pub(crate) fn find() -> Result<Self> {
        let debian = !rustup_target();
        if debian {
            debian_toolchain()?;
            println!("wasm: Debian's rustc-web, which builds the standard library too");
        }
        Ok(Self { debian, small: false, vectors: false })
    }

    /// One that builds the standard library, too, as small as it gets: rustup's where it has the library's source or can get it, else
    /// Debian's. Where neither can be had it is [`Compiler::find`]'s.
    pub(crate) fn smallest() -> Result<Self> {
        if rustup_target() && rust_source() {
            return Ok(Self { debian: false, small: true, vectors: false });
        }
        match debian_toolchain() {
            Ok(()) => Ok(Self { debian: true, small: true, vectors: false }),
            Err(error) => {
                println!("wasm: the standard library is as it was compiled, since its source can't be had ({error})");
                Self::find()
            }
        }
    }

    /// The same with or without [`VECTORS`], in all crates: in one alone they'd be compiled and not used.
    pub(crate) fn with_vectors(&self, vectors: bool) -> Self {
        Self { vectors, ..*self }
    }

    /// Whether it builds modules as small as they get.
    pub(crate) fn is_small(&self) -> bool {
        self.small
    }

    /// `cargo rustc` for the library of a package: the last words can go to it alone.
    pub(crate) fn library(&self, package: &str) -> Command {
        let mut cargo = if self.debian { debian_cargo() } else { sh::cargo() };
        // A host's RUSTFLAGS are for the host.
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_RUSTFLAGS");
        cargo.args(["rustc", "--package", package, "--lib", "--target", TARGET]);
        if self.debian || self.small {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        if self.small {
            cargo.arg("-Zbuild-std-features=optimize_for_size");
            // Of rustup's stable compiler these are no stable options.
            cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", self.target_dir());
        }
        let flags = [(self.small, SMALL), (self.vectors, VECTORS)];
        let flags: Vec<_> = flags.iter().filter(|(told, _)| *told).map(|(_, flags)| *flags).collect();
        if !flags.is_empty() {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags.join(" "));
        }
        cargo
    }

    /// Where it puts what it builds by `profile`.
    pub(crate) fn folder(&self, profile: &str) -> PathBuf {
        self.target_dir().join(TARGET).join(profile)
    }

    fn target_dir(&self) -> PathBuf {
        match (self.small, self.debian) {
            (true, _) => sh::target_dir().join("wasm-small"),
            (false, true) => sh::target_dir().join("wasm"),
            (false, false) => sh::target_dir().to_path_buf(),
        }
    }

    /// Makes sure of a linker for modules: Debian's comes with its compiler, rustup's has one for most platforms.
    pub(crate) fn link(&self, cargo: &mut Command) -> Result {
        let rustup = || {
            let sysroot = sh::capture(sh::command(rustc()).args(["--print", "sysroot"]))?;
            let host = sh::capture(sh::command(rustc()).arg("-vV"))?;
            let host = host.lines().find_map(|line| line.strip_prefix("host: "))?.to_owned();
            let lld = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/rust-lld");
            Some(lld.with_extension(std::env::consts::EXE_EXTENSION).exists())
        };
        if self.debian || rustup() == Some(true) {
            return Ok(());
        }
        if sh::find(&["wasm-ld"]).is_none() {
            let elsewhere = "install LLVM's linker lld, so that there is a wasm-ld";
            apt::install("no linker for WebAssembly found", &["lld"], elsewhere)?;
        }
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
        Ok(())
    }
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// Checks the libraries as `cargo check` does: `cargo xtask web` makes modules of them, `audit`'s app one with wgpu.
pub(crate) fn wasm() -> Result {
    let compiler = Compiler::find()?.with_vectors(true);
    for (package, features) in LIBRARIES {
        let mut cargo = compiler.library(package);
        cargo.args(["--profile", "check", "--no-default-features", "--features", features]);
        sh::run(cargo.args(["--", "-D", "warnings"]))?;
    }
    println!("wasm: the libraries compile for {TARGET}");
    Ok(())
}

/// Whether the compiler that started us has the target, once rustup has tried to add it.
fn rustup_target() -> bool {
    if has_target() {
        return true;
    }
    if sh::find(&["rustup"]).is_none() {
        return false;
    }
    println!("wasm: no {TARGET} here: adding it with `rustup target add`");
    match sh::run_quiet(sh::command("rustup").args(["target", "add", TARGET])) {
        Ok(()) => has_target(),
        Err(error) => {
            let why = error.lines().rfind(|line| line.contains("error")).unwrap_or("it failed").to_owned();
            println!("wasm: rustup cannot add it ({why})");
            false
        }
    }
}

/// Whether there is the source of rustup's standard library, once rustup has tried to get it.
fn rust_source() -> bool {
    let there = || {
        let sysroot = sh::capture(sh::command(rustc()).args(["--print", "sysroot"]));
        sysroot.is_some_and(|root| Path::new(&root).join("lib/rustlib/src/rust/library/Cargo.toml").exists())
    };
    if there() {
        return true;
    }
    if sh::find(&["rustup"]).is_none() {
        return false;
    }
    println!("wasm: no source of the standard library here: adding it with `rustup component add rust-src`");
    sh::run_quiet(sh::command("rustup").args(["component", "add", "rust-src"])).is_ok() && there()
}

fn has_target() -> bool {
    sh::capture(sh::command(rustc()).args(["--print", "target-libdir", "--target", TARGET]))
        .and_then(|dir| std::fs::read_dir(dir).ok())
        .is_some_and(|mut files| {
            files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libcore-")))
        })
}

/// Makes sure of Debian's compiler for browsers (made for Firefox and Chromium, hence recent), cargo, and std's source.
fn debian_toolchain() -> Result {
    let present = || {
        let version =
            sh::capture(Command::new("dpkg-query").args(["--show", "rustc-web", "cargo-web", "rust-web-src"]));
        version.is_some()
            && Path::new("/usr/lib/rustlib/src/rust/library/std/Cargo.toml").exists()
            && sh::find(&["wasm-ld"]).is_some()
    };
    if present() {
        return Ok(());
    }
    apt::install(
        &format!("no Rust standard library for {TARGET}"),
        &["rustc-web", "cargo-web", "rust-web-src", "lld"],
        &format!("run `rustup target add {TARGET}`, or install that target from where your Rust came"),
    )?;
    if present() {
        Ok(())
    } else {
        Err("Debian's rustc-web is not where it should be, in /usr/bin and /usr/lib/rustlib".into())
    }
}

/// Debian's cargo and rustc, clear of what the rustup cargo that started us has set.
fn debian_cargo() -> Command {
    let mut cargo = sh::command("/usr/bin/cargo");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "RUSTUP_", "RUSTC"];
        if text == "CARGO" || text == "LD_LIBRARY_PATH" || prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once("/usr/bin".into()).chain(std::env::split_paths(&path));
    if let Ok(path) = std::env::join_paths(path) {
        cargo.env("PATH", path);
    }
    cargo
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1") // -Zbuild-std on a stable compiler
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld")
        .env("CARGO_TARGET_DIR", sh::target_dir().join("wasm"));
    cargo
}

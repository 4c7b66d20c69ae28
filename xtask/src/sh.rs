//! Running other programs, and the few paths that every command needs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// An error is one line (or more) for the reader, nothing to match on.
pub(crate) type Result<T = ()> = std::result::Result<T, String>;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        // cargo sets this for `cargo run` too; the compiled-in value is for a bare start of the binary.
        let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        xtask.parent().map_or(xtask.clone(), Path::to_path_buf)
    })
}

/// The target directory, absolute, as cargo itself sees it (environment or configuration).
pub(crate) fn target_dir() -> &'static Path {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    TARGET.get_or_init(|| {
        // Not in the root: a relative CARGO_TARGET_DIR counts from where the user stands.
        let metadata = capture(
            Command::new(cargo_program())
                .args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"])
                .arg(root().join("Cargo.toml")),
        );
        metadata
            .and_then(|json| json_string(&json, &["target_directory"]))
            .map_or_else(|| root().join("target"), PathBuf::from)
    })
}

/// The string at `path` in a JSON text.
pub(crate) fn json_string(json: &str, path: &[&str]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    path.iter().try_fold(&value, |value, key| value.get(key))?.as_str().map(str::to_owned)
}

fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The cargo that started us, in the root, with an absolute target directory.
pub(crate) fn cargo() -> Command {
    let mut command = command(cargo_program());
    command.env("CARGO_TARGET_DIR", target_dir());
    command
}

/// An example of one of our crates, built.
pub(crate) fn example(name: &str) -> Result<Command> {
    build(&["--example", name])?;
    Ok(command(program("debug/examples", name)))
}

/// A program of `xtask/tools`, built: what needs the library, which this program would otherwise be compiled with.
pub(crate) fn tool(name: &str) -> Result<Command> {
    // With an example beside it cargo counts the features that tests want, too: else naga and wgpu are compiled anew.
    build(&["--bin", name, "--example", "forward"])?;
    Ok(command(program("debug", name)))
}

/// With the whole workspace's features, so that `cargo xtask test` compiles the dependencies once, not twice.
fn build(targets: &[&str]) -> Result {
    let workspace = ["build", "--workspace", "--all-features"];
    run(cargo().args(workspace).args(targets).env_remove("CARGO_BUILD_TARGET"))
}

fn program(folder: &str, name: &str) -> PathBuf {
    target_dir().join(folder).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// A command in the repository's root.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    // Without it Mesa's EGL, which wgpu asks for adapters too, prints an error line of Wayland's that means nothing here.
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    }
    command
}

/// The command as a reader would type it, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_stem().unwrap_or(command.get_program());
    let mut words = vec![name.to_string_lossy().into_owned()];
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        words.push(if arg.contains(' ') { format!("'{arg}'") } else { arg.into_owned() });
    }
    words.join(" ")
}

/// Runs with our own output; a failure is an error.
pub(crate) fn run(command: &mut Command) -> Result {
    let status =
        command.stdin(Stdio::null()).status().map_err(|e| format!("`{}` did not start: {e}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", shown(command))) }
}

/// Runs silently; a failure's message carries all the output.
pub(crate) fn run_quiet(command: &mut Command) -> Result {
    let output =
        command.stdin(Stdio::null()).output().map_err(|e| format!("`{}` did not start: {e}", shown(command)))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Err(format!("`{}` failed ({})\n{}", shown(command), output.status, text.trim_end()))
}

/// Standard output of a command that succeeded, else nothing.
pub(crate) fn capture(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// The first of these programs that `PATH` has.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let endings: &[&str] = if cfg!(windows) { &[".exe", ".cmd"] } else { &[""] };
    names.iter().find_map(|name| {
        std::env::split_paths(&path)
            .flat_map(|dir| endings.iter().map(move |ending| dir.join(format!("{name}{ending}"))))
            .find(|file| file.is_file())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["clippy", "--", "-D", "a b"]);
        assert_eq!(shown(&command), "cargo clippy -- -D 'a b'");
    }
}

//! Standard output, and checks of the places where files will be written.

use crate::failure::Failure;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Writes to standard output. It is no error if the reader has gone away (`| head`).
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    // Names in a file must not control the terminal.
    let text = text.replace(|c: char| c.is_control() && c != '\n', " ");
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::machine(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints indented JSON. Strings that stand for numbers that JSON doesn't have (`from_json`) become plain words.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n").replace("\"\\u0000", "\""))
}

/// Checks, before any work, that a file can be written to `path`.
pub(crate) fn check_destination(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    if path.as_os_str().is_empty() {
        return Err(Failure::request("the output's name is empty"));
    }
    if path.is_dir() {
        return Err(Failure::request(format!("{shown}: is a folder, not a file to write")));
    }
    // The parent of a file name without a folder is the empty path.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match std::fs::metadata(parent) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Failure::request(format!("{shown}: {} is no folder", parent.display()))),
        Err(error) => {
            let failure = Failure::request(format!("{shown}: the folder {}: {error}", parent.display()));
            Err(if error.kind() == ErrorKind::NotFound { failure.with_help("make the folder first") } else { failure })
        }
    }
}

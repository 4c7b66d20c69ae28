//! Reads and writes whole files.

use crate::contents::{Contents, Watch};
use crate::error::{Error, Result};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) fn io_error(path: &Path, error: &io::Error) -> Error {
    Error::Io { path: path.display().to_string(), kind: error.kind(), message: error.to_string() }
}

/// Opens a file, to be read where needed.
pub(crate) fn open_file(path: &Path, watch: Option<Watch>) -> Result<Contents> {
    check_file(path)?;
    Contents::open(path, watch).map_err(|error| io_error(path, &error))
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    check_file(path)?;
    fs::read(path).map_err(|e| io_error(path, &e))
}

/// Refuses a folder. Systems differ in what they say of reading one.
fn check_file(path: &Path) -> Result<()> {
    if path.is_dir() {
        let message = "is a folder (a TensorFlow SavedModel?); save the model as .h5 or .keras".into();
        let kind = io::ErrorKind::IsADirectory;
        return Err(Error::Io { path: path.display().to_string(), kind, message });
    }
    Ok(())
}

/// Writes `bytes` to `path`, all of them or none: to a new file in the same folder, which is then renamed. A pipe or a
/// device, which can't be replaced, is written to directly.
///
/// # Errors
/// [`Error::Io`].
pub fn write_file(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    write(path, bytes).map_err(|e| io_error(path, &e))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // If it is a link, its target is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = fs::metadata(&path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file() && !old.is_dir()) {
        return fs::write(&path, bytes);
    }
    let (temporary, mut file) = create_beside(&path)?;
    // Whoever couldn't read the old one can't read this one.
    let allow = |file: &File| old.map_or(Ok(()), |old| file.set_permissions(old.permissions()));
    let written = file.write_all(bytes).and_then(|()| allow(&file)).and_then(|()| file.sync_all());
    drop(file);
    let done = written.and_then(|()| fs::rename(&temporary, &path));
    if done.is_err() {
        // The error to report is the one before.
        let _ = fs::remove_file(&temporary);
    }
    done
}

/// Many systems have names of 255 bytes at most: a longer one than this isn't made longer.
const LONG_NAME: usize = 240;

/// A new file in the folder of `path`, with an unused name.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "is no file name"))?;
    let name = if name.len() > LONG_NAME { OsStr::new("locally") } else { name };
    let mut last = None;
    for attempt in 0..1000 {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{attempt}.tmp"));
        let temporary = path.with_file_name(hidden);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()))
}

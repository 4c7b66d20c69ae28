//! Writes rows as they are measured, so that a run that is broken off leaves them.

use super::ceiling::Roof;
use super::record::{Adapter, Row};
use crate::failure::Failure;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file to which JSON objects are appended, one on each line: the adapter with its ceilings, rows, and reasons for
/// missing rows.
pub(crate) struct Lines {
    file: File,
    path: PathBuf,
}

#[derive(Serialize)]
struct RowLine<'a> {
    #[serde(flatten)]
    row: &'a Row,
    /// The variants of kernels that ran, in order.
    kernels: &'a [String],
}

impl Lines {
    /// Opens a file to append to; makes it if it isn't there.
    pub(crate) fn append(path: &Path, adapter: &Adapter, roof: &Roof) -> Result<Self, Failure> {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        let file = opened.map_err(|error| Failure::request(format!("{}: {error}", path.display())))?;
        let lines = Self { file, path: path.to_owned() };
        lines.line(&serde_json::json!({ "adapter": adapter, "roof": roof }))?;
        Ok(lines)
    }

    pub(crate) fn row(&self, row: &Row, kernels: &[String]) -> Result<(), Failure> {
        self.line(&RowLine { row, kernels })
    }

    pub(crate) fn skip(&self, line: &str) -> Result<(), Failure> {
        self.line(&serde_json::json!({ "skip": line }))
    }

    fn line(&self, content: &impl Serialize) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::machine(format!("{}: {error}", self.path.display()));
        let text = serde_json::to_string(content).map_err(|error| failed(&error))? + "\n";
        (&self.file).write_all(text.as_bytes()).map_err(|error| failed(&error))
    }
}

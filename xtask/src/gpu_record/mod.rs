//! `cargo xtask gpu-record`: one command that proves and measures the kernels on a machine, and makes a record of it.
//! docs/gpu-record.md says how it is used.
//!
//! | file | what it does |
//! |---|---|
//! | `pack` | all that a machine without Rust and without a registry needs, in one folder |
//! | `run`  | the parts of a run, each with a time of its own, results written as they come |
//! | `read` | what a run left, as `benches/record/<adapter>/` and in words |

mod advice;
mod files;
mod limits;
mod lines;
mod pack;
mod read;
mod run;
mod tables;

use crate::sh::{self, Result};
use limits::Limits;
use std::path::{Path, PathBuf};

/// Minutes that a run takes at most.
const MINUTES: f64 = 9.0;

/// `args` are those after `gpu-record`.
pub(crate) fn gpu_record(args: &[&str]) -> Result {
    let mut limits = Limits { minutes: MINUTES, any_adapter: false };
    let mut words = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match *arg {
            "--minutes" => limits.minutes = number(args.next().copied().unwrap_or_default())?,
            "--any-adapter" => limits.any_adapter = true,
            word => words.push(word),
        }
    }
    match words.as_slice() {
        [] => here(limits, &records()),
        ["--pack"] => pack::pack(&packed(), pack::Loader::Packed),
        ["--pack", folder] => pack::pack(&absolute(folder)?, pack::Loader::Packed),
        ["--run", folder] => run::run(&beside()?, &absolute(folder)?, limits),
        ["--read", folder] => read::read(&absolute(folder)?, &records()),
        ["--read", folder, "--to", to] => read::read(&absolute(folder)?, &absolute(to)?),
        other => Err(format!("gpu-record knows no `{}`; docs/gpu-record.md says what it takes", other.join(" "))),
    }
}

/// On this machine, with what it has.
fn here(limits: Limits, records: &Path) -> Result {
    let (packed, results) = (packed(), sh::target_dir().join("gpu-record"));
    pack::pack(&packed, pack::Loader::System)?;
    let run = run::run(&packed, &results, limits);
    // A failed test doesn't make the rest of a run unreadable.
    let read = read::read(&results, records);
    run.and(read)
}

/// A run too short for a record, to see that all parts of one work.
pub(crate) fn rehearse() -> Result {
    here(Limits { minutes: 3.0, any_adapter: true }, &sh::target_dir().join("gpu-record/read"))
}

fn records() -> PathBuf {
    sh::root().join("benches/record")
}

/// Where a pack goes: in the repository, from where a borrowed machine's tool takes it along.
fn packed() -> PathBuf {
    sh::root().join(".gpu-record")
}

/// The folder of this program.
fn beside() -> Result<PathBuf> {
    let program = std::env::current_exe().map_err(|e| format!("this program's place: {e}"))?;
    Ok(program.parent().unwrap_or(&program).to_owned())
}

fn absolute(path: &str) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| format!("{path}: {e}"))
}

fn number(text: &str) -> Result<f64> {
    let minutes = text.parse().ok().filter(|minutes| (0.1..=600.0).contains(minutes));
    minutes.ok_or_else(|| format!("{text:?} is no number of minutes from 0.1 to 600"))
}

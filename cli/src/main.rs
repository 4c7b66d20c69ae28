//! `locally`: Keras's locally connected layers on any GPU, from the command line.

#![deny(unsafe_code)]

mod args;
mod arrays;
#[expect(clippy::too_many_arguments, reason = "what is measured, and how, goes through many hands")]
mod bench;
mod commands;
mod device;
mod failure;
mod format;
mod memory;
mod model;
mod output;
mod progress;
mod random;

use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

/// Wayland's client library, which the OpenGL driver tries, prints a line that begins with `error:` if the runtime
/// folder is missing, although nothing here needs that folder.
#[expect(unsafe_code, reason = "setting an environment variable, before there are threads")]
fn quieten_drivers() {
    let folder = std::env::var_os("XDG_RUNTIME_DIR");
    if cfg!(target_os = "linux") && folder.is_none_or(|folder| !std::path::Path::new(&folder).is_absolute()) {
        // SAFETY: nothing has run before it in main, so no other thread can be reading the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

fn main() -> ExitCode {
    quieten_drivers();
    failure::report_panics();
    match commands::Cli::try_parse() {
        Ok(cli) => match commands::dispatch(&cli) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        },
        // `--help` and `--version` arrive as errors too.
        Err(error) if error.exit_code() == 0 => match output::print(&error.render().to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        },
        Err(error) => Failure::usage(&error).report(),
    }
}

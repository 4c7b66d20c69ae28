//! One module for each command.

mod convert;
mod grad;
mod info;
mod inspect;
mod run;
mod verify;

use crate::args::{Cli, Command};
use crate::failure::Failure;

/// Runs the command that was asked for.
pub(crate) fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let common = &cli.common;
    match &cli.command {
        Command::Info(args) => info::info(common, args),
        Command::Inspect(args) => inspect::inspect(common, args),
        Command::Run(args) => run::run(common, args),
        Command::Grad(args) => grad::grad(common, args),
        Command::Verify(args) => verify::verify(common, args),
        Command::Convert(args) => convert::convert(common, args),
        Command::Bench(args) => crate::bench::bench(common, args),
    }
}

//! The command line, and one module for each command.

mod convert;
mod draw;
mod grad;
mod info;
mod inspect;
mod run;
mod train;
mod verify;

use crate::args::{Common, Convert, Draw, Grad, Info, Inspect, Run, Train, Verify};
use crate::bench;
use crate::failure::Failure;
use clap::{Parser, Subcommand};

/// Keras's locally connected layers on any GPU
///
/// MODEL is a whole model that Keras 2 saved (.h5, .hdf5, .keras) or our own .safetensors.
#[derive(Debug, Parser)]
#[command(name = "locally", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the adapters and which one is the default
    Info(Info),
    /// Show a model's layers, what can't run and why, and how the locally connected ones would run
    Inspect(Inspect),
    /// Compute a model's output
    Run(Run),
    /// Compute the gradients of Σ y·dy
    Grad(Grad),
    /// Compare every implementation with the CPU reference on random inputs
    Verify(Verify),
    /// Write a model in another format or weight layout
    Convert(Convert),
    /// Train a model, as Keras's fit does
    Train(Box<Train>),
    /// Draw a locally connected layer: its filters where they lie, how alike they are, its bias, what activates it
    Draw(Draw),
    /// Measure how fast layers run here, and what part that is of what the device can do
    Bench(Box<bench::Args>),
}

/// Runs the command that was asked for.
pub(crate) fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let common = &cli.common;
    if common.adapters.len() > 1 && !matches!(cli.command, Command::Bench(_)) {
        return Err(Failure::request("--adapter: given several times, which `locally bench` alone takes"));
    }
    match &cli.command {
        Command::Info(args) => info::info(common, args),
        Command::Inspect(args) => inspect::inspect(common, args),
        Command::Run(args) => run::run(common, args),
        Command::Grad(args) => grad::grad(common, args),
        Command::Verify(args) => verify::verify(common, args),
        Command::Convert(args) => convert::convert(common, args),
        Command::Train(args) => train::train(common, args),
        Command::Draw(args) => draw::draw(common, args),
        Command::Bench(args) => bench::bench(common, args),
    }
}

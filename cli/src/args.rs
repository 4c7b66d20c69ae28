//! The arguments of every command.

use clap::{Args, ValueEnum};
use locally_connected::{Implementation, KerasLayout};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// The largest `--batch`: a plan has a dispatch or more for each sample that fills a binding.
const MOST_SAMPLES: i64 = 1 << 20;

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Use the first adapter whose name, backend or driver contains TEXT, or the CPU executor: `cpu`
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) adapter: Option<String>,
    /// Most threads of the CPU executor
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Show no progress
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The model's file
    pub(crate) model: PathBuf,
    /// Samples to plan for
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=MOST_SAMPLES))]
    pub(crate) batch: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to run and how.
#[derive(Debug, Args)]
pub(crate) struct Chain {
    /// The model's file
    pub(crate) model: PathBuf,
    /// Run this locally connected layer alone; one in another layer is OUTER/INNER
    #[arg(long, value_name = "NAME")]
    pub(crate) layer: Option<String>,
    /// How locally connected layers are executed, whatever layout the file stores
    #[arg(long, value_name = "I", default_value = "auto")]
    pub(crate) implementation: ImplementationArg,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) chain: Chain,
    /// The input, with the batch in front; an .npz of one array will do
    #[arg(long, value_name = "X.npy")]
    pub(crate) input: PathBuf,
    /// Where the output goes
    #[arg(long, value_name = "Y.npy")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Grad {
    #[command(flatten)]
    pub(crate) chain: Chain,
    /// The input, with the batch in front
    #[arg(long, value_name = "X.npy")]
    pub(crate) input: PathBuf,
    /// The gradient of the output, with the batch in front
    #[arg(long, value_name = "DY.npy")]
    pub(crate) grad_output: PathBuf,
    /// Where the gradients go
    #[arg(long, value_name = "G.npz")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The model's file
    pub(crate) model: PathBuf,
    /// Verify this locally connected layer alone
    #[arg(long, value_name = "NAME")]
    pub(crate) layer: Option<String>,
    /// Samples
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(..=MOST_SAMPLES))]
    pub(crate) batch: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// The model's file
    pub(crate) model: PathBuf,
    /// The file to write; its name ends in .h5, .keras, .safetensors or .npz
    pub(crate) out: PathBuf,
    /// Weight layout to store; without it each layer's own
    #[arg(long, value_name = "I")]
    pub(crate) implementation: Option<Layout>,
}

/// Keras's numbers of the implementations, or the planner's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImplementationArg {
    Auto,
    #[value(name = "1")]
    Loop,
    #[value(name = "2")]
    DenseMatmul,
    #[value(name = "3")]
    SparseGather,
}

impl ImplementationArg {
    pub(crate) fn implementation(self) -> Option<Implementation> {
        match self {
            Self::Auto => None,
            Self::Loop => Some(Implementation::Loop),
            Self::DenseMatmul => Some(Implementation::DenseMatmul),
            Self::SparseGather => Some(Implementation::SparseGather),
        }
    }
}

/// The name of what is asked for, none being the planner's choice.
pub(crate) fn asked(implementation: Option<Implementation>) -> &'static str {
    implementation.map_or("auto", Implementation::name)
}

/// Keras's number of an implementation.
pub(crate) fn number(implementation: Implementation) -> u32 {
    match implementation {
        Implementation::Loop => 1,
        Implementation::DenseMatmul => 2,
        Implementation::SparseGather => 3,
    }
}

/// Keras's numbers of the implementations that store weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    #[value(name = "1")]
    One,
    #[value(name = "2")]
    Two,
    #[value(name = "3")]
    Three,
}

impl Layout {
    pub(crate) fn keras(self) -> KerasLayout {
        match self {
            Self::One => KerasLayout::Implementation1,
            Self::Two => KerasLayout::Implementation2,
            Self::Three => KerasLayout::Implementation3,
        }
    }
}

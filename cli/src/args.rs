//! The arguments of every command.

use clap::{Args, ValueEnum};
use locally_connected::{Implementation, KerasLayout};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// The largest `--batch`: a plan may have a dispatch for each sample.
const MOST_SAMPLES: i64 = 1 << 20;

/// Arguments of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Use the first adapter whose name, backend or driver contains TEXT, or the CPU executor: `cpu`. `bench` takes several
    #[arg(long = "adapter", global = true, value_name = "TEXT")]
    pub(crate) adapters: Vec<String>,
    /// Most threads of the CPU executor
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Show no progress
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
}

impl Common {
    /// The adapter that was asked for.
    pub(crate) fn adapter(&self) -> Option<&str> {
        self.adapters.first().map(String::as_str)
    }

    /// The same arguments for each adapter that was asked for, or for the best one.
    pub(crate) fn by_adapter(&self) -> Vec<Self> {
        match self.adapters.is_empty() {
            true => vec![self.clone()],
            false => self.adapters.iter().map(|adapter| Self { adapters: vec![adapter.clone()], ..*self }).collect(),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Samples to plan for
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=MOST_SAMPLES))]
    pub(crate) batch: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A model's file, and options for what it doesn't say itself.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The model's file
    pub(crate) model: PathBuf,
    /// The architecture of a file of weights alone: Keras's to_json, or deepface, deepface-embedding or alltnn
    #[arg(long, value_name = "F.json")]
    pub(crate) architecture: Option<String>,
    /// Read layers of CLASS, a subclass or a port, as layers of another class, such as LocallyConnected2D
    #[arg(long = "as", value_name = "CLASS=OTHER", value_parser = pair)]
    pub(crate) classes: Vec<(String, String)>,
    /// What ran Keras 1, whose files don't say: Theano's convolutions are flipped
    #[arg(long, value_name = "B")]
    pub(crate) backend: Option<Backend>,
}

/// The library that Keras ran on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    Theano,
    #[value(name = "tensorflow")]
    TensorFlow,
}

impl From<Backend> for locally_connected_keras::Backend {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Theano => Self::Theano,
            Backend::TensorFlow => Self::TensorFlow,
        }
    }
}

/// Parses `A=B`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((class, other)) if !class.is_empty() && !other.is_empty() => Ok((class.to_owned(), other.to_owned())),
        _ => Err("two names are needed, CLASS=LocallyConnected2D say".to_owned()),
    }
}

/// An array's file, alone or as `NAME=F.npy`.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: Option<String>,
    pub(crate) path: PathBuf,
    /// The text as it was given.
    pub(crate) whole: PathBuf,
}

fn named(text: &str) -> Result<Named, std::convert::Infallible> {
    let whole = PathBuf::from(text);
    Ok(match text.split_once('=') {
        // A file's name may contain an equals sign.
        Some((name, path)) if !whole.exists() => Named { name: Some(name.to_owned()), path: path.into(), whole },
        _ => Named { name: None, path: whole.clone(), whole },
    })
}

/// What to run and how.
#[derive(Debug, Args)]
pub(crate) struct Part {
    #[command(flatten)]
    pub(crate) source: Source,
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
    pub(crate) part: Part,
    /// The input, with the batch in front; an .npz of one array will do. Of several inputs one each, in the model's order or as
    /// NAME=X.npy, or one .npz with an array of each name
    #[arg(long, value_name = "X.npy", required = true, value_parser = named)]
    pub(crate) input: Vec<Named>,
    /// Where the output goes; of several outputs an .npz with an array of each name
    #[arg(long, value_name = "Y.npy")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Grad {
    #[command(flatten)]
    pub(crate) part: Part,
    /// The input, with the batch in front; of several inputs as `run` takes them
    #[arg(long, value_name = "X.npy", required = true, value_parser = named)]
    pub(crate) input: Vec<Named>,
    /// The gradient of the output, with the batch in front; of several outputs as the inputs
    #[arg(long, value_name = "DY.npy", required = true, value_parser = named)]
    pub(crate) grad_output: Vec<Named>,
    /// Where the gradients go
    #[arg(long, value_name = "G.npz")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Verify this layer alone
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
    #[command(flatten)]
    pub(crate) source: Source,
    /// The file to write; its name ends in .h5, .keras, .safetensors or .npz
    pub(crate) out: PathBuf,
    /// Weight layout to store; without it each layer's own
    #[arg(long, value_name = "I")]
    pub(crate) implementation: Option<Layout>,
}

#[derive(Debug, Args)]
pub(crate) struct Draw {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The locally connected layer to draw; one in another layer is OUTER/INNER
    #[arg(long, value_name = "NAME")]
    pub(crate) layer: String,
    /// The picture; its name ends in .html, .svg or .png
    #[arg(long, value_name = "F")]
    pub(crate) output: PathBuf,
    /// Samples of the model's input, or of the layer's own, whose activations are drawn too
    #[arg(long, value_name = "X.npy")]
    pub(crate) input: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The samples, with the batch in front; of several inputs as `run` takes them
    #[arg(long, value_name = "X.npy", required = true, value_parser = named)]
    pub(crate) input: Vec<Named>,
    /// The targets: shaped as the output, or class numbers for sparse_categorical_crossentropy; with several outputs
    /// one each, as the inputs
    #[arg(long, value_name = "T.npy", required = true, value_parser = named)]
    pub(crate) target: Vec<Named>,
    /// mse, mae, huber, binary_crossentropy, categorical_crossentropy or sparse_categorical_crossentropy; with several
    /// outputs OUTPUT=LOSS each. Without it the file's
    #[arg(long, value_name = "LOSS")]
    pub(crate) loss: Vec<String>,
    /// sgd, adam, adamw or rmsprop, with Keras's arguments: sgd:momentum=0.9,nesterov. Without it the file's, with its
    /// state
    #[arg(long, value_name = "SPEC")]
    pub(crate) optimizer: Option<String>,
    /// The learning rate, where the schedule begins; without it Keras's default
    #[arg(long, value_name = "R", requires = "optimizer")]
    pub(crate) learning_rate: Option<f64>,
    /// cosine, exponential or step, with arguments: cosine:alpha=0.1, exponential:decay_rate=0.9, step:decay_steps=500
    #[arg(long, value_name = "SPEC", requires = "optimizer")]
    pub(crate) schedule: Option<String>,
    /// Steps in which the learning rate rises from 0
    #[arg(long, value_name = "STEPS", default_value_t = 0, requires = "optimizer")]
    pub(crate) warmup: u64,
    /// How often each sample is seen, those of --resume among them
    #[arg(long, value_name = "E", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) epochs: u64,
    /// Samples of a step; the last step of an epoch has what is left
    #[arg(long, value_name = "B", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=MOST_SAMPLES))]
    pub(crate) batch_size: u32,
    /// The seed by which samples are shuffled anew before each epoch
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) shuffle: u64,
    /// Take the samples in their order
    #[arg(long, conflicts_with = "shuffle")]
    pub(crate) no_shuffle: bool,
    /// Samples and targets to measure after each epoch, without training on them; with several inputs and outputs an
    /// .npz each
    #[arg(long, num_args = 2, value_names = ["X.npy", "T.npy"])]
    pub(crate) validation: Vec<PathBuf>,
    /// The share of the samples, taken from their end before they are shuffled, that is only measured, as in Keras
    #[arg(long, value_name = "PART", conflicts_with = "validation")]
    pub(crate) validation_split: Option<f64>,
    /// How much each sample's loss counts, one number for each sample; with several outputs OUTPUT=W.npy, or one for
    /// all
    #[arg(long, value_name = "W.npy", value_parser = named)]
    pub(crate) sample_weight: Vec<Named>,
    /// How much the samples of each class count, from class 0 on
    #[arg(long, value_name = "W,W,…", value_delimiter = ',')]
    pub(crate) class_weight: Vec<f32>,
    /// What to measure besides the loss: accuracy, mse, …; with several outputs OUTPUT=METRIC
    #[arg(long, value_name = "METRIC")]
    pub(crate) metric: Vec<String>,
    /// How locally connected layers are executed, whatever layout the file stores
    #[arg(long, value_name = "I", default_value = "auto")]
    pub(crate) implementation: ImplementationArg,
    /// A table with the numbers of each epoch
    #[arg(long, value_name = "F.csv")]
    pub(crate) log: Option<PathBuf>,
    /// The same numbers as curves
    #[arg(long, value_name = "F.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Stop after so many epochs without a better validation loss (or loss, without a validation), and keep the best
    /// weights
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) patience: Option<u64>,
    /// Where to save all that --resume needs, after each epoch
    #[arg(long, value_name = "F.safetensors")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Go on from a --checkpoint of the same training
    #[arg(long, value_name = "F.safetensors")]
    pub(crate) resume: Option<PathBuf>,
    /// The trained model: .h5, .keras, .safetensors, or .npz for its weights alone
    #[arg(long, value_name = "OUT")]
    pub(crate) output: PathBuf,
}

/// Keras's number of an implementation, or the planner's choice.
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

/// What an implementation is called in arguments; none is the planner's choice.
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

/// Keras's number of an implementation, for the layout of stored weights.
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

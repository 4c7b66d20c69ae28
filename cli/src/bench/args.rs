//! What to measure, from the command line.

use super::ceiling::Cache;
use super::layer::Selection;
use super::measurable::Measurable;
use super::measure::How;
use super::models::ModelWorkload;
use super::setup::{self, Setup};
use super::stats::{MARGIN, Stop};
use super::workloads::{self, Dtype, Pass, Workload};
use crate::args::{ImplementationArg, Source};
use crate::failure::Failure;
use crate::model;
use crate::progress::Progress;
use clap::builder::PossibleValuesParser;
use clap::value_parser;
use locally_connected::{Form, Padding};
use std::path::PathBuf;

/// What to measure and where the report goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Workloads to measure; without any, all that fit
    #[arg(value_name = "WORKLOAD", value_parser = PossibleValuesParser::new(workloads::names()))]
    pub(super) names: Vec<String>,
    /// Measure a few small workloads only
    #[arg(long, conflicts_with = "names")]
    pub(super) quick: bool,
    /// Samples in a batch
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,8,32,128",
          value_parser = value_parser!(u32).range(1..))]
    pub(super) batch: Vec<u32>,
    /// Passes to measure; backward is all three gradients, both is forward and backward in one submit. Without it
    /// forward and backward of layers, model and train_step of models
    #[arg(long = "pass", value_name = "PASS,…", value_delimiter = ',')]
    pub(super) passes: Vec<Pass>,
    /// How the layers are executed
    #[arg(long, value_name = "I,…", value_delimiter = ',', default_value = "auto")]
    pub(super) implementation: Vec<ImplementationArg>,
    /// Forms of loop's kernels: register, split, tiled; without it what the planner takes
    #[arg(long, value_name = "FORM,…", value_delimiter = ',', value_parser = form)]
    pub(super) form: Vec<Form>,
    /// Other numbers for the planner's strategy, such as tile_batch=1,tile_shape=64x32; `own` is the device's own. Each
    /// is measured, in turns with the others; form=tiled is a form with other numbers
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = setup::changes)]
    pub(super) strategy: Vec<Setup>,
    /// Leave out what would run one of these kernels
    #[arg(long, value_name = "KERNEL,…", value_delimiter = ',')]
    pub(super) without: Vec<String>,
    /// How the weights are stored on the device
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',', default_value = "f32")]
    pub(super) dtype: Vec<Dtype>,
    /// Least time to measure each row for
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds)]
    pub(super) min_time: f64,
    /// Longest time to measure a row for, once it has a sample
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(super) max_time: f64,
    /// A row has enough samples when its quartiles differ by less than this share of the median
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    pub(super) spread: f64,
    /// Also measure N runs in one submit: the time of a run when the next one is already waiting
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(super) batch_submits: u32,
    /// What passes find in the device's caches: what the last run left, or something else
    #[arg(long, value_enum, default_value_t)]
    pub(super) cache: Cache,
    /// Read what the device can do from F, which --save-ceilings wrote here
    #[arg(long, value_name = "F")]
    pub(super) ceilings: Option<PathBuf>,
    /// Measure only what the device can do, over footprints from 64 KiB up, and write it to F
    #[arg(long, value_name = "F", conflicts_with = "ceilings")]
    pub(super) save_ceilings: Option<PathBuf>,
    /// Append each row to F, a JSON object a line, as soon as it is measured
    #[arg(long, value_name = "F")]
    pub(super) lines: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "F")]
    pub(super) json: Option<PathBuf>,
    /// Write the rows as CSV
    #[arg(long, value_name = "F")]
    pub(super) csv: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "F")]
    pub(super) html: Option<PathBuf>,
    /// Print ratios to the rows in this file, from benches/peers or an earlier --json
    #[arg(long, value_name = "F")]
    pub(super) compare: Option<PathBuf>,
    /// Measure in turns with BINARY, the `locally` of another build, and say for each row whether this one is FASTER,
    /// SLOWER or the SAME
    #[arg(long, value_name = "BINARY",
          conflicts_with_all = ["csv", "html", "lines", "compare", "ceilings", "save_ceilings", "baseline", "batch_submits"])]
    pub(super) against: Option<PathBuf>,
    /// Compare likewise with F, an earlier --json of the same adapter and driver
    #[arg(long, value_name = "F")]
    pub(super) baseline: Option<PathBuf>,
    /// Exit with 1 if a row is SLOWER by more than this. Without it, differences up to 5% are the SAME
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(super) fail_if_slower: Option<f64>,
    /// Serve a process that compares another build with this one (--against), by standard input and output
    #[arg(long, hide = true)]
    pub(super) serve: bool,
    /// Measure one workload with batches from 1 up, also odd ones: samples a second by batch, and where more samples
    /// take less time
    #[arg(long, conflicts_with_all = ["batch", "against", "baseline"])]
    pub(super) curve: bool,
    /// Measure a model of Keras's, or of ours, instead: forward, and steps of its training
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["names", "quick", "shape", "form", "implementation", "dtype"])]
    pub(super) model: Option<PathBuf>,
    /// The architecture of --model, if its file holds weights alone: Keras's to_json, or deepface, deepface-embedding
    /// or alltnn
    #[arg(long, value_name = "F.json", requires = "model")]
    pub(super) architecture: Option<String>,
    /// Measure a layer of this input shape instead, such as 32x32x3, channels last
    #[arg(long, value_name = "SHAPE", value_parser = dims, requires_all = ["kernel", "filters"],
          conflicts_with_all = ["names", "quick"])]
    shape: Option<Dims>,
    /// Its window, such as 3x3
    #[arg(long, value_name = "SIZE", value_parser = dims, requires = "shape")]
    kernel: Option<Dims>,
    /// Its output channels
    #[arg(long, value_name = "F", requires = "shape")]
    pub(super) filters: Option<usize>,
    /// Its steps, such as 2 or 2x1
    #[arg(long, value_name = "S", value_parser = dims, requires = "shape")]
    stride: Option<Dims>,
    /// Its padding
    #[arg(long, value_name = "PADDING", requires = "shape")]
    padding: Option<Edge>,
}

/// The batches of a curve: the first ones all, since kernels change there, then some on both sides of what tiles hold.
const CURVE: [u32; 30] =
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 20, 24, 31, 32, 33, 40, 48, 63, 64, 65, 96, 127, 128];

/// Sizes, one for each axis.
#[derive(Debug, Clone)]
struct Dims(Vec<usize>);

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Edge {
    Valid,
    Same,
}

fn dims(text: &str) -> Result<Dims, String> {
    let sizes: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    sizes.map(Dims).map_err(|_| "sizes with an x between them are needed, such as 32x32x3".into())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=3600.0).contains(&value) => Ok(value),
        _ => Err("seconds from 0 to 3600 are needed".into()),
    }
}

/// Parses `5%`, or just the number, to a share of 1.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim().parse::<f64>() {
        Ok(value) if (0.0..=10_000.0).contains(&value) => Ok(value / 100.0),
        _ => Err("a percentage such as 5% is needed".into()),
    }
}

/// Keeps the first of equal values.
pub(super) fn distinct<T: PartialEq + Copy>(values: &[T]) -> Vec<T> {
    let mut kept = Vec::new();
    for value in values {
        if !kept.contains(value) {
            kept.push(*value);
        }
    }
    kept
}

impl Args {
    /// Seconds for which a probe samples.
    pub(super) fn probe_time(&self) -> f64 {
        self.min_time.min(0.2)
    }

    /// The batches to measure, each once.
    pub(super) fn batches(&self) -> Vec<u32> {
        if self.curve { CURVE.to_vec() } else { distinct(&self.batch) }
    }

    /// The change that a comparison must be able to tell.
    pub(super) fn margin(&self) -> f64 {
        self.fail_if_slower.unwrap_or(MARGIN)
    }

    /// What to measure.
    ///
    /// # Errors
    /// A model's file that can't be read, or a model that can't run.
    pub(super) fn workloads(&self) -> Result<Vec<Measurable>, Failure> {
        match &self.model {
            None => Ok(self.layers().into_iter().map(Measurable::Layer).collect()),
            Some(path) => {
                let (model, architecture) = (path.clone(), self.architecture.clone());
                let source = Source { model, architecture, classes: Vec::new(), backend: None };
                let mut file = model::open(&source, &Progress::start(true, "reading the model"))?;
                let model = model::take(&mut file, None)?;
                let name = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned());
                // Names in tables of rows have no commas, quotes or line breaks.
                let name = name.replace(|c: char| c.is_control() || ",\"".contains(c), "_");
                Ok(vec![Measurable::Model(Box::new(ModelWorkload::new(name, model)))])
            }
        }
    }

    /// The passes to measure, in their order.
    ///
    /// # Errors
    /// A layer's pass asked of a model, or a model's of a layer.
    pub(super) fn passes(&self) -> Result<Vec<Pass>, Failure> {
        let (own, what): (&[Pass], _) = match self.model {
            Some(_) => (&Pass::OF_MODELS, "a model"),
            None => (&Pass::OF_LAYERS, "a layer"),
        };
        if let Some(other) = self.passes.iter().find(|pass| !own.contains(pass)) {
            return Err(Failure::request(format!("--pass {}: is no pass of {what}", other.name()))
                .with_help("forward, backward and both are a layer's; model and train_step those of --model"));
        }
        let mut passes = distinct(&self.passes);
        passes.sort();
        Ok(if passes.is_empty() { own[..2].to_vec() } else { passes })
    }

    fn layers(&self) -> Vec<Workload> {
        if let (Some(Dims(input)), Some(Dims(kernel)), Some(filters)) = (&self.shape, &self.kernel, self.filters) {
            let strides = match &self.stride {
                Some(Dims(strides)) if strides.len() == 1 => vec![strides[0]; kernel.len()],
                Some(Dims(strides)) => strides.clone(),
                None => vec![1; kernel.len()],
            };
            let padding = match self.padding {
                Some(Edge::Same) => Padding::Same,
                Some(Edge::Valid) | None => Padding::Valid,
            };
            return vec![Workload::custom(input.clone(), kernel.clone(), strides, padding, filters)];
        }
        let wanted = |workload: &Workload| match (self.quick, self.names.is_empty()) {
            (true, _) => workloads::QUICK.contains(&workload.name.as_str()),
            (false, true) => true,
            (false, false) => self.names.contains(&workload.name),
        };
        workloads::all().filter(wanted).collect()
    }

    /// How to measure.
    ///
    /// # Errors
    /// Those of [`Args::passes`].
    pub(super) fn selection(&self) -> Result<Selection, Failure> {
        let mut implementations: Vec<_> =
            distinct(&self.implementation).into_iter().map(ImplementationArg::implementation).collect();
        // The planner's choice comes first, since it stands for an implementation that makes the same plan.
        implementations.sort_by_key(|i| i.is_some());
        let (dtypes, passes) = (distinct(&self.dtype), self.passes()?);
        let mut setups: Vec<Setup> = distinct(&self.form).into_iter().map(Setup::form).collect();
        setups.extend(self.strategy.iter().cloned());
        if setups.is_empty() {
            setups.push(Setup::default());
        }
        let without = self.without.clone();
        let stop = Stop { least: self.min_time, most: self.max_time.max(self.min_time), spread: self.spread };
        let how = How { stop, batch_submits: self.batch_submits };
        Ok(Selection { implementations, setups, without, dtypes, passes, how })
    }
}

fn form(text: &str) -> Result<Form, String> {
    let named = |form: &Form| text.eq_ignore_ascii_case(&format!("{form:?}"));
    Form::ALL.into_iter().find(named).ok_or_else(|| "one of register, split, tiled".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(dims("32x32x3").map(|d| d.0), Ok(vec![32, 32, 3]));
        assert!(dims("32x").is_err() && dims("").is_err() && dims("3,3").is_err());
        assert!(seconds("-1").is_err() && seconds("nan").is_err());
        assert_eq!(seconds("0.05"), Ok(0.05));
        assert_eq!([percent("5%"), percent("2.5"), percent("0 %")], [Ok(0.05), Ok(0.025), Ok(0.0)]);
        assert!(percent("-1%").is_err() && percent("five").is_err());
    }
}

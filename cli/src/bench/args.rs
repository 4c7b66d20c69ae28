//! What to measure, as the command line has it.

use super::ceiling::Cache;
use super::measure;
use super::setup::{self, Setup};
use super::workloads::{self, Dtype, Pass, Workload};
use crate::args::ImplementationArg;
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
    /// Passes to measure; backward is all three gradients, both is forward and backward in one submit
    #[arg(long = "pass", value_name = "PASS,…", value_delimiter = ',', default_value = "forward,backward")]
    pub(super) passes: Vec<Pass>,
    /// How the layers are executed
    #[arg(long, value_name = "I,…", value_delimiter = ',', default_value = "auto")]
    pub(super) implementation: Vec<ImplementationArg>,
    /// Forms of loop's kernels, where there are such: register, split, tiled; without, what the planner takes
    #[arg(long, value_name = "FORM,…", value_delimiter = ',', value_parser = form)]
    pub(super) form: Vec<Form>,
    /// Other numbers of the planner's strategy, such as tile_batch=1,tile_shape=64x32; `own` is the device's own. Each
    /// is measured, in turns with the others; form=tiled is a form with other numbers
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = setup::changes)]
    pub(super) strategy: Vec<Setup>,
    /// Leave out what would run one of these kernels
    #[arg(long, value_name = "KERNEL,…", value_delimiter = ',')]
    pub(super) without: Vec<String>,
    /// How the weights are stored on the device
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',', default_value = "f32")]
    pub(super) dtype: Vec<Dtype>,
    /// Least time that each row is measured for
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds)]
    pub(super) min_time: f64,
    /// Longest time that a row is measured for, once it has a sample
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(super) max_time: f64,
    /// What passes find in the device's caches: what the last one left, or something else
    #[arg(long, value_enum, default_value_t)]
    pub(super) cache: Cache,
    /// Take what the device can do from F, which --save-ceilings wrote here
    #[arg(long, value_name = "F")]
    pub(super) ceilings: Option<PathBuf>,
    /// Measure nothing but what the device can do, over footprints from 64 KiB up, and write it to F
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
    /// Print the ratios to the rows of this file, from benches/peers or an earlier --json
    #[arg(long, value_name = "F")]
    pub(super) compare: Option<PathBuf>,
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

/// Sizes, one per axis.
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
    /// Seconds of a sample of the probes.
    pub(super) fn probe_time(&self) -> f64 {
        self.min_time.min(0.2)
    }

    pub(super) fn workloads(&self) -> Vec<Workload> {
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

    pub(super) fn selection(&self) -> measure::Selection {
        let mut implementations: Vec<_> =
            distinct(&self.implementation).into_iter().map(ImplementationArg::implementation).collect();
        // What the planner chooses stands for its equal among the others, so it comes first.
        implementations.sort_by_key(|i| i.is_some());
        let (dtypes, mut passes) = (distinct(&self.dtype), distinct(&self.passes));
        passes.sort();
        let mut setups: Vec<Setup> = distinct(&self.form).into_iter().map(Setup::form).collect();
        setups.extend(self.strategy.iter().cloned());
        if setups.is_empty() {
            setups.push(Setup::default());
        }
        let without = self.without.clone();
        let seconds = self.min_time..=self.max_time.max(self.min_time);
        measure::Selection { implementations, setups, without, dtypes, passes, seconds }
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
    }
}

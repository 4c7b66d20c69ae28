//! `locally bench`: how fast the layers run here, and how near that is to what the device can do.

mod ceiling;
mod clock;
mod compare;
mod cpu;
mod html;
mod lines;
mod measure;
mod mover;
mod noise;
mod plots;
mod probe;
mod record;
mod scope;
mod setup;
mod skips;
mod step;
mod table;
mod target;
mod workloads;

use crate::args::{Common, ImplementationArg};
use crate::failure::Failure;
use crate::{device, memory, output};
use ceiling::{Cache, Roof};
use clap::builder::PossibleValuesParser;
use clap::value_parser;
use clock::Clock;
use compare::{Comparison, Peers};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use locally_connected::headless::Gpu;
use locally_connected::kernels::{KERNELS, variants};
use locally_connected::{Form, Padding};
use locally_connected_keras::write_file;
use probe::Probe;
use record::Report;
use setup::Setup;
use std::io::Write;
use std::path::{Path, PathBuf};
use target::Target;
use workloads::{Dtype, Pass, Workload};

/// What to measure and where the report goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Workloads to measure; without any, all that fit
    #[arg(value_name = "WORKLOAD", value_parser = PossibleValuesParser::new(workloads::names()))]
    names: Vec<String>,
    /// Measure a few small workloads only
    #[arg(long, conflicts_with = "names")]
    quick: bool,
    /// Samples in a batch
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,8,32,128",
          value_parser = value_parser!(u32).range(1..))]
    batch: Vec<u32>,
    /// Passes to measure; backward is all three gradients, both is forward and backward in one submit
    #[arg(long = "pass", value_name = "PASS,…", value_delimiter = ',', default_value = "forward,backward")]
    passes: Vec<Pass>,
    /// How the layers are executed
    #[arg(long, value_name = "I,…", value_delimiter = ',', default_value = "auto")]
    implementation: Vec<ImplementationArg>,
    /// Forms of loop's kernels, where there are such: register, split, tiled; without, what the planner takes
    #[arg(long, value_name = "FORM,…", value_delimiter = ',', value_parser = form)]
    form: Vec<Form>,
    /// Other numbers of the planner's strategy, such as tile_batch=1,tile_shape=64x32; `own` is the device's own. Each
    /// is measured, in turns with the others; form=tiled is a form with other numbers
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = setup::changes)]
    strategy: Vec<Setup>,
    /// Leave out what would run one of these kernels
    #[arg(long, value_name = "KERNEL,…", value_delimiter = ',')]
    without: Vec<String>,
    /// How the weights are stored on the device
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',', default_value = "f32")]
    dtype: Vec<Dtype>,
    /// Least time that each row is measured for
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds)]
    min_time: f64,
    /// Longest time that a row is measured for, once it has a sample
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    max_time: f64,
    /// What passes find in the device's caches: what the last one left, or something else
    #[arg(long, value_enum, default_value_t)]
    cache: Cache,
    /// Take what the device can do from F, which --save-ceilings wrote here
    #[arg(long, value_name = "F")]
    ceilings: Option<PathBuf>,
    /// Measure nothing but what the device can do, over footprints from 64 KiB up, and write it to F
    #[arg(long, value_name = "F", conflicts_with = "ceilings")]
    save_ceilings: Option<PathBuf>,
    /// Append each row to F, a JSON object a line, as soon as it is measured
    #[arg(long, value_name = "F")]
    lines: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "F")]
    json: Option<PathBuf>,
    /// Write the rows as CSV
    #[arg(long, value_name = "F")]
    csv: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "F")]
    html: Option<PathBuf>,
    /// Print the ratios to the rows of this file, from benches/peers or an earlier --json
    #[arg(long, value_name = "F")]
    compare: Option<PathBuf>,
    /// Measure a layer of this input shape instead, such as 32x32x3, channels last
    #[arg(long, value_name = "SHAPE", value_parser = dims, requires_all = ["kernel", "filters"],
          conflicts_with_all = ["names", "quick"])]
    shape: Option<Dims>,
    /// Its window, such as 3x3
    #[arg(long, value_name = "SIZE", value_parser = dims, requires = "shape")]
    kernel: Option<Dims>,
    /// Its output channels
    #[arg(long, value_name = "F", requires = "shape")]
    filters: Option<usize>,
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
fn distinct<T: PartialEq + Copy>(values: &[T]) -> Vec<T> {
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
    fn probe_time(&self) -> f64 {
        self.min_time.min(0.2)
    }

    fn workloads(&self) -> Vec<Workload> {
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

    fn selection(&self) -> measure::Selection {
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

/// Measures, prints and writes.
pub(crate) fn bench(common: &Common, args: &Args) -> Result<(), Failure> {
    for path in [&args.json, &args.csv, &args.html, &args.lines, &args.save_ceilings].into_iter().flatten() {
        output::check_destination(path)?;
    }
    let peers = args.compare.as_deref().map(read_peers).transpose()?;
    check_kernels(&args.without)?;
    let (workloads, selection) = (args.workloads(), args.selection());
    // A layer that can't be is the request's fault, and known before any measuring.
    for workload in &workloads {
        workload.geometry(None, Dtype::F32)?;
    }
    let commons = common.by_adapter();
    if let Some(path) = &args.save_ceilings {
        return save_ceilings(&commons, args, path);
    }
    if commons.len() > 1
        && let Some(flag) =
            [(&args.lines, "--lines"), (&args.ceilings, "--ceilings")].into_iter().find(|(f, _)| f.is_some())
    {
        return Err(Failure::request(format!("{} is for one adapter, and several were asked for", flag.1)));
    }
    let batches = distinct(&args.batch);
    let bar = progress(common, workloads.len() * commons.len());
    let mut targets = commons.iter().map(|common| Target::open(common, args)).collect::<Result<Vec<_>, _>>()?;
    for workload in &workloads {
        // In turns, so that drifts of the machine meet all alike.
        for target in &mut targets {
            bar.set_message(format!("{} on {}", workload.name, target.name()));
            target.measure(workload, &batches, &selection, &|line| bar.suspend(|| say(line)))?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let reports: Vec<Report> = targets.into_iter().map(Target::report).collect();
    finish(args, peers.as_ref(), &reports)
}

/// Measures nothing but what the one adapter can do, and writes it.
fn save_ceilings(commons: &[Common], args: &Args, path: &Path) -> Result<(), Failure> {
    let [common] = commons else {
        return Err(Failure::request("--save-ceilings is for one adapter, and several were asked for"));
    };
    if device::is_cpu(common) {
        return Err(Failure::request("--save-ceilings is for adapters that run WGSL, not for the CPU executor"));
    }
    let gpu = device::open_gpu(common)?;
    let clock = Clock::new(&gpu, args.cache)?;
    let bar = progress(common, 0);
    let roof = Probe::new(&gpu, &clock, args.probe_time()).sweep(|roof| {
        let failed = |error| Failure::machine(format!("{}: {error}", path.display()));
        let text = serde_json::to_string(roof).map_err(failed)?;
        Ok(write_file(path, (text + "\n").as_bytes())?)
    })?;
    bar.finish_and_clear();
    output::print(&table::roof(&roof))
}

/// Prints and writes what was measured.
fn finish(args: &Args, peers: Option<&Peers>, reports: &[Report]) -> Result<(), Failure> {
    if reports.iter().all(|report| report.results.is_empty()) {
        return Err(Failure::machine("nothing of this could be measured here")
            .with_help("the lines before say why; smaller batches or workloads need less"));
    }
    let compared: Vec<_> = reports.iter().map(|report| peers.map(|peers| Comparison::new(report, peers))).collect();
    let json = record::json(reports).map_err(|error| Failure::machine(format!("the report as JSON: {error}")))?;
    for (path, text) in [
        (&args.json, json),
        (&args.csv, record::csv(reports)),
        (
            &args.html,
            args.html.as_ref().map_or_else(String::new, |_| {
                html::page(reports, &compared, &chrono::Utc::now().date_naive().to_string())
            }),
        ),
    ] {
        if let Some(path) = path {
            write_file(path, text.as_bytes())?;
        }
    }
    let mut text = String::new();
    for (report, comparison) in reports.iter().zip(&compared) {
        text += &table::results(report);
        text += &comparison.as_ref().map(table::comparison).unwrap_or_default();
    }
    output::print(&(text + &table::side_by_side(reports)))
}

/// What this device can do at most, as an earlier run measured it.
fn read_roof(args: &Args, gpu: &Gpu, path: &Path) -> Result<Roof, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::request(format!("{shown}: {error}")))?;
    let roof: Roof = serde_json::from_str(&text)
        .map_err(|error| Failure::request(format!("{shown}: is no file of ceilings: {error}")))?;
    let here = (&gpu.context().profile().name, args.cache);
    if (&roof.adapter, roof.cache) == here {
        return Ok(roof);
    }
    let Roof { adapter, cache, .. } = &roof;
    Err(Failure::request(format!("{shown}: was measured with {} caches on {adapter}", cache.name()))
        .with_help("`--save-ceilings` with the same --adapter and --cache writes such a file"))
}

/// Whether all of these are kernels, or variants of such.
fn check_kernels(names: &[String]) -> Result<(), Failure> {
    for name in names.iter().filter(|name| KERNELS.iter().all(|kernel| kernel.name != name.as_str())) {
        if variants().iter().all(|variant| variant.name() != *name) {
            return Err(Failure::request(format!("--without: there is no kernel {name:?}")));
        }
    }
    Ok(())
}

fn progress(common: &Common, length: usize) -> ProgressBar {
    // indicatif shows nothing where standard error is no terminal.
    let target = if common.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(length as u64), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({elapsed}, {eta} to go)") {
        bar.set_style(style);
    }
    bar.set_message("ceilings");
    bar
}

/// A line on standard error. Nowhere is left to say that it is closed.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap_or_default();
}

fn read_peers(path: &Path) -> Result<Peers, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::request(format!("{shown}: {error}")))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::request(format!("{shown}: is no report of benchmarks: {error}"))
            .with_help("benches/peers/run_all.py and `locally bench --json` write such reports")
    })
}

/// Bytes that buffers may take on an adapter that is the CPU, whose memory they share with everything else.
fn most_bytes(gpu: &Gpu) -> Option<u64> {
    if gpu.context().profile().is_cpu { Some(memory::available()? / 10 * 6) } else { None }
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

//! `locally bench`: how fast the layers run here, and how near that is to what the device can do.

mod args;
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

pub(crate) use args::Args;

use crate::args::Common;
use crate::failure::Failure;
use crate::{device, output};
use args::distinct;
use clock::Clock;
use compare::{Comparison, Peers};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use locally_connected::kernels::{KERNELS, variants};
use locally_connected_keras::write_file;
use probe::Probe;
use record::Report;
use std::io::Write;
use std::path::Path;
use target::Target;
use workloads::Dtype;

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

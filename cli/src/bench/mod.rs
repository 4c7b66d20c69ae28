//! `locally bench`: how fast the layers run here, compared with what the device can do.

mod against;
mod args;
mod ceiling;
mod check;
mod clock;
mod compare;
mod cpu;
mod cpu_layer;
mod curve;
mod html;
mod layer;
mod lines;
mod measurable;
mod measure;
mod meta;
mod models;
mod mover;
mod noise;
mod plots;
mod prepared;
mod probe;
mod record;
mod scope;
mod setup;
mod skips;
mod stats;
mod step;
mod table;
mod target;
mod watch;
mod workloads;

pub(crate) use args::Args;

use crate::args::Common;
use crate::failure::Failure;
use crate::{device, output};
use clock::Clock;
use compare::{Comparison, Peers};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use locally_connected::kernels::{KERNELS, variants};
use locally_connected_keras::write_file;
use meta::Meta;
use probe::Probe;
use record::Report;
use std::io::Write;
use std::path::Path;
use target::Target;

/// Measures, prints and writes.
pub(crate) fn bench(common: &Common, args: &Args) -> Result<(), Failure> {
    for path in [&args.json, &args.csv, &args.html, &args.lines, &args.save_ceilings].into_iter().flatten() {
        output::check_destination(path)?;
    }
    check_kernels(&args.without)?;
    if args.fail_if_slower.is_some() && args.against.is_none() && args.baseline.is_none() {
        return Err(Failure::request("--fail-if-slower: needs something to be slower than")
            .with_help("--against BINARY or --baseline F"));
    }
    if args.serve {
        return against::serve(common, args);
    }
    let peers = args.compare.as_deref().map(read_peers).transpose()?;
    let earlier = args.baseline.as_deref().map(against::read).transpose()?;
    let (workloads, selection, batches) = (args.workloads()?, args.selection()?, args.batches());
    if let (true, true) = (args.curve, workloads.len() != 1) {
        return Err(Failure::request(format!("--curve is of one workload, and here are {}", workloads.len())));
    }
    // A layer with impossible sizes is an error before anything is measured.
    let mut wanted = (u64::MAX, 0);
    for workload in &workloads {
        let (least, most) = workload.moves(&selection.passes, &batches, &selection.dtypes)?;
        wanted = (wanted.0.min(least), wanted.1.max(most));
    }
    let meta = Meta::here();
    let commons = common.by_adapter();
    if let Some(path) = &args.save_ceilings {
        return save_ceilings(&commons, args, path);
    }
    if commons.len() > 1
        && let Some(flag) = [
            (&args.lines, "--lines"),
            (&args.ceilings, "--ceilings"),
            (&args.baseline, "--baseline"),
            (&args.against, "--against"),
        ]
        .into_iter()
        .find(|(given, _)| given.is_some())
    {
        return Err(Failure::request(format!("{} is for one adapter, and several were asked for", flag.1)));
    }
    if let Some(program) = &args.against {
        return measured_against(common, args, program);
    }
    let bar = progress(common, workloads.len() * commons.len());
    let open = |common| Target::open(common, args, wanted.0..=wanted.1);
    let mut targets = commons.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    for workload in &workloads {
        // In turns, so that drifts of the machine affect all targets alike.
        for target in &mut targets {
            bar.set_message(format!("{} on {}", workload.name(), target.name()));
            target.measure(workload, &batches, &selection, &|line| bar.suspend(|| say(line)))?;
            bar.inc(1);
        }
    }
    let (mut over, mut wrong) = (Vec::new(), Vec::new());
    for target in &mut targets {
        over.extend(target.over_the_roof(args)?);
        wrong.extend(target.wrong().iter().cloned());
    }
    bar.finish_and_clear();
    let reports: Vec<Report> = targets.into_iter().map(Target::report).collect();
    if over.is_empty() && wrong.is_empty() {
        finish(args, peers.as_ref(), &meta, &reports)?;
        return match (&earlier, &reports[..]) {
            (Some(earlier), [report]) => told(args, &against::baseline(earlier, &meta, report, args.margin())?),
            _ => Ok(()),
        };
    }
    // The rows are still worth printing, but no report is written with wrong results or impossible shares.
    output::print(&reports.iter().map(table::results).collect::<String>())?;
    if !wrong.is_empty() {
        return Err(Failure::machine(format!("wrong results, whose speed says nothing: {}", wrong.join("; ")))
            .with_help("`cargo xtask gpu-record` says which kernels are wrong here; --without leaves them out"));
    }
    Err(Failure::machine(format!("over what the probe found this device to do at most: {}", over.join(", ")))
        .with_help("a fault of the probe, or the machine was busy whenever it looked; no report was written"))
}

/// Measures this build and another in turns.
fn measured_against(common: &Common, args: &Args, program: &Path) -> Result<(), Failure> {
    let bar = progress(common, 0);
    let comparison = against::against(args, program, &|line| bar.suspend(|| say(line)));
    bar.finish_and_clear();
    let comparison = comparison?;
    if comparison.is_empty() {
        return Err(Failure::machine("nothing of this could be measured here in both builds"));
    }
    if let Some(path) = &args.json {
        write_file(path, comparison.json().as_bytes())?;
    }
    told(args, &comparison)
}

/// Prints the verdicts; an error if one is SLOWER and the user asked for that.
fn told(args: &Args, comparison: &against::Comparison) -> Result<(), Failure> {
    output::print(&comparison.text())?;
    if args.fail_if_slower.is_some() { comparison.refuse_slower() } else { Ok(()) }
}

/// Measures only what the one adapter can do, and writes it.
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
    let roof = Probe::new(&gpu, &clock, args.probe_time()).sweep(&(0..=u64::MAX), |roof| {
        let failed = |error| Failure::machine(format!("{}: {error}", path.display()));
        let text = serde_json::to_string(roof).map_err(failed)?;
        Ok(write_file(path, (text + "\n").as_bytes())?)
    })?;
    bar.finish_and_clear();
    output::print(&table::roof(&roof))
}

/// Prints and writes the results.
fn finish(args: &Args, peers: Option<&Peers>, meta: &Meta, reports: &[Report]) -> Result<(), Failure> {
    if reports.iter().all(|report| report.results.is_empty()) {
        return Err(Failure::machine("nothing of this could be measured here")
            .with_help("the lines before say why; smaller batches or workloads need less"));
    }
    let compared: Vec<_> = reports.iter().map(|report| peers.map(|peers| Comparison::new(report, peers))).collect();
    let json = record::json(meta, reports).map_err(|error| Failure::machine(format!("the report as JSON: {error}")))?;
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
        if args.curve {
            text += &curve::text(report);
        }
        text += &comparison.as_ref().map(table::comparison).unwrap_or_default();
    }
    output::print(&(text + &table::side_by_side(reports)))
}

/// Checks that all of these are kernels, or variants of kernels.
fn check_kernels(names: &[String]) -> Result<(), Failure> {
    for name in names.iter().filter(|name| KERNELS.iter().all(|kernel| kernel.name != name.as_str())) {
        if variants().iter().all(|variant| variant.name() != *name) {
            return Err(Failure::request(format!("--without: there is no kernel {name:?}")));
        }
    }
    Ok(())
}

fn progress(common: &Common, length: usize) -> ProgressBar {
    // indicatif shows nothing if standard error isn't a terminal.
    let target = if common.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(length as u64), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({elapsed}, {eta} to go)") {
        bar.set_style(style);
    }
    bar.set_message("ceilings");
    bar
}

/// Prints a line to standard error. If that is closed, there is nowhere to say so.
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

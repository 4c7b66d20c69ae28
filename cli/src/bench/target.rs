//! What is measured: an adapter that runs WGSL, or the CPU executor, with the most that it can do.

use super::args::Args;
use super::ceiling::Roof;
use super::clock::Clock;
use super::cpu::{self, Caches};
use super::cpu_layer;
use super::layer::{self, Selection};
use super::lines::Lines;
use super::measurable::Measurable;
use super::measure::{Measured, measure};
use super::meta::{DeviceMeta, features};
use super::models;
use super::noise::{HostNoise, Noise};
use super::prepared::Subject;
use super::probe::Probe;
use super::record::{Adapter, Report, Row};
use super::skips;
use super::watch::Watch;
use crate::args::Common;
use crate::failure::Failure;
use crate::{device, memory};
use locally_connected::headless::{Cpu, Gpu};
use std::ops::RangeInclusive;
use std::path::Path;

/// One of the targets that are measured in turns, workload by workload.
pub(super) struct Target {
    adapter: Adapter,
    meta: DeviceMeta,
    watch: Watch,
    /// The least and the most bytes that any row moves.
    wanted: RangeInclusive<u64>,
    roof: Roof,
    device: Device,
    measured: Vec<Measured>,
    wrong: Vec<String>,
}

/// The device that runs passes.
pub(super) enum Device {
    Cpu(Box<OnCpu>),
    Gpu(Box<Wgsl>),
}

/// The CPU executor.
pub(super) struct OnCpu {
    cpu: Cpu,
    values: HostNoise,
    caches: Caches,
}

/// An adapter that runs WGSL.
pub(super) struct Wgsl {
    gpu: Gpu,
    clock: Clock,
    noise: Noise,
    lines: Option<Lines>,
}

impl Device {
    /// Opens the device that `common` names.
    pub(super) fn open(common: &Common, args: &Args) -> Result<Self, Failure> {
        if device::is_cpu(common) {
            refuse_what_is_of_adapters(args)?;
            let cpu = Cpu::new(&device::options(common))?;
            let caches = Caches::new(&cpu, args.cache);
            return Ok(Self::Cpu(Box::new(OnCpu { cpu, values: HostNoise::new(), caches })));
        }
        let gpu = device::open_gpu(common)?;
        let clock = Clock::new(&gpu, args.cache)?;
        let noise = Noise::new(&gpu);
        Ok(Self::Gpu(Box::new(Wgsl { gpu, clock, noise, lines: None })))
    }

    pub(super) fn adapter(&self) -> Adapter {
        match self {
            Self::Cpu(on) => cpu::adapter(&on.cpu),
            Self::Gpu(wgsl) => Adapter::new(&wgsl.gpu.adapter().get_info()),
        }
    }

    fn meta(&self, adapter: &Adapter) -> DeviceMeta {
        let (features, cache) = match self {
            Self::Cpu(on) => (vec![format!("{:?}", on.cpu.instructions())], on.caches.state()),
            Self::Gpu(wgsl) => (features(wgsl.gpu.context().device()), wgsl.clock.cache()),
        };
        DeviceMeta { driver: adapter.driver.clone(), features, cache: cache.name(), ..DeviceMeta::default() }
    }

    fn probe(&self, name: &str, args: &Args, wanted: &RangeInclusive<u64>) -> Result<Roof, Failure> {
        match self {
            Self::Cpu(on) => Ok(cpu::roof(&on.cpu, name, &on.caches, wanted)),
            Self::Gpu(wgsl) => Probe::new(&wgsl.gpu, &wgsl.clock, args.probe_time()).sweep(wanted, |_| Ok(())),
        }
    }

    /// A workload, ready to be measured here.
    pub(super) fn subject<'d>(
        &'d self,
        workload: &'d Measurable,
        selection: &'d Selection,
    ) -> Result<Box<dyn Subject + 'd>, Failure> {
        Ok(match self {
            Self::Cpu(on) => {
                let OnCpu { cpu, values, caches } = &**on;
                let bench = cpu_layer::Bench { cpu, selection, values, caches };
                match workload {
                    Measurable::Layer(workload) => Box::new(cpu_layer::Layer::new(bench, workload)),
                    Measurable::Model(workload) => Box::new(models::OnCpu { bench, workload }),
                }
            }
            Self::Gpu(wgsl) => {
                let Wgsl { gpu, clock, noise, .. } = &**wgsl;
                let bench = layer::Bench { gpu, clock, selection, noise, memory: most_bytes(gpu) };
                match workload {
                    Measurable::Layer(workload) => Box::new(layer::Layer::new(bench, workload)?),
                    Measurable::Model(workload) => Box::new(models::OnGpu { bench, workload }),
                }
            }
        })
    }
}

impl Target {
    /// Opens the device that `common` names, and measures the most that it can do or reads it from a file. Rows will
    /// move `wanted` bytes.
    pub(super) fn open(common: &Common, args: &Args, wanted: RangeInclusive<u64>) -> Result<Self, Failure> {
        let mut device = Device::open(common, args)?;
        let adapter = device.adapter();
        let (meta, watch) = (device.meta(&adapter), Watch::begin(&adapter.name));
        let roof = match (&args.ceilings, &device) {
            (Some(path), Device::Gpu(wgsl)) => read_roof(args, &wgsl.gpu, path)?,
            _ => device.probe(&adapter.name, args, &wanted)?,
        };
        if let (Device::Gpu(wgsl), Some(path)) = (&mut device, &args.lines) {
            wgsl.lines = Some(Lines::append(path, &adapter, &roof)?);
        }
        Ok(Self { adapter, meta, watch, wanted, roof, device, measured: Vec::new(), wrong: Vec::new() })
    }

    /// Its name in reports.
    pub(super) fn name(&self) -> &str {
        &self.adapter.name
    }

    /// Measures a workload with one batch after the other; `say` gets lines about what can't be measured.
    pub(super) fn measure(
        &mut self,
        workload: &Measurable,
        batches: &[u32],
        selection: &Selection,
        say: &dyn Fn(&str),
    ) -> Result<(), Failure> {
        let (mut skipped, mut measured, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        let mut subject = self.device.subject(workload, selection)?;
        let lines = match &self.device {
            Device::Gpu(wgsl) => wgsl.lines.as_ref(),
            Device::Cpu(_) => None,
        };
        for &batch in batches {
            let mut prepared = subject.prepare(batch, &mut skipped)?;
            let rows = measure(&mut *prepared, &selection.how, &self.roof, &mut wrong)?;
            if let Some(lines) = lines {
                rows.iter().try_for_each(|Measured { row, kernels, .. }| lines.row(row, kernels))?;
            }
            measured.extend(rows);
        }
        for line in skips::lines(workload.name(), &skipped) {
            say(&line);
            if let Some(lines) = lines {
                lines.skip(&line)?;
            }
        }
        drop(subject);
        wrong.iter().for_each(|line| say(&format!("wrong: {line}")));
        self.measured.extend(measured);
        self.wrong.extend(wrong);
        Ok(())
    }

    /// Results that were wrong.
    pub(super) fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// If a row exceeds the ceilings, measures these again, since the machine may have been busier then. Gives the rows
    /// that still exceed them.
    pub(super) fn over_the_roof(&mut self, args: &Args) -> Result<Vec<String>, Failure> {
        if cfg!(debug_assertions) && matches!(self.device, Device::Cpu(_)) {
            // In a build without optimisation this program's own probe is slower than its libraries, which are
            // optimised. A row that exceeds the probe's ceiling is a ceiling itself.
            self.measured.iter_mut().for_each(|measured| measured.row.of_ceiling = measured.row.of_ceiling.min(1.0));
        }
        let over = |measured: &[Measured]| measured.iter().any(|measured| measured.row.of_ceiling > 1.0);
        for _ in 0..LOOKS {
            if !over(&self.measured) {
                break;
            }
            self.roof.raise(&self.device.probe(&self.adapter.name, args, &self.wanted)?);
            for Measured { row, work, .. } in &mut self.measured {
                row.hold_against(&self.roof, *work);
            }
        }
        let said =
            self.measured.iter().filter(|measured| measured.row.of_ceiling > 1.0).map(|Measured { row, .. }| {
                let Row { workload, pass, batch, of_ceiling, .. } = row;
                format!("{workload} {pass} batch {batch} at {:.0} %", 100.0 * of_ceiling)
            });
        Ok(said.collect())
    }

    /// What was measured.
    pub(super) fn report(self) -> Report {
        let results = self.measured.into_iter().map(|measured| measured.row).collect();
        let device = self.meta.seen(self.watch.end());
        Report { adapter: self.adapter, ceiling: self.roof.ceiling, device, results }
    }
}

/// How often the ceilings are measured again before a row that exceeds them counts as the probe's fault.
const LOOKS: usize = 2;

fn refuse_what_is_of_adapters(args: &Args) -> Result<(), Failure> {
    let of_adapters = [
        (args.save_ceilings.is_some(), "--save-ceilings"),
        (args.ceilings.is_some(), "--ceilings"),
        (args.lines.is_some(), "--lines"),
        (!args.form.is_empty(), "--form"),
        (!args.strategy.is_empty(), "--strategy"),
    ];
    match of_adapters.into_iter().find(|(given, _)| *given) {
        Some((_, flag)) => {
            Err(Failure::request(format!("{flag} is for adapters that run WGSL, not for the CPU executor")))
        }
        None => Ok(()),
    }
}

/// The most that this device can do, as an earlier run measured it.
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

/// The most bytes that buffers may take on an adapter that is the CPU and shares its memory with everything else.
fn most_bytes(gpu: &Gpu) -> Option<u64> {
    if gpu.context().profile().is_cpu { Some(memory::available()? / 10 * 6) } else { None }
}

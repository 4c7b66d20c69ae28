//! What is measured on: an adapter that runs WGSL or the CPU executor, with what it can do at most.

use super::args::Args;
use super::ceiling::{Cache, Ceiling, Roof};
use super::clock::Clock;
use super::lines::Lines;
use super::measure::{self, Selection};
use super::noise::Noise;
use super::probe::Probe;
use super::record::{Adapter, Report, Row};
use super::workloads::Workload;
use super::{cpu, skips};
use crate::args::Common;
use crate::failure::Failure;
use crate::{device, memory};
use locally_connected::headless::{Cpu, Gpu};
use std::path::Path;

/// One of those that are measured in turns, workload by workload.
pub(super) struct Target {
    adapter: Adapter,
    roof: Roof,
    device: Device,
    results: Vec<Row>,
}

enum Device {
    Cpu(Cpu),
    Gpu(Box<Wgsl>),
}

/// An adapter that runs WGSL.
struct Wgsl {
    gpu: Gpu,
    clock: Clock,
    noise: Noise,
    lines: Option<Lines>,
}

impl Target {
    /// Opens what `common` names, and measures what it can do or reads it from a file.
    pub(super) fn open(common: &Common, args: &Args) -> Result<Self, Failure> {
        if device::is_cpu(common) {
            refuse_what_is_of_adapters(args)?;
            let cpu = Cpu::new(&device::options(common))?;
            let adapter = cpu::adapter(&cpu);
            let roof = cpu::roof(&cpu, &adapter.name);
            return Ok(Self { adapter, roof, device: Device::Cpu(cpu), results: Vec::new() });
        }
        let gpu = device::open_gpu(common)?;
        let clock = Clock::new(&gpu, args.cache)?;
        let roof = match &args.ceilings {
            Some(path) => read_roof(args, &gpu, path)?,
            None => Probe::new(&gpu, &clock, args.probe_time()).quick()?,
        };
        let adapter = Adapter::new(&gpu.adapter().get_info());
        let lines = args.lines.as_deref().map(|path| Lines::append(path, &adapter, &roof)).transpose()?;
        let noise = Noise::new(&gpu);
        let device = Device::Gpu(Box::new(Wgsl { gpu, clock, noise, lines }));
        Ok(Self { adapter, roof, device, results: Vec::new() })
    }

    /// Its name, as reports have it.
    pub(super) fn name(&self) -> &str {
        &self.adapter.name
    }

    /// Measures a workload at one batch after the other; `say` is told what can't be measured, and of rows over the ceiling.
    pub(super) fn measure(
        &mut self,
        workload: &Workload,
        batches: &[u32],
        selection: &Selection,
        say: &dyn Fn(&str),
    ) -> Result<(), Failure> {
        let mut skipped = Vec::new();
        let rows = match &mut self.device {
            Device::Cpu(cpu) => cpu::rows(cpu, &self.roof, (workload, selection), batches, &mut skipped)?,
            Device::Gpu(wgsl) => wgsl.rows(&self.roof, (workload, selection), batches, &mut skipped)?,
        };
        rows.iter().filter_map(Row::over_ceiling).for_each(|line| say(&line));
        self.results.extend(rows);
        for line in skips::lines(&workload.name, &skipped) {
            say(&line);
            if let Device::Gpu(wgsl) = &mut self.device
                && let Some(lines) = &mut wgsl.lines
            {
                lines.skip(&line)?;
            }
        }
        Ok(())
    }

    /// What was measured.
    pub(super) fn report(self) -> Report {
        let ceiling: Ceiling = self.roof.ceiling;
        Report { adapter: self.adapter, ceiling, results: self.results }
    }
}

impl Wgsl {
    fn rows(
        &mut self,
        roof: &Roof,
        (workload, selection): (&Workload, &Selection),
        batches: &[u32],
        skipped: &mut Vec<skips::Skip>,
    ) -> Result<Vec<Row>, Failure> {
        let Self { gpu, clock, noise, lines } = self;
        let shared = measure::Bench { gpu, clock, roof, selection, noise, memory: most_bytes(gpu) };
        let mut subject = measure::Subject::new(&shared, workload)?;
        let mut rows = Vec::new();
        for &batch in batches {
            for (row, kernels) in subject.batch(batch, skipped)? {
                if let Some(lines) = lines {
                    lines.row(&row, &kernels)?;
                }
                rows.push(row);
            }
        }
        Ok(rows)
    }
}

fn refuse_what_is_of_adapters(args: &Args) -> Result<(), Failure> {
    let of_adapters = [
        (args.save_ceilings.is_some(), "--save-ceilings"),
        (args.ceilings.is_some(), "--ceilings"),
        (args.lines.is_some(), "--lines"),
        (args.cache == Cache::Cold, "--cache cold"),
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

/// Bytes that buffers may take on an adapter that is the CPU, whose memory they share with everything else.
fn most_bytes(gpu: &Gpu) -> Option<u64> {
    if gpu.context().profile().is_cpu { Some(memory::available()? / 10 * 6) } else { None }
}

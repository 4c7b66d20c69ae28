//! Measures the most that a device can do. If a probe did less than the device can, kernels would seem to beat the
//! device. So each rate is the best over several widths, numbers of workers and, for memory, sizes. These settings are
//! ranked by a few runs, and the best one is measured.

use super::ceiling::{Ceiling, Footprint, Roof};
use super::clock::{Clock, Sample, spreads};
use super::mover::{Access, Mover, unit};
use super::scope::scoped;
use super::step::{Step, pipeline};
use crate::failure::Failure;
use crate::format::rounded;
use locally_connected::headless::Gpu;
use locally_connected::{Error, wgpu};
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

/// Threads of a workgroup in both shaders.
const THREADS: u64 = 256;
/// The smallest buffer whose copy measures memory rather than caches.
const LEAST_COPY: u64 = 32 << 20;
/// The smallest size of memory that is measured. The workloads' are between it and the largest buffers that are tried.
const LEAST_FOOTPRINT: u64 = 64 << 10;
/// How many values of a load, and loads of a thread, are tried.
const WIDTHS: [u64; 3] = [4, 2, 1];
const EACH: [u64; 3] = [4, 1, 16];
/// Multiply-adds of a chain in one turn of the loop.
const RUN: u64 = 16;
/// llvmpipe silently ends a thread's loops after 65,535 turns.
const MOST_TURNS: f64 = 32_768.0;

/// Changes to chains that are tried, each on the best chains so far.
const VARIED: [fn(Chains) -> Chains; 9] = [
    |best| Chains { count: 1, ..best },
    |best| Chains { count: 2, ..best },
    |best| Chains { count: 8, ..best },
    |best| Chains { width: 2, ..best },
    |best| Chains { width: 1, ..best },
    |best| Chains { count: 2 * best.count, ..best },
    |best| Chains { fused: false, ..best },
    |best| Chains { workgroups: best.workgroups / 4, ..best },
    |best| Chains { workgroups: best.workgroups * 4, ..best },
];

/// Measures a device.
pub(crate) struct Probe<'a> {
    gpu: &'a Gpu,
    clock: &'a Clock,
    /// Least seconds for which each rate is measured.
    seconds: f64,
    cpu: bool,
    movers: RefCell<Vec<(Mover, Arc<wgpu::ComputePipeline>)>>,
}

/// Chains of multiply-adds.
#[derive(Debug, Clone, Copy)]
struct Chains {
    /// How many chains a thread has: more of them hide more latency and take more registers.
    count: u64,
    width: u64,
    fused: bool,
    workgroups: u64,
}

impl<'a> Probe<'a> {
    pub(crate) fn new(gpu: &'a Gpu, clock: &'a Clock, seconds: f64) -> Self {
        Self { gpu, clock, seconds, cpu: gpu.context().profile().is_cpu, movers: RefCell::default() }
    }

    fn roof(&self, ceiling: Ceiling) -> Roof {
        let adapter = self.gpu.context().profile().name.clone();
        Roof { adapter, ceiling, cache: self.clock.cache(), footprints: Vec::new() }
    }

    /// All rates, for memory from the largest size to the smallest that is near what is `wanted`. `keep` gets what is
    /// known after each size.
    pub(crate) fn sweep(
        &self,
        wanted: &RangeInclusive<u64>,
        keep: impl Fn(&Roof) -> Result<(), Failure>,
    ) -> Result<Roof, Failure> {
        // Arithmetic comes first, since it brings a sleeping device up to speed.
        let f32_gflop_s = rounded(self.multiply()?);
        let memory = self.memory()?;
        let rate = |access, bytes| self.moved(&memory, access, bytes).map(rounded);
        let copy_gb_s = rate(Access::Copy, memory.bytes)?;
        let mut roof = self.roof(Ceiling { copy_gb_s, f32_gflop_s });
        let (mut bytes, step) = (memory.bytes, if self.cpu { 4 } else { 2 });
        while bytes >= LEAST_FOOTPRINT {
            // One size above and one below what is wanted.
            if bytes / step < *wanted.end() && bytes * step > *wanted.start() || *wanted.start() >= memory.bytes {
                let copy_gb_s = if bytes == memory.bytes { copy_gb_s } else { rate(Access::Copy, bytes)? };
                let (read_gb_s, write_gb_s) = (rate(Access::Read, bytes)?, rate(Access::Write, bytes)?);
                roof.footprints.push(Footprint { bytes, read_gb_s, write_gb_s, copy_gb_s });
                keep(&roof)?;
            }
            if *wanted.start() >= memory.bytes {
                break;
            }
            bytes /= step;
        }
        Ok(roof)
    }

    /// Two buffers larger than the last-level caches of GPUs and CPUs, some of which exceed a hundred megabytes.
    fn memory(&self) -> Result<Memory, Failure> {
        let limit = self.gpu.context().profile().max_piece();
        let wanted = if self.cpu { 256 << 20 } else { 1 << 30 };
        let mut bytes = 1u64 << limit.min(wanted).ilog2();
        let [source, written] = loop {
            match scoped(self.gpu, 2 * bytes, || [(); 2].map(|()| self.gpu.empty(bytes / 4))) {
                Ok(buffers) => break buffers,
                Err(Error::OutOfMemory { .. }) if bytes > LEAST_COPY => bytes /= 2,
                Err(error) => return Err(error.into()),
            }
        };
        self.fill(&source, bytes);
        Ok(Memory { source, written, bytes })
    }

    /// Writes the buffer, since pages that were never written may all be the same page of zeroes.
    fn fill(&self, buffer: &wgpu::Buffer, bytes: u64) {
        let values: Vec<f32> = (0..u16::MAX).map(|i| f32::from(i) + 0.5).collect();
        let (values, length) = (self.gpu.upload(&values), 4 * values.len() as u64);
        self.gpu.submit(|encoder| {
            for at in (0..bytes).step_by(length as usize) {
                encoder.copy_buffer_to_buffer(&values, 0, buffer, at, length.min(bytes - at));
            }
        });
    }

    /// The rate in GB/s at which the best kernel moves so many bytes.
    fn moved(&self, memory: &Memory, access: Access, bytes: u64) -> Result<f64, Failure> {
        let mut best = None;
        for width in WIDTHS {
            self.rank(memory, Mover { access, width, each: EACH[0] }, bytes, &mut best)?;
        }
        let width = best.map_or(WIDTHS[0], |(_, mover)| mover.width);
        for each in &EACH[1..] {
            self.rank(memory, Mover { access, width, each: *each }, bytes, &mut best)?;
        }
        let Some((ranked, mover)) = best else { return Err(Failure::machine("no memory could be moved")) };
        let measured = match self.mover(memory, mover, bytes) {
            Some(step) => self.quickest(&step, self.seconds)?,
            None => ranked,
        };
        Ok(bytes as f64 / (measured.min(ranked) * 1e6))
    }

    /// Runs a kernel a few times; `best` keeps it if it is the fastest so far.
    fn rank(&self, memory: &Memory, mover: Mover, bytes: u64, best: &mut Option<(f64, Mover)>) -> Result<(), Failure> {
        if let Some(step) = self.mover(memory, mover, bytes) {
            let milliseconds = self.quickest(&step, 0.0)?;
            if best.is_none_or(|(least, _)| milliseconds < least) {
                *best = Some((milliseconds, mover));
            }
        }
        Ok(())
    }

    fn mover(&self, memory: &Memory, mover: Mover, bytes: u64) -> Option<Step> {
        let groups = mover.workgroups(bytes)?;
        let known = self.movers.borrow().iter().find(|(other, _)| *other == mover).map(|(_, made)| made.clone());
        let pipeline = known.unwrap_or_else(|| {
            let made = Arc::new(pipeline(self.gpu, &mover.source()));
            self.movers.borrow_mut().push((mover, made.clone()));
            made
        });
        Some(Step::new(self.gpu, pipeline, [&memory.source, &memory.written], groups))
    }

    /// The rate in GFLOP/s of the best chains of multiply-adds; the settings are varied one after the other.
    fn multiply(&self) -> Result<f64, Failure> {
        let workgroups = if self.cpu { 64 } else { 4096 };
        let mut best = Chains { count: 4, width: 4, fused: true, workgroups };
        let mut rate = self.rate(best, 0.0)?;
        for vary in VARIED {
            let other = vary(best);
            let reached = self.rate(other, 0.0)?;
            if reached > rate {
                (best, rate) = (other, reached);
            }
        }
        let rate = rate.max(self.rate(best, self.seconds)?);
        if rate > 0.0 {
            return Ok(rate);
        }
        Err(Failure::machine("no rate of arithmetic: twice as many multiply-adds don't take this device longer"))
    }

    /// The rate in GFLOP/s of these chains; none if half of the turns don't take about half of the time, because then
    /// something skipped them.
    fn rate(&self, chains: Chains, seconds: f64) -> Result<f64, Failure> {
        let Chains { count, width, workgroups, .. } = chains;
        let sums = self.gpu.empty(width * workgroups * THREADS);
        let parameters = self.gpu.upload(&[0.999, 0.001, 1.0]);
        let made = Arc::new(pipeline(self.gpu, &chains.source()));
        let step = Step::new(self.gpu, made, [&parameters, &sums], workgroups);
        // Enough turns that starting the kernel doesn't count; the first run compiles it.
        let mut turns = 16.0;
        self.set_turns(&parameters, turns);
        self.time(&step)?;
        let wall = self.time(&step)?.wall;
        turns = (turns * 20.0 / wall.max(1e-3)).clamp(turns, MOST_TURNS).round();
        self.set_turns(&parameters, (turns / 2.0).round());
        let half = self.quickest(&step, 0.0)?;
        self.set_turns(&parameters, turns);
        let whole = self.quickest(&step, seconds)?;
        let flops = 2.0 * turns * (workgroups * THREADS * width * count * RUN) as f64;
        Ok(if (1.5..2.7).contains(&(whole / half)) { flops / (whole * 1e6) } else { 0.0 })
    }

    fn set_turns(&self, parameters: &wgpu::Buffer, turns: f64) {
        self.gpu.context().queue().write_buffer(parameters, 8, &(turns as f32).to_le_bytes());
    }

    fn time(&self, step: &Step) -> Result<Sample, Failure> {
        self.clock.time(|pass| step.record(pass))
    }

    /// The least milliseconds of some runs, since the limit is what the device can do, not what it does on average.
    fn quickest(&self, step: &Step, seconds: f64) -> Result<f64, Failure> {
        self.time(step)?;
        let start = Instant::now();
        let mut samples = Vec::new();
        while samples.len() < 3 || start.elapsed().as_secs_f64() < seconds {
            samples.push(self.time(step)?);
        }
        let Some((wall, gpu)) = spreads(&samples) else { return Err(Failure::machine("no time was measured")) };
        Ok(gpu.unwrap_or(wall).min.max(1e-6))
    }
}

/// Memory to be moved.
struct Memory {
    source: wgpu::Buffer,
    written: wgpu::Buffer,
    /// Bytes of each buffer.
    bytes: u64,
}

impl Chains {
    /// The shader, with its chains written out.
    fn source(self) -> String {
        let each = |line: &dyn Fn(u64) -> String| (0..self.count).map(line).collect::<String>();
        let declarations = each(&|i| format!("var chain{i} = start + Unit({i}.0);\n"));
        let turn = each(&|i| match self.fused {
            true => format!("chain{i} = fma(chain{i}, factor, summand);\n"),
            false => format!("chain{i} = chain{i} * factor + summand;\n"),
        });
        let sum = (0..self.count).map(|i| format!("chain{i}")).collect::<Vec<_>>().join(" + ");
        include_str!("multiply.wgsl")
            .replace("UNIT", &unit(self.width))
            .replace("//!declare", &declarations)
            .replace("//!multiply", &turn.repeat(RUN as usize))
            .replace("//!sum", &format!("sums[thread.x] = {sum};"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_written_out() {
        let source = Chains { count: 2, width: 4, fused: true, workgroups: 1 }.source();
        assert_eq!(source.matches("fma(").count(), 2 * RUN as usize);
        assert!(source.contains("sums[thread.x] = chain0 + chain1;"));
        assert!(!source.contains("\n    //!"));
    }
}

//! The device's own limits, measured in the run that is held against them.

use super::clock::{Clock, Sample, spreads};
use super::record::rounded;
use super::scoped;
use crate::failure::Failure;
use locally_connected::headless::Gpu;
use locally_connected::{Error, wgpu};
use std::time::Instant;

/// What the device reaches on the simplest of kernels.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Ceiling {
    /// Bytes read and written by a copy.
    pub(crate) copy_gb_s: f64,
    /// Multiplications and additions of f32.
    pub(crate) f32_gflop_s: f64,
}

impl Ceiling {
    /// The least milliseconds in which this device could do so much.
    pub(crate) fn milliseconds(&self, bytes: u64, flops: u64) -> f64 {
        let copy = bytes as f64 / (self.copy_gb_s * 1e6);
        let arithmetic = flops as f64 / (self.f32_gflop_s * 1e6);
        copy.max(arithmetic)
    }
}

/// Threads of a workgroup in both shaders.
const THREADS: u64 = 256;
/// The smallest buffer whose copy says something of memory rather than caches.
const LEAST_COPY: u64 = 32 << 20;
/// Multiply-adds of a chain between two looks at the loop's counter.
const RUN: u64 = 16;
/// llvmpipe ends a thread's loops after 65,535 turns without a word.
const MOST_TURNS: f64 = 32_768.0;
/// Chains of vectors that are tried; more hide more latency and take more registers.
const CHAINS: std::ops::RangeInclusive<u64> = 1..=4;

/// Measures both rates, `seconds` for each kernel that is tried.
pub(crate) fn measure(gpu: &Gpu, clock: &Clock, seconds: f64) -> Result<Ceiling, Failure> {
    let probe = Probe { gpu, clock, seconds, cpu: gpu.context().profile().is_cpu };
    Ok(Ceiling { copy_gb_s: rounded(probe.copy()?), f32_gflop_s: rounded(probe.multiply()?) })
}

struct Probe<'a> {
    gpu: &'a Gpu,
    clock: &'a Clock,
    seconds: f64,
    cpu: bool,
}

impl Probe<'_> {
    /// GB/s of the best copy.
    fn copy(&self) -> Result<f64, Failure> {
        let limit = self.gpu.context().profile().max_piece();
        // Beyond the last caches of GPUs and CPUs, both of which reach over a hundred megabytes.
        let wanted = if self.cpu { 256 << 20 } else { 1 << 30 };
        let mut bytes = 1u64 << limit.min(wanted).ilog2();
        let (source, copied) = loop {
            match self.buffers(bytes) {
                Ok(buffers) => break buffers,
                Err(Error::OutOfMemory(_)) if bytes > LEAST_COPY => bytes /= 2,
                Err(error) => return Err(error.into()),
            }
        };
        self.fill(&source, bytes);
        let mut best = 0.0f64;
        for (entry, each) in [("one", 1), ("four", 4)] {
            let groups = bytes / 16 / THREADS / each;
            let x = groups.min(1 << 15);
            let step = self.step(include_str!("copy.wgsl"), entry, &[&source, &copied], [x, groups / x]);
            best = best.max(2.0 * bytes as f64 / (self.quickest(&step)? * 1e6));
        }
        Ok(best)
    }

    fn buffers(&self, bytes: u64) -> Result<(wgpu::Buffer, wgpu::Buffer), Error> {
        scoped(self.gpu, || (self.gpu.empty(bytes / 4), self.gpu.empty(bytes / 4)))
    }

    /// Pages that were never written may all be one page of zeros.
    fn fill(&self, buffer: &wgpu::Buffer, bytes: u64) {
        let values: Vec<f32> = (0..u16::MAX).map(|i| f32::from(i) + 0.5).collect();
        let (values, length) = (self.gpu.upload(&values), 4 * values.len() as u64);
        self.gpu.submit(|encoder| {
            for at in (0..bytes).step_by(length as usize) {
                encoder.copy_buffer_to_buffer(&values, 0, buffer, at, length.min(bytes - at));
            }
        });
    }

    /// GFLOP/s of the best chains of multiply-adds.
    fn multiply(&self) -> Result<f64, Failure> {
        let groups: u64 = if self.cpu { 64 } else { 8192 };
        let sums = self.gpu.empty(4 * groups * THREADS);
        let mut best = 0.0f64;
        for chains in CHAINS {
            for fused in [true, false] {
                let source = multiply_source(chains, fused);
                let parameters = self.gpu.upload(&[0.999, 0.001, 1.0]);
                let step = self.step(&source, "main", &[&parameters, &sums], [groups, 1]);
                // Long enough that starting it doesn't count; the first run compiles.
                let mut turns = 16.0;
                self.set_turns(&parameters, turns);
                self.time(&step)?;
                let wall = self.time(&step)?.wall;
                turns = (turns * 20.0 / wall.max(1e-3)).clamp(turns, MOST_TURNS).round();
                self.set_turns(&parameters, turns);
                let flops = 2.0 * turns * (groups * THREADS * 4 * chains * RUN) as f64;
                best = best.max(flops / (self.quickest(&step)? * 1e6));
            }
        }
        Ok(best)
    }

    fn set_turns(&self, parameters: &wgpu::Buffer, turns: f64) {
        self.gpu.context().queue().write_buffer(parameters, 8, &(turns as f32).to_le_bytes());
    }

    /// A pipeline with its operands.
    fn step(&self, source: &str, entry: &str, operands: &[&wgpu::Buffer; 2], [x, y]: [u64; 2]) -> Step {
        let device = self.gpu.context().device();
        let label = Some("locally bench ceiling");
        let source = wgpu::ShaderSource::Wgsl(source.into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let entries =
            [0, 1].map(|i| wgpu::BindGroupEntry { binding: i, resource: operands[i as usize].as_entire_binding() });
        let layout = &pipeline.get_bind_group_layout(0);
        let operands = device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries: &entries });
        Step { pipeline, operands, groups: [x as u32, y as u32] }
    }

    fn time(&self, step: &Step) -> Result<Sample, Failure> {
        self.clock.time(|pass| {
            pass.set_pipeline(&step.pipeline);
            pass.set_bind_group(0, &step.operands, &[]);
            pass.dispatch_workgroups(step.groups[0], step.groups[1], 1);
        })
    }

    /// The least milliseconds of some runs: a limit is what the device can do, not what it does on average.
    fn quickest(&self, step: &Step) -> Result<f64, Failure> {
        self.time(step)?;
        let start = Instant::now();
        let mut samples = Vec::new();
        while samples.len() < 3 || start.elapsed().as_secs_f64() < self.seconds {
            samples.push(self.time(step)?);
        }
        let Some((wall, gpu)) = spreads(&samples) else { return Err(Failure::machine("no time was measured")) };
        Ok(gpu.unwrap_or(wall).min.max(1e-6))
    }
}

struct Step {
    pipeline: wgpu::ComputePipeline,
    operands: wgpu::BindGroup,
    groups: [u32; 2],
}

/// The shader with its chains written out.
fn multiply_source(chains: u64, fused: bool) -> String {
    let each = |line: &dyn Fn(u64) -> String| (0..chains).map(line).collect::<String>();
    let declarations = each(&|i| format!("var chain{i} = start + f32({i}u);\n"));
    let turn = each(&|i| match fused {
        true => format!("chain{i} = fma(chain{i}, factor, summand);\n"),
        false => format!("chain{i} = chain{i} * factor + summand;\n"),
    });
    let sum = (0..chains).map(|i| format!("chain{i}")).collect::<Vec<_>>().join(" + ");
    include_str!("multiply.wgsl")
        .replace("//!declare", &declarations)
        .replace("//!multiply", &turn.repeat(RUN as usize))
        .replace("//!sum", &format!("sums[thread.x] = {sum};"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roof_is_the_slower_of_both() {
        let ceiling = Ceiling { copy_gb_s: 10.0, f32_gflop_s: 100.0 };
        assert_eq!(ceiling.milliseconds(10_000_000, 1_000), 1.0);
        assert_eq!(ceiling.milliseconds(10, 200_000_000), 2.0);
    }

    #[test]
    fn chains_are_written_out() {
        let source = multiply_source(2, true);
        assert_eq!(source.matches("fma(").count(), 2 * RUN as usize);
        assert!(source.contains("sums[thread.x] = chain0 + chain1;"));
        assert!(!source.contains("\n    //!"));
    }
}

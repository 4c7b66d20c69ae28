//! The device that a command runs on.

use crate::args::Common;
use crate::failure::Failure;
use locally_connected::cpu::Instructions;
use locally_connected::headless::{self, Cpu, Device, DeviceOptions, Gpu, GpuOptions};
use locally_connected::{Error, wgpu};
use pollster::block_on;

/// The name of the CPU executor.
pub(crate) const CPU: &str = "cpu";

/// The device that the user asked for, or the best one; prints a line if a GPU was refused.
pub(crate) fn open(common: &Common) -> Result<Device, Failure> {
    let device = block_on(Device::open(&options(common)))?;
    if let Device::Cpu(cpu) = &device
        && let Some(why) = cpu.refused()
    {
        eprintln!("warning: {why}; the CPU runs instead");
    }
    Ok(device)
}

/// What the user asks for.
pub(crate) fn options(common: &Common) -> DeviceOptions {
    let (adapter, threads) = (common.adapter().map(str::to_owned), common.threads);
    DeviceOptions { adapter, threads, ..DeviceOptions::default() }
}

/// An adapter that runs WGSL: the one that the user asked for, or the best one, which may be a software adapter.
pub(crate) fn open_gpu(common: &Common) -> Result<Gpu, Error> {
    let options = GpuOptions { adapter: common.adapter().map(str::to_owned), ..GpuOptions::default() };
    block_on(Gpu::with_options(&options))
}

/// Whether the user asked for the CPU executor.
pub(crate) fn is_cpu(common: &Common) -> bool {
    headless::wanted(common.adapter()).is_some_and(|wanted| wanted.eq_ignore_ascii_case(CPU))
}

/// All adapters, and the number of the one that would be opened; none if the CPU executor would be.
pub(crate) fn choose(common: &Common) -> Result<(Vec<wgpu::Adapter>, Option<usize>), Failure> {
    let adapters = match headless::instance() {
        Ok(instance) => block_on(headless::adapters(&instance)),
        // Without a backend there is the CPU executor, unless an adapter was named.
        Err(_) if common.adapter().is_none() || is_cpu(common) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if is_cpu(common) {
        return Ok((adapters, None));
    }
    let chosen = match headless::wanted(common.adapter()) {
        Some(wanted) => Some(headless::pick(&adapters, Some(&wanted))?),
        None => adapters.iter().position(|adapter| adapter.get_info().device_type != wgpu::DeviceType::Cpu),
    };
    Ok((adapters, chosen))
}

/// Name, backend and driver on one line.
pub(crate) fn describe(info: &wgpu::AdapterInfo) -> String {
    let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
    match driver.trim() {
        "" => format!("{} ({})", info.name, info.backend),
        driver => format!("{} ({}, {driver})", info.name, info.backend),
    }
}

/// The CPU executor on one line.
pub(crate) fn describe_cpu(common: &Common) -> String {
    let (threads, instructions) = cpu(common);
    format!("CPU executor ({}, {instructions:?})", count(threads))
}

/// `1 thread`, `2 threads`.
pub(crate) fn count(threads: usize) -> String {
    format!("{threads} thread{}", if threads == 1 { "" } else { "s" })
}

/// The CPU executor's threads and instructions.
pub(crate) fn cpu(common: &Common) -> (usize, Instructions) {
    (Cpu::threads(&options(common)).get(), Instructions::best())
}

//! The adapter that a command runs on.

use crate::args::Common;
use crate::failure::Failure;
use locally_connected::headless::{self, Gpu, GpuOptions};
use locally_connected::wgpu;
use pollster::block_on;

/// Opens the adapter that the user asked for, or the default one.
pub(crate) fn open(common: &Common) -> Result<Gpu, Failure> {
    let options = GpuOptions { adapter: common.adapter.clone(), ..GpuOptions::default() };
    Ok(block_on(Gpu::with_options(&options))?)
}

/// All adapters and the position of the one that would be opened; none when there are no adapters at all.
pub(crate) fn choose(common: &Common) -> Result<(Vec<wgpu::Adapter>, Option<usize>), Failure> {
    let adapters = block_on(headless::adapters(&headless::instance()?));
    if adapters.is_empty() {
        return Ok((adapters, None));
    }
    let environment = std::env::var("WGPU_ADAPTER_NAME").ok();
    let wanted = common.adapter.as_deref().or(environment.as_deref());
    let chosen = headless::pick(&adapters, wanted)?;
    Ok((adapters, Some(chosen)))
}

/// Name, backend and driver on one line.
pub(crate) fn describe(info: &wgpu::AdapterInfo) -> String {
    let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
    match driver.trim() {
        "" => format!("{} ({})", info.name, info.backend),
        driver => format!("{} ({}, {driver})", info.name, info.backend),
    }
}

//! Making things on the device.

use locally_connected::headless::Gpu;
use locally_connected::{Error, wgpu};
use pollster::block_on;

/// Runs `create`, of so many `bytes`, so that what the device can't give is an error.
pub(super) fn scoped<T>(gpu: &Gpu, bytes: u64, create: impl FnOnce() -> T) -> Result<T, Error> {
    let device = gpu.context().device();
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = create();
    let (validation, memory) = (validation.pop(), memory.pop());
    // What there is no memory for is then also an invalid operand of what comes after it.
    if block_on(memory).is_some() {
        return Err(Error::OutOfMemory { what: "what is measured".into(), bytes });
    }
    match block_on(validation) {
        Some(error) => Err(Error::Device(error.to_string())),
        None => Ok(made),
    }
}

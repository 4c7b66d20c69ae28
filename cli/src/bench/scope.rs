//! Making things on the device.

use locally_connected::headless::Gpu;
use locally_connected::{Error, wgpu};
use pollster::block_on;

/// Runs `create` so that what the device can't give is an error.
pub(super) fn scoped<T>(gpu: &Gpu, create: impl FnOnce() -> T) -> Result<T, Error> {
    let device = gpu.context().device();
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = create();
    let (validation, memory) = (validation.pop(), memory.pop());
    if let Some(error) = block_on(validation) {
        return Err(Error::Device(error.to_string()));
    }
    match block_on(memory) {
        Some(error) => Err(Error::OutOfMemory(error.to_string())),
        None => Ok(made),
    }
}

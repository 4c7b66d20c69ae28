//! Makes things on the device.

use locally_connected::headless::Gpu;
use locally_connected::{Error, wgpu};
use pollster::block_on;

/// Runs `create`, which makes something of `bytes` bytes; gives an error if the device can't.
pub(super) fn scoped<T>(gpu: &Gpu, bytes: u64, create: impl FnOnce() -> T) -> Result<T, Error> {
    let device = gpu.context().device();
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = create();
    let (validation, memory) = (validation.pop(), memory.pop());
    // A buffer that there was no memory for is also an invalid operand of whatever comes after it, so memory is asked
    // first.
    if block_on(memory).is_some() {
        return Err(Error::OutOfMemory { what: "what is measured".into(), bytes });
    }
    match block_on(validation) {
        Some(error) => Err(Error::Device(error.to_string())),
        None => Ok(made),
    }
}

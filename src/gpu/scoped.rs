//! Errors that wgpu reports of what is created, as this crate's.

use crate::{Error, Result};

/// Runs `create` inside error scopes and gives what they caught.
pub(crate) fn scoped<T, F: FnOnce() -> T>(
    device: &wgpu::Device,
    create: F,
) -> (T, impl Future<Output = Result<()>> + use<T, F>) {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    // How GL, Metal and DX12 report a shader that the driver refuses.
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let made = create();
    // Popping takes effect at once; only the answers are awaited.
    let (internal, validation, memory) = (internal.pop(), validation.pop(), memory.pop());
    let caught = async move {
        if let Some(error) = internal.await {
            return Err(Error::Device(error.to_string()));
        }
        if let Some(error) = validation.await {
            return Err(Error::Device(error.to_string()));
        }
        if let Some(error) = memory.await {
            return Err(Error::OutOfMemory(error.to_string()));
        }
        Ok(())
    };
    (made, caught)
}

//! Errors that wgpu reports while something is made on the device, turned into this crate's.

use crate::{Error, Result};

/// Something that is made or written on the device, for the message of an error.
#[derive(Debug, Clone)]
pub(crate) struct Making {
    what: String,
    bytes: u64,
}

impl Making {
    /// Something of at least so many bytes.
    pub(crate) fn new(what: impl Into<String>, bytes: u64) -> Self {
        Self { what: what.into(), bytes }
    }
}

/// Runs `create` inside error scopes and gives what they caught: [`Error::DeviceLost`], [`Error::OutOfMemory`], or
/// [`Error::Device`] with what the device says.
pub(crate) fn scoped<T, F: FnOnce() -> T>(
    device: &wgpu::Device,
    making: Making,
    create: F,
) -> (T, impl Future<Output = Result<()>> + use<T, F>) {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    // How GL, Metal and DX12 report a shader that the driver refuses.
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let made = create();
    // Popping takes effect at once; only the answers are awaited.
    let (internal, validation, memory) = (internal.pop(), validation.pop(), memory.pop());
    let lost = lost(device);
    let caught = async move {
        let (internal, validation, memory, lost) = (internal.await, validation.await, memory.await, lost.await);
        let Making { what, bytes } = making;
        if lost {
            let said = memory.or(internal).or(validation).map(|error| format!(": {error}")).unwrap_or_default();
            return Err(Error::DeviceLost(format!("seen with {what}{said}")));
        }
        // A buffer that there was no memory for is also an invalid operand of whatever comes after it, so memory is
        // asked first.
        if memory.is_some() {
            return Err(Error::OutOfMemory { what, bytes });
        }
        match internal.or(validation) {
            Some(error) => Err(Error::Device(error.to_string())),
            None => Ok(()),
        }
    };
    (made, caught)
}

/// [`Error::DeviceLost`] where the device is.
pub(crate) async fn check_there(device: &wgpu::Device, what: &str) -> Result<()> {
    if lost(device).await { Err(Error::DeviceLost(format!("seen with {what}"))) } else { Ok(()) }
}

/// Whether the device is lost. wgpu tells the host's callback alone, of which there is one; a lost device takes whatever it
/// is asked for and reports no error, so it is asked for what a living one must refuse: a buffer that can't be used.
fn lost(device: &wgpu::Device) -> impl Future<Output = bool> + use<> {
    let refusal = device.push_error_scope(wgpu::ErrorFilter::Validation);
    drop(device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("locally-connected asks whether the device is there"),
        size: 4,
        usage: wgpu::BufferUsages::empty(),
        mapped_at_creation: false,
    }));
    let refusal = refusal.pop();
    async move { refusal.await.is_none() }
}

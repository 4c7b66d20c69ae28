//! Copies from the device to the host, recorded into the host's encoder and awaited after its submit.

use super::BufferRange;
use crate::{Error, Result};
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

/// A copy of a buffer's range on its way to the host.
#[derive(Debug)]
pub struct Readback {
    staging: wgpu::Buffer,
    mapped: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Readback {
    /// Records the copy of `source` (offset and size multiples of 4, usage `COPY_SRC`) into `encoder`. The data arrives
    /// some time after the host has submitted it.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::Alignment`], [`Error::Usage`]; nothing is recorded then.
    pub fn record<'a>(
        device: &wgpu::Device,
        encoder: &mut wgpu::CommandEncoder,
        source: impl Into<BufferRange<'a>>,
    ) -> Result<Self> {
        let (what, alignment) = ("the source of a readback", wgpu::COPY_BUFFER_ALIGNMENT);
        let source = source.into();
        source.check(what, alignment, wgpu::BufferUsages::COPY_SRC)?;
        let BufferRange { buffer, offset, size } = source;
        if !size.is_multiple_of(alignment) {
            return Err(Error::Alignment { what, of: "size", bytes: size, alignment });
        }
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("locally-connected readback"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, size);
        let (sender, mapped) = oneshot_channel();
        encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| {
            // A receiver that is gone no longer wants to know.
            let _ = sender.send(result);
        });
        Ok(Self { staging, mapped })
    }

    /// Waits for the data. On native platforms the host polls its device meanwhile.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] when the copy was never submitted or could not be mapped.
    pub async fn values(self) -> Result<Vec<f32>> {
        self.words().await
    }

    /// As [`Readback::values`], the words as another plain type of four bytes.
    pub(crate) async fn words<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(self) -> Result<Vec<T>> {
        match self.mapped.receive().await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(Error::DeviceLost(error.to_string())),
            None => return Err(Error::DeviceLost("the readback was dropped before it was mapped".into())),
        }
        let view = self.staging.get_mapped_range(..).map_err(|error| Error::DeviceLost(error.to_string()))?;
        let values = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        self.staging.unmap();
        Ok(values)
    }
}

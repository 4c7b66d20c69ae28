//! Copies from the device to the host, recorded into the host's encoder and awaited after its submit.

use crate::{Error, Result};
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use std::ops::Range;

/// A copy of a buffer on its way to the host.
#[derive(Debug)]
pub struct Readback {
    staging: wgpu::Buffer,
    mapped: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Readback {
    /// Records the copy of bytes `range` of `source` (multiples of 4; usage `COPY_SRC`) into `encoder`. The data
    /// arrives some time after the host has submitted it.
    #[must_use]
    pub fn record(
        device: &wgpu::Device,
        encoder: &mut wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        range: Range<u64>,
    ) -> Self {
        let size = range.end - range.start;
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("locally-connected readback"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        encoder.copy_buffer_to_buffer(source, range.start, &staging, 0, size);
        let (sender, mapped) = oneshot_channel();
        encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| {
            // A receiver that is gone no longer wants to know.
            let _ = sender.send(result);
        });
        Self { staging, mapped }
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

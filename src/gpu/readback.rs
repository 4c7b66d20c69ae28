//! Copies from the device to the host, recorded into the host's encoder and awaited after its submit.

use super::scoped::Making;
use super::{BufferRange, scoped};
use crate::room::zeroes;
use crate::{Error, Result};
use bytemuck::Pod;
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

const WHAT: &str = "the source of a readback";

/// Copies a range of a buffer to the host. Made once and recorded as often as the host likes.
///
/// ```no_run
/// # use locally_connected::{Readback, Result, wgpu};
/// # async fn read(device: &wgpu::Device, queue: &wgpu::Queue, y: &wgpu::Buffer) -> Result<Vec<f32>> {
/// let mut readback = Readback::new(device, y).await?;
/// let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
/// readback.record(&mut encoder)?;
/// queue.submit([encoder.finish()]);
/// // On native platforms somebody polls the device now, until the values are there.
/// readback.values().await
/// # }
/// ```
#[derive(Debug)]
pub struct Readback {
    device: wgpu::Device,
    source: wgpu::Buffer,
    offset: u64,
    staging: wgpu::Buffer,
    mapped: Option<OneshotReceiver<Result<(), wgpu::BufferAsyncError>>>,
}

impl Readback {
    /// Makes room for `source` (offset and size multiples of 4, usage `COPY_SRC`) where the host can read it.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::Alignment`], [`Error::Usage`]; [`Error::Refused`] for a buffer of another device, or
    /// one with the usage `STORAGE` that was destroyed (without it, the host's submit reports that);
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub async fn new<'a>(device: &wgpu::Device, source: impl Into<BufferRange<'a>>) -> Result<Self> {
        let alignment = wgpu::COPY_BUFFER_ALIGNMENT;
        let source = source.into();
        source.check(WHAT, alignment, wgpu::BufferUsages::COPY_SRC)?;
        let BufferRange { buffer, offset, size } = source;
        if !size.is_multiple_of(alignment) {
            return Err(Error::Alignment { what: WHAT, of: "size", bytes: size, alignment });
        }
        source.check_taken(device, WHAT).await?;
        let (staging, caught) = scoped(device, Making::new("a readback", size), || {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("locally-connected readback"),
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        caught.await?;
        let readback = Self { device: device.clone(), source: buffer.clone(), offset, staging, mapped: None };
        // A wrong copy is reported when its encoder is finished. A first encoder is thrown away, so that the host's own
        // doesn't report it.
        let ((), caught) = scoped(device, Making::new("a readback", size), || {
            let descriptor = wgpu::CommandEncoderDescriptor { label: Some("locally-connected readback, tried") };
            let mut encoder = device.create_command_encoder(&descriptor);
            readback.copy(&mut encoder);
            drop(encoder.finish());
        });
        match caught.await {
            Err(Error::Device(message)) => Err(Error::Refused { what: WHAT, message }),
            caught => caught.map(|()| readback),
        }
    }

    fn copy(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.copy_buffer_to_buffer(&self.source, self.offset, &self.staging, 0, self.staging.size());
    }

    /// Records the copy into `encoder`. The data arrives some time after the host has submitted it.
    ///
    /// # Errors
    /// [`Error::NotTaken`] while the values of the last recording weren't; nothing is recorded then.
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        if self.mapped.is_some() {
            return Err(Error::NotTaken);
        }
        self.copy(encoder);
        let (sender, mapped) = oneshot_channel();
        encoder.map_buffer_on_submit(&self.staging, wgpu::MapMode::Read, .., move |result| {
            // The receiver may be gone, and then nobody waits for the result.
            let _ = sender.send(result);
        });
        self.mapped = Some(mapped);
        Ok(())
    }

    /// Whether a recording's values weren't taken yet.
    pub(super) fn waits(&self) -> bool {
        self.mapped.is_some()
    }

    /// Waits for the data of what was recorded. On native platforms the host polls its device meanwhile.
    ///
    /// # Errors
    /// [`Error::NotSubmitted`] where nothing was recorded, or its encoder was dropped; [`Error::DeviceLost`];
    /// [`Error::OutOfMemory`] where the host has no room for them, and then they can be asked for again.
    pub async fn values(&mut self) -> Result<Vec<f32>> {
        self.words().await
    }

    /// Frees its room on the host's side at once; a copy that was recorded and not submitted is refused then. In a browser a
    /// buffer that is only dropped keeps its memory until JavaScript collects it.
    pub fn destroy(self) {
        self.staging.destroy();
    }

    /// As [`Readback::values`], with the words as another plain type.
    pub(crate) async fn words<T: Pod + Default>(&mut self) -> Result<Vec<T>> {
        if !self.waits() {
            return Err(Error::NotSubmitted);
        }
        let mut values = zeroes("the values of a readback", self.staging.size() / size_of::<T>() as u64)?;
        self.read(|bytes| bytemuck::cast_slice_mut(&mut values).copy_from_slice(bytes)).await?;
        Ok(values)
    }

    /// Waits for the data of what was recorded and lets `read` have it.
    pub(super) async fn read(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        let Some(mapped) = &self.mapped else { return Err(Error::NotSubmitted) };
        let mapped = mapped.receive().await;
        self.mapped = None;
        let Some(mapped) = mapped else { return Err(Error::NotSubmitted) };
        let mapped = mapped.map_err(|error| error.to_string());
        let view = mapped.and_then(|()| self.staging.get_mapped_range(..).map_err(|error| error.to_string()));
        match view {
            Ok(view) => {
                read(&view);
                drop(view);
                self.staging.unmap();
                Ok(())
            }
            Err(message) => {
                // After a failed mapping wgpu counts the buffer as mapped until it is unmapped, and complains then that
                // it isn't mapped.
                let ((), complaint) = scoped(&self.device, Making::new("a readback", 0), || self.staging.unmap());
                complaint.await.ok();
                super::scoped::check_there(&self.device, "a readback").await?;
                Err(Error::Device(message))
            }
        }
    }
}

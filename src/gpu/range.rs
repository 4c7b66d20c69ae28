//! Parts of the host's buffers, for hosts that keep many things in one.

use super::{Making, scoped};
use crate::{Error, Result};
use std::num::NonZeroU64;

/// Bytes of a host's buffer: all of them, from `&buffer`, or some, from `buffer.slice(…)` or by name.
///
/// WebGPU refuses a dispatch that reads and writes one buffer, disjoint ranges or not ([`Error::Aliased`]). It is enough to
/// keep what a pass reads in one buffer, what it writes in another, and `pre_activation`, which one step of a forward pass
/// writes and the next one reads, in a third.
///
/// ```no_run
/// # use locally_connected::{BufferRange, Forward, LocallyConnected, Result, wgpu};
/// # async fn run(layer: &LocallyConnected, given: &wgpu::Buffer, made: &wgpu::Buffer) -> Result<()> {
/// let output = BufferRange { buffer: made, offset: 1024, size: 4096 };
/// let forward = Forward { batch: 8, input: given.slice(512..).into(), output, pre_activation: None };
/// let bound = layer.bind_forward(forward).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BufferRange<'a> {
    /// The buffer.
    pub buffer: &'a wgpu::Buffer,
    /// First byte: a multiple of the device's `min_storage_buffer_offset_alignment` for operands of a pass, of 4 for
    /// ranges that are only copied.
    pub offset: u64,
    /// Number of bytes. There may be more than are needed; those are never touched.
    pub size: u64,
}

impl<'a> From<&'a wgpu::Buffer> for BufferRange<'a> {
    fn from(buffer: &'a wgpu::Buffer) -> Self {
        Self { buffer, offset: 0, size: buffer.size() }
    }
}

impl<'a> From<wgpu::BufferSlice<'a>> for BufferRange<'a> {
    fn from(slice: wgpu::BufferSlice<'a>) -> Self {
        Self { buffer: slice.buffer(), offset: slice.offset(), size: slice.size() }
    }
}

impl BufferRange<'_> {
    /// The first `bytes` of the range, or fewer where it has fewer.
    pub(crate) fn first(self, bytes: u64) -> Self {
        Self { size: self.size.min(bytes), ..self }
    }

    /// Checks that the range lies in its buffer, begins at a multiple of `alignment` and may be used as `usage`.
    pub(crate) fn check(&self, what: &'static str, alignment: u64, usage: wgpu::BufferUsages) -> Result<()> {
        let Self { buffer, offset, size } = *self;
        if offset.checked_add(size).is_none_or(|end| end > buffer.size()) {
            return Err(Error::Range { what, offset, size, buffer: buffer.size() });
        }
        if !offset.is_multiple_of(alignment) {
            return Err(Error::Alignment { what, of: "offset", bytes: offset, alignment });
        }
        match usage.difference(buffer.usage()).iter_names().next() {
            Some((lacks, _)) => Err(Error::Usage { what, lacks }),
            None => Ok(()),
        }
    }

    /// Asks the device whether it takes the buffer, in a bind group of that buffer alone: it refuses one that was
    /// destroyed or belongs to another device. A buffer without the usage `STORAGE` can't be asked about.
    pub(crate) async fn check_taken(&self, device: &wgpu::Device, what: &'static str) -> Result<()> {
        let buffer = self.buffer;
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) || buffer.size() < 4 {
            return Ok(());
        }
        let ((), caught) = scoped(device, Making::new(what, 0), || {
            let label = Some("locally-connected operand alone");
            let ty = wgpu::BufferBindingType::Storage { read_only: true };
            let entries = &[wgpu::BindGroupLayoutEntry {
                binding: 0,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
                count: None,
            }];
            let layout = &device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries });
            // Any four bytes: the buffer may be larger than a binding.
            let binding = wgpu::BufferBinding { buffer, offset: 0, size: NonZeroU64::new(4) };
            let entries = &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(binding) }];
            drop(device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries }));
        });
        match caught.await {
            Err(Error::Device(message)) => Err(Error::Refused { what, message }),
            caught => caught,
        }
    }

    /// Number of bytes that lie in both of two ranges, each within its buffer.
    pub(crate) fn overlap(&self, other: &Self) -> u64 {
        if self.buffer != other.buffer {
            return 0;
        }
        let end = (self.offset + self.size).min(other.offset + other.size);
        end.saturating_sub(self.offset.max(other.offset))
    }
}

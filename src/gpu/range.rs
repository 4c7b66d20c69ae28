//! Parts of the host's buffers, for hosts that keep many things in one.

use crate::{Error, Result};

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
    /// First byte: for operands of a pass a multiple of the device's `min_storage_buffer_offset_alignment`, for what is
    /// only copied of 4.
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

    /// Number of bytes that lie in both of two ranges, each within its buffer.
    pub(crate) fn overlap(&self, other: &Self) -> u64 {
        if self.buffer != other.buffer {
            return 0;
        }
        let end = (self.offset + self.size).min(other.offset + other.size);
        end.saturating_sub(self.offset.max(other.offset))
    }
}

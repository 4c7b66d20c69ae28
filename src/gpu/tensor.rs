//! Weights, biases and their gradients on the device, in as many buffers as the device's limits need.

use super::called::Called;
use super::{BufferRange, Context, Readback};
use crate::config::WeightType;
use crate::ops::{Buffer, Shape};
use crate::plan::{Chunk, cut};
use crate::room::zeroes;
use crate::{Error, Result};
use half::f16;
use wgpu::BufferUsages;

/// A storage buffer that can be copied to and from.
pub(super) fn buffer(device: &wgpu::Device, label: &str, size: u64) -> wgpu::Buffer {
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
}

/// Weights, or their gradient, as the planner cut them: each chunk is `[cells][K][filters]`, in a range of a buffer.
#[derive(Debug, Clone)]
pub struct Tensor {
    dtype: WeightType,
    /// Filters of a whole entry.
    filters: usize,
    chunks: Vec<Chunk>,
    places: Vec<Place>,
}

/// Where a chunk lies.
#[derive(Debug, Clone)]
struct Place {
    buffer: wgpu::Buffer,
    offset: u64,
    /// Whether the buffer was made for it.
    own: bool,
}

impl Place {
    fn range(&self, size: u64) -> BufferRange<'_> {
        BufferRange { buffer: &self.buffer, offset: self.offset, size }
    }
}

/// Filters of an entry; 1 for what isn't weights.
fn row(shape: &Shape) -> usize {
    match shape {
        Shape::Weights { filters, .. } | Shape::Connections { filters, .. } => *filters as usize,
        Shape::Fixed(_) | Shape::Samples(_) => 1,
    }
}

impl Tensor {
    /// Buffers of this crate's own.
    pub(super) fn new(device: &wgpu::Device, label: &str, of: &Buffer, chunks: Vec<Chunk>) -> Self {
        let dtype = of.dtype;
        let place = |chunk: &Chunk| Place { buffer: buffer(device, label, chunk.bytes(dtype)), offset: 0, own: true };
        let places = chunks.iter().map(place).collect();
        Self { dtype, filters: row(&of.shape), chunks, places }
    }

    /// A program's `buffer`, parameters or their gradient, in ranges of the host's buffers: one per chunk that [`cut`]
    /// gives for the context's limits, each of the chunk's bytes or more. All may lie in one buffer, which needs the
    /// usage `STORAGE`, `COPY_DST` to be uploaded to, and `COPY_SRC` to be read.
    ///
    /// # Errors
    /// [`Error::Length`] for another number of ranges than chunks, or too few bytes in one; [`Error::Range`],
    /// [`Error::Alignment`], [`Error::Usage`]; those of [`cut`].
    pub fn in_ranges<'a>(
        context: &Context,
        buffer: &Buffer,
        ranges: impl IntoIterator<Item = impl Into<BufferRange<'a>>>,
    ) -> Result<Self> {
        let called = Called::new(buffer);
        let (what, profile) = (called.what, context.profile());
        let chunks = cut(&buffer.shape, profile)?;
        let ranges: Vec<BufferRange<'_>> = ranges.into_iter().map(Into::into).collect();
        if ranges.len() != chunks.len() {
            let (expected, found, shape) = (chunks.len() as u64, ranges.len() as u64, vec![chunks.len()]);
            return Err(called.blamed(Error::Length { what: "the ranges of a tensor", expected, found, shape }));
        }
        for (range, chunk) in ranges.iter().zip(&chunks) {
            if range.size < chunk.bytes(buffer.dtype) {
                // How many elements of this type the range has room for.
                let found = match buffer.dtype {
                    WeightType::F32 => range.size / 4,
                    WeightType::F16 => range.size / 2,
                };
                let (expected, shape) = (chunk.len(), vec![chunk.entries as usize, chunk.filters as usize]);
                return Err(called.blamed(Error::Length { what, expected, found, shape }));
            }
            let alignment = profile.storage_alignment.max(4).into();
            range.check(what, alignment, BufferUsages::STORAGE).map_err(|error| called.blamed(error))?;
        }
        let place = |range: &BufferRange<'_>| Place { buffer: range.buffer.clone(), offset: range.offset, own: false };
        let places = ranges.iter().map(place).collect();
        Ok(Self { dtype: buffer.dtype, filters: row(&buffer.shape), chunks, places })
    }

    /// The same values, whose buffers are somebody else's to destroy.
    pub(super) fn lent(mut self) -> Self {
        self.places.iter_mut().for_each(|place| place.own = false);
        self
    }

    /// Frees the buffers that were made for it, at once and for all its clones; those of a host live on. What is recorded with
    /// them and not submitted is refused then. In a browser a buffer that is only dropped keeps its memory until JavaScript
    /// collects it.
    pub fn destroy(self) {
        self.places.iter().filter(|place| place.own).for_each(|place| place.buffer.destroy());
    }

    /// How the values are stored; a gradient's always as 32-bit floats.
    #[must_use]
    pub fn dtype(&self) -> WeightType {
        self.dtype
    }

    /// How the weights are cut.
    #[must_use]
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// One range per chunk, of [`Chunk::bytes`].
    #[must_use]
    pub fn ranges(&self) -> Vec<BufferRange<'_>> {
        let parts = self.places.iter().zip(&self.chunks);
        parts.map(|(place, chunk)| place.range(chunk.bytes(self.dtype))).collect()
    }

    /// Filters of a whole entry.
    pub(super) fn row(&self) -> usize {
        self.filters
    }

    /// The buffer, where there is only one chunk.
    pub(super) fn only(&self) -> Option<&wgpu::Buffer> {
        match &self.places[..] {
            [place] => Some(&place.buffer),
            _ => None,
        }
    }

    /// Bytes of all chunks.
    pub(super) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes(self.dtype)).sum()
    }

    /// Number of values.
    pub(super) fn len(&self) -> u64 {
        self.chunks.iter().map(Chunk::len).sum()
    }

    /// Makes a readback of all chunks.
    ///
    /// # Errors
    /// Those of [`Readback::new`].
    pub async fn readback(&self, device: &wgpu::Device) -> Result<TensorReadback> {
        let mut parts = Vec::with_capacity(self.chunks.len());
        for (range, chunk) in self.ranges().into_iter().zip(&self.chunks) {
            parts.push((*chunk, Readback::new(device, range).await?));
        }
        Ok(TensorReadback { dtype: self.dtype, filters: self.filters, len: self.len(), parts })
    }

    /// Checks that this is cut as `chunks` are.
    pub(super) fn check_chunks(&self, what: &'static str, chunks: &[Chunk]) -> Result<()> {
        if self.chunks == chunks {
            return Ok(());
        }
        let expected = chunks.iter().map(Chunk::len).sum();
        Err(Error::Length { what, expected, found: self.len(), shape: Vec::new() })
    }
}

/// 16-bit floats as 32-bit ones.
fn from_halves(to: &mut [f32], from: &[u8]) {
    for (to, bits) in to.iter_mut().zip(from.chunks_exact(2)) {
        *to = f16::from_le_bytes([bits[0], bits[1]]).to_f32();
    }
}

/// Copies weights or their gradient to the host. Made once and recorded as often as the host likes.
#[derive(Debug)]
pub struct TensorReadback {
    dtype: WeightType,
    filters: usize,
    len: u64,
    parts: Vec<(Chunk, Readback)>,
}

impl TensorReadback {
    /// Records the copies.
    ///
    /// # Errors
    /// [`Error::NotTaken`] while the values of the last recording weren't; nothing is recorded then.
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        if self.parts.iter().any(|(_, readback)| readback.waits()) {
            return Err(Error::NotTaken);
        }
        self.parts.iter_mut().try_for_each(|(_, readback)| readback.record(encoder))
    }

    /// Frees its room at once, as [`Readback::destroy`] does.
    pub fn destroy(self) {
        self.parts.into_iter().for_each(|(_, readback)| readback.destroy());
    }

    /// Waits for the values, in canonical order.
    ///
    /// # Errors
    /// Those of [`Readback::values`].
    pub async fn canonical(&mut self) -> Result<Vec<f32>> {
        let (row, dtype) = (self.filters, self.dtype);
        // Before anything is taken: without this memory the values can be asked for again.
        let mut canonical = zeroes("the values of a readback", self.len)?;
        let mut all = Ok(());
        for (chunk, readback) in &mut self.parts {
            let to = &mut canonical[chunk.first_entry as usize * row..][..chunk.entries as usize * row];
            let columns = chunk.first_filter as usize..(chunk.first_filter + chunk.filters) as usize;
            let read = readback.read(|bytes| {
                let stored = match dtype {
                    WeightType::F32 => 4,
                    WeightType::F16 => 2,
                };
                let rows = to.chunks_exact_mut(row).map(|row| &mut row[columns.clone()]);
                for (to, from) in rows.zip(bytes.chunks_exact(stored * columns.len())) {
                    match dtype {
                        WeightType::F32 => bytemuck::cast_slice_mut(to).copy_from_slice(from),
                        WeightType::F16 => from_halves(to, from),
                    }
                }
            });
            // The other chunks' values are taken all the same, so that they can be recorded again.
            let read = read.await;
            all = all.and(read);
        }
        all.map(|()| canonical)
    }
}

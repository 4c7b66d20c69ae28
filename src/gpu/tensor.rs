//! Weights, biases and their gradients on the device, in as many buffers as the device's limits need.

use super::{BufferRange, Readback};
use crate::config::WeightType;
use crate::ops::Shape;
use crate::plan::Chunk;
use crate::{Error, Result};
use half::f16;
use std::borrow::Cow;
use wgpu::BufferUsages;

pub(super) fn buffer(device: &wgpu::Device, label: &str, size: u64) -> wgpu::Buffer {
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
}

/// Weights, or their gradient, as the planner cut them: chunk `i` is `[cells][K][filters]`, in a range of a buffer.
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
}

impl Place {
    fn range(&self, size: u64) -> BufferRange<'_> {
        BufferRange { buffer: &self.buffer, offset: self.offset, size }
    }
}

/// Filters of an entry: what isn't weights has one.
fn row(shape: &Shape) -> usize {
    match shape {
        Shape::Weights { filters, .. } | Shape::Connections { filters, .. } => *filters as usize,
        Shape::Fixed(_) | Shape::Samples(_) => 1,
    }
}

impl Tensor {
    /// Buffers of this crate's own.
    pub(super) fn new(
        device: &wgpu::Device,
        label: &str,
        shape: &Shape,
        dtype: WeightType,
        chunks: Vec<Chunk>,
    ) -> Self {
        let place = |chunk: &Chunk| Place { buffer: buffer(device, label, chunk.bytes(dtype)), offset: 0 };
        let places = chunks.iter().map(place).collect();
        Self { dtype, filters: row(shape), chunks, places }
    }

    /// 32-bit floats in ranges of the host's, one per chunk.
    pub(super) fn in_ranges(shape: &Shape, chunks: Vec<Chunk>, ranges: &[BufferRange<'_>]) -> Self {
        let place = |range: &BufferRange<'_>| Place { buffer: range.buffer.clone(), offset: range.offset };
        let places = ranges.iter().map(place).collect();
        Self { dtype: WeightType::F32, filters: row(shape), chunks, places }
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

    /// The buffer of what has but one chunk.
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

    /// Uploads as many values as there are, in canonical order.
    pub(super) fn upload(&self, queue: &wgpu::Queue, canonical: &[f32]) {
        for (chunk, BufferRange { buffer, offset, .. }) in self.chunks.iter().zip(self.ranges()) {
            let from = &canonical[chunk.first_entry as usize * self.filters..][..chunk.entries as usize * self.filters];
            let columns = chunk.first_filter as usize..(chunk.first_filter + chunk.filters) as usize;
            let part: Cow<'_, [f32]> = if columns.len() == self.filters {
                from.into()
            } else {
                from.chunks_exact(self.filters).flat_map(|r| &r[columns.clone()]).copied().collect()
            };
            match self.dtype {
                WeightType::F32 => queue.write_buffer(buffer, offset, bytemuck::cast_slice(&part)),
                WeightType::F16 => {
                    let mut halves: Vec<u16> = part.iter().map(|&v| f16::from_f32(v).to_bits()).collect();
                    // Buffers are written in whole words.
                    halves.resize(halves.len().next_multiple_of(2), 0);
                    queue.write_buffer(buffer, offset, bytemuck::cast_slice(&halves));
                }
            }
        }
    }

    /// Records copies of all chunks to the host.
    ///
    /// # Errors
    /// [`Error::Usage`] for a host's buffer without `COPY_SRC`.
    pub fn read(&self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder) -> Result<TensorReadback> {
        let parts = self.ranges().into_iter().zip(&self.chunks);
        let parts = parts
            .map(|(range, chunk)| Ok((*chunk, Readback::record(device, encoder, range)?)))
            .collect::<Result<Vec<_>>>()?;
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

/// Weights or their gradient on their way to the host.
#[derive(Debug)]
pub struct TensorReadback {
    dtype: WeightType,
    filters: usize,
    len: u64,
    parts: Vec<(Chunk, Readback)>,
}

impl TensorReadback {
    /// Waits for the values, in canonical order.
    ///
    /// # Errors
    /// Those of [`Readback::values`].
    pub async fn canonical(self) -> Result<Vec<f32>> {
        let row = self.filters;
        let mut canonical = vec![0.0; self.len as usize];
        for (chunk, readback) in self.parts {
            let part = match self.dtype {
                WeightType::F32 => readback.values().await?,
                WeightType::F16 => {
                    let words: Vec<u32> = readback.words().await?;
                    let halves: &[u16] = bytemuck::cast_slice(&words);
                    halves.iter().map(|&bits| f16::from_bits(bits).to_f32()).collect()
                }
            };
            let to = &mut canonical[chunk.first_entry as usize * row..][..chunk.entries as usize * row];
            let columns = chunk.first_filter as usize..(chunk.first_filter + chunk.filters) as usize;
            for (to, from) in to.chunks_exact_mut(row).zip(part.chunks_exact(chunk.filters as usize)) {
                to[columns.clone()].copy_from_slice(from);
            }
        }
        Ok(canonical)
    }
}

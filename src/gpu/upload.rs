//! Parameters from the host to the device, in pieces of bounded size.

use super::scoped::Making;
use super::{Context, Tensor, scoped};
use crate::Result;
use crate::config::WeightType;
use crate::geometry::{Geometry, KerasLayout};
use half::f16;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Values on their way to a parameter. Each piece is converted and written for itself; wgpu keeps a copy of what is written
/// until the host's next submit is done, so a host that submits between pieces never holds more than some of them.
///
/// ```no_run
/// # use locally_connected::{KerasLayout, LocallyConnected, Result, wgpu};
/// # async fn upload(layer: &LocallyConnected, w: &[f32], device: &wgpu::Device, queue: &wgpu::Queue) -> Result<()> {
/// let mut upload = layer.upload_weights(w, KerasLayout::Implementation1)?;
/// while upload.write_next().await? {
///     queue.submit([]); // what was written goes out
///     let _ = device.poll(wgpu::PollType::Poll);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is written before it is asked for"]
pub struct Upload<'a> {
    context: &'a Context,
    buffers: &'a Tensor,
    values: Values<'a>,
    what: String,
    chunk: usize,
    /// Entries of the chunk that were written.
    entries: u64,
}

/// What is written, once it was found to be as long as the parameter.
#[derive(Debug)]
pub(super) enum Values<'a> {
    Canonical(&'a [f32]),
    Keras { layer: Arc<Geometry>, layout: KerasLayout, weights: &'a [f32] },
}

impl Values<'_> {
    /// Some entries in canonical order, of `row` filters each.
    fn entries(&self, entries: Range<u64>, row: usize) -> Cow<'_, [f32]> {
        match self {
            Self::Canonical(values) => values[entries.start as usize * row..entries.end as usize * row].into(),
            Self::Keras { layer, layout, weights } => layout.canonical_entries(layer, weights, entries).into(),
        }
    }
}

impl<'a> Upload<'a> {
    /// Most bytes of a piece, as 32-bit floats; entries of weights are whole, so that a piece of two longer ones has more.
    pub const PIECE: u64 = 8 << 20;

    pub(super) fn new(context: &'a Context, buffers: &'a Tensor, values: Values<'a>, what: String) -> Self {
        Self { context, buffers, values, what, chunk: 0, entries: 0 }
    }

    /// Writes the next piece; false where there is none left. What is written takes effect with the host's next submit.
    ///
    /// # Errors
    /// [`Error::DeviceLost`](crate::Error::DeviceLost), also where wgpu has no memory for its copy of the piece.
    pub async fn write_next(&mut self) -> Result<bool> {
        let places = self.buffers.chunks().iter().zip(self.buffers.ranges()).skip(self.chunk);
        let Some((chunk, range)) = places.into_iter().next() else { return Ok(false) };
        let row = self.buffers.row();
        // Two at least: halves are written in whole words.
        let most = (Self::PIECE / (4 * row as u64) / 2 * 2).max(2);
        let count = most.min(chunk.entries - self.entries);
        let first = chunk.first_entry + self.entries;
        let values = self.values.entries(first..first + count, row);
        let columns = chunk.first_filter as usize..(chunk.first_filter + chunk.filters) as usize;
        let values: Cow<'_, [f32]> = if columns.len() == row {
            values
        } else {
            values.chunks_exact(row).flat_map(|r| &r[columns.clone()]).copied().collect()
        };
        let element = self.entries * u64::from(chunk.filters);
        let halves: Vec<u16>;
        let (offset, bytes): (u64, &[u8]) = match self.buffers.dtype() {
            WeightType::F32 => (4 * element, bytemuck::cast_slice(&values)),
            WeightType::F16 => {
                let whole = std::iter::repeat_n(0, values.len() % 2);
                halves = values.iter().map(|&v| f16::from_f32(v).to_bits()).chain(whole).collect();
                (2 * element, bytemuck::cast_slice(&halves))
            }
        };
        let making = Making::new(self.what.clone(), bytes.len() as u64);
        let queue = self.context.queue();
        let ((), caught) = scoped(self.context.device(), making, || {
            queue.write_buffer(range.buffer, range.offset + offset, bytes);
        });
        caught.await?;
        self.entries += count;
        if self.entries == chunk.entries {
            (self.chunk, self.entries) = (self.chunk + 1, 0);
        }
        Ok(self.chunk < self.buffers.chunks().len())
    }

    /// Writes all pieces that are left.
    ///
    /// # Errors
    /// Those of [`Upload::write_next`].
    pub async fn finish(mut self) -> Result<()> {
        while self.write_next().await? {}
        Ok(())
    }
}

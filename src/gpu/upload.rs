//! Parameters from the host to the device, in pieces of bounded size.

use super::scoped::Making;
use super::write::write;
use super::{BufferRange, Context, Tensor};
use crate::config::WeightType;
use crate::geometry::{Geometry, KerasLayout};
use crate::plan::Chunk;
use crate::room::{check_room, room};
use crate::{Error, Result};
use half::f16;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// An upload of values to a parameter, piece by piece. wgpu keeps a copy of what is written until the host's next
/// submit is done, so a host that submits between pieces holds a few of them at a time.
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
    values: Source<'a>,
    what: String,
    chunk: usize,
    /// Elements of the chunk that were written, of those that are to be.
    written: u64,
}

/// Values of a parameter, from the host: 32-bit floats, or the bits of 16-bit floats (`half::f16::to_bits`). The latter
/// need no conversion where the parameter is [stored](Tensor::dtype) so, and are exact in any case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Elements<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// The bits of 16-bit floats.
    F16(&'a [u16]),
}

impl Elements<'_> {
    /// How many.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::F32(values) => values.len() as u64,
            Self::F16(bits) => bits.len() as u64,
        }
    }
}

/// Values that were found to fit the parameter.
#[derive(Debug)]
pub(super) enum Source<'a> {
    /// In canonical order, from an element number on.
    Canonical(Elements<'a>, u64),
    Keras {
        layer: Arc<Geometry>,
        layout: KerasLayout,
        weights: &'a [f32],
    },
}

/// Elements of a chunk, on their way.
enum Piece<'a> {
    F32(Cow<'a, [f32]>),
    F16(Cow<'a, [u16]>),
}

impl Piece<'_> {
    /// The elements as they are stored, in whole 32-bit words.
    fn stored(self, dtype: WeightType, what: &str) -> Result<Self> {
        Ok(match (self, dtype) {
            (Self::F16(bits), WeightType::F16) if !bits.len().is_multiple_of(2) => {
                Self::F16(whole(bits.iter().copied(), what)?)
            }
            (Self::F32(values), WeightType::F16) => {
                Self::F16(whole(values.iter().map(|&value| f16::from_f32(value).to_bits()), what)?)
            }
            (Self::F16(bits), WeightType::F32) => {
                let mut values = room(what, bits.len() as u64)?;
                values.extend(bits.iter().map(|&bits| f16::from_bits(bits).to_f32()));
                Self::F32(values.into())
            }
            (piece, _) => piece,
        })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::F32(values) => bytemuck::cast_slice(values),
            Self::F16(bits) => bytemuck::cast_slice(bits),
        }
    }
}

/// The bits of 16-bit floats and, where they end within a word, a zero.
fn whole<'a>(bits: impl ExactSizeIterator<Item = u16>, what: &str) -> Result<Cow<'a, [u16]>> {
    let count = bits.len().next_multiple_of(2);
    let mut words = room(what, count as u64)?;
    words.extend(bits);
    words.resize(count, 0);
    Ok(words.into())
}

/// Where a chunk's elements lie among those of all chunks, whose entries have `row` filters.
#[derive(Clone, Copy)]
struct Place<'c> {
    chunk: &'c Chunk,
    row: u64,
}

impl Place<'_> {
    /// How many of the chunk's elements come before element `index` of the whole.
    fn before(self, index: u64) -> u64 {
        let Self { chunk, row } = self;
        let (entry, filter) = (index / row, index % row);
        let filters = u64::from(chunk.filters);
        match entry.checked_sub(chunk.first_entry) {
            None => 0,
            Some(entry) if entry >= chunk.entries => chunk.entries * filters,
            Some(entry) => entry * filters + filter.saturating_sub(chunk.first_filter.into()).min(filters),
        }
    }

    /// Where these elements of the chunk lie among those of all chunks: a run for each entry.
    fn runs(self, elements: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let Self { chunk, row } = self;
        let filters = u64::from(chunk.filters);
        // The entries of a chunk with all filters lie side by side, so they are one run.
        let (length, row) =
            if filters == row { (chunk.entries * filters, chunk.entries * row) } else { (filters, row) };
        let base = chunk.first_entry * self.row + u64::from(chunk.first_filter);
        (elements.start / length..elements.end.div_ceil(length)).map(move |run| {
            let (first, end) = (elements.start.max(run * length), elements.end.min((run + 1) * length));
            let start = base + run * row + first - run * length;
            start..start + end - first
        })
    }

    /// These elements of the chunk, taken from values of `what`, which begin at element `first` of all.
    fn of<'v, T: Copy>(
        self,
        (values, first): (&'v [T], u64),
        elements: Range<u64>,
        what: &str,
    ) -> Result<Cow<'v, [T]>> {
        let slice = |run: Range<u64>| &values[(run.start - first) as usize..(run.end - first) as usize];
        let count = elements.end - elements.start;
        let mut runs = self.runs(elements).map(slice);
        match (runs.next(), runs.next()) {
            (Some(only), None) => Ok(only.into()),
            (one, other) => {
                let mut copied = room(what, count)?;
                one.into_iter().chain(other).chain(runs).for_each(|run| copied.extend_from_slice(run));
                Ok(copied.into())
            }
        }
    }
}

impl<'a> Source<'a> {
    /// Which elements of all `all` they are.
    fn elements(&self, all: u64) -> Range<u64> {
        match self {
            Self::Canonical(values, first) => *first..first + values.len(),
            Self::Keras { .. } => 0..all,
        }
    }

    /// Some elements of a chunk of `what`.
    fn piece<'s>(&'s self, place: Place<'_>, elements: Range<u64>, what: &str) -> Result<Piece<'s>> {
        Ok(match self {
            Self::Canonical(Elements::F32(values), first) => Piece::F32(place.of((values, *first), elements, what)?),
            Self::Canonical(Elements::F16(bits), first) => Piece::F16(place.of((bits, *first), elements, what)?),
            Self::Keras { layer, layout, weights } => {
                let (chunk, filters) = (place.chunk, u64::from(place.chunk.filters));
                let entries = elements.start / filters..elements.end.div_ceil(filters);
                let entries = chunk.first_entry + entries.start..chunk.first_entry + entries.end;
                let first = entries.start * place.row;
                check_room(what, (entries.end - entries.start) * place.row)?;
                let whole = layout.canonical_entries(layer, weights, entries);
                let all = whole.len() as u64 == elements.end - elements.start;
                let values = if all { whole } else { place.of((&whole, first), elements, what)?.into_owned() };
                Piece::F32(values.into())
            }
        })
    }
}

impl<'a> Upload<'a> {
    /// Most bytes of a piece, as 32-bit floats. A piece has at least two whole entries, so it is larger where entries
    /// are very long.
    pub const PIECE: u64 = 8 << 20;

    /// An upload to buffers that the host may write, of values that lie within them.
    ///
    /// # Errors
    /// [`Error::Usage`] for a host's buffer without `COPY_DST`; [`Error::Alignment`] for 16-bit floats that begin
    /// within a 32-bit word, or end within one before the parameter does: half a word can't be written.
    pub(super) fn new(
        context: &'a Context,
        buffers: &'a Tensor,
        values: Source<'a>,
        (what, name): (&'static str, String),
    ) -> Result<Self> {
        let all = values.elements(buffers.len());
        for (chunk, range) in buffers.chunks().iter().zip(buffers.ranges()) {
            range.check(what, wgpu::COPY_BUFFER_ALIGNMENT, wgpu::BufferUsages::COPY_DST)?;
            let place = Place { chunk, row: buffers.row() as u64 };
            let [first, end] = [all.start, all.end].map(|index| place.before(index));
            let halves = buffers.dtype() == WeightType::F16 && first < end;
            let alignment = wgpu::COPY_BUFFER_ALIGNMENT;
            for (of, at) in [("offset", first), ("end", end)] {
                if halves && !at.is_multiple_of(2) && at != chunk.len() {
                    return Err(Error::Alignment { what, of, bytes: 2 * at, alignment });
                }
            }
        }
        Ok(Self { context, buffers, values, what: name, chunk: 0, written: 0 })
    }

    /// Writes the next piece; false where there is none left. What is written takes effect with the host's next submit.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] where there is none for a copy of the piece: ours of what lies in another order, or wgpu's of any,
    /// which it keeps until the host's next submit is done. The piece is the next one then as before. [`Error::DeviceLost`].
    pub async fn write_next(&mut self) -> Result<bool> {
        let (buffers, all) = (self.buffers, self.values.elements(self.buffers.len()));
        let row = buffers.row() as u64;
        for (chunk, range) in buffers.chunks().iter().zip(buffers.ranges()).skip(self.chunk) {
            let place = Place { chunk, row };
            let wanted = place.before(all.start)..place.before(all.end);
            let first = wanted.start + self.written;
            if first >= wanted.end {
                (self.chunk, self.written) = (self.chunk + 1, 0);
                continue;
            }
            // Pieces are even numbers of whole entries, so that 16-bit floats fill whole words.
            let (filters, most) = (u64::from(chunk.filters), (Self::PIECE / (4 * row)).max(2));
            let end = ((first / filters + most) / 2 * 2 * filters).min(wanted.end);
            let piece = self.values.piece(place, first..end, &self.what)?.stored(buffers.dtype(), &self.what)?;
            let offset = match buffers.dtype() {
                WeightType::F32 => 4 * first,
                WeightType::F16 => 2 * first,
            };
            let making = Making::new(self.what.clone(), piece.bytes().len() as u64);
            let to = BufferRange { offset: range.offset + offset, ..range };
            write(self.context, to, piece.bytes(), making).await?;
            self.written = end - wanted.start;
            return Ok(self.is_more());
        }
        Ok(false)
    }

    /// Whether anything is left to be written.
    fn is_more(&self) -> bool {
        let all = self.values.elements(self.buffers.len());
        let row = self.buffers.row() as u64;
        let mut left = self.buffers.chunks().iter().zip(self.chunk..).skip(self.chunk);
        left.any(|(chunk, number)| {
            let place = Place { chunk, row };
            let written = if number == self.chunk { self.written } else { 0 };
            place.before(all.start) + written < place.before(all.end)
        })
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

//! How the weights are cut into buffers that the device can bind.

use super::DeviceProfile;
use crate::config::WeightType;
use crate::ops::Shape;
use crate::{Error, Result};

/// One buffer of weights: whole cells or, where a single cell is over the limit, some filters of one cell. It is laid
/// out as `[entries][filters]`; a cell's entries are its window's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// First cell of the layer in this chunk.
    pub first_cell: u32,
    /// Number of cells.
    pub cells: u32,
    /// First filter of each cell in this chunk.
    pub first_filter: u32,
    /// Number of filters of each cell.
    pub filters: u32,
    /// First entry of the layer in this chunk.
    pub first_entry: u64,
    /// Number of entries.
    pub entries: u64,
}

impl Chunk {
    /// Number of weights.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.entries * u64::from(self.filters)
    }

    /// Whether it holds no weights, as a pattern without connections does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of a buffer for it, a whole number of words and at least one.
    #[must_use]
    pub fn bytes(&self, dtype: WeightType) -> u64 {
        dtype.bytes(self.len())
    }
}

/// Most chunks of a buffer, or twice as many where cells don't fill them: eight terabytes of 128 MiB each.
const MOST_CHUNKS: u64 = 1 << 16;

/// Cuts a buffer of `shape` into chunks of at most [`DeviceProfile::max_piece`] bytes, counted as 32-bit floats since
/// gradients always are. Weights are cut into whole cells, or into some filters of one cell; what isn't weights is one
/// chunk.
///
/// # Errors
/// [`crate::Error::Limit`] when a single filter of a single cell is over the limit; [`crate::Error::TooLarge`] when there would be tens of
/// thousands of chunks.
pub fn cut(shape: &Shape, profile: &DeviceProfile) -> Result<Vec<Chunk>> {
    let (all_cells, all) = match shape {
        Shape::Weights { cells, filters, .. } => (*cells, *filters),
        Shape::Connections { starts, filters } => ((starts.len() as u64).saturating_sub(1), *filters),
        Shape::Fixed(_) | Shape::Samples(_) => (1, 1),
    };
    // Entries of the cells before one.
    let entry = |cell: u64| match shape {
        Shape::Weights { window, .. } => cell * window,
        Shape::Connections { starts, .. } => starts[cell as usize].into(),
        Shape::Fixed(elements) | Shape::Samples(elements) => cell * elements,
    };
    if let Shape::Fixed(elements) | Shape::Samples(elements) = shape {
        profile.check_piece("a parameter that isn't cut", elements.saturating_mul(4))?;
    }
    let limit = profile.max_piece() / 4;
    let count = entry(all_cells).saturating_mul(all).div_ceil(limit.max(1));
    if count > MOST_CHUNKS {
        let what = "the number of buffers that weights are cut into";
        return Err(Error::TooLarge { what, value: count.into(), limit: MOST_CHUNKS });
    }
    let mut chunks = Vec::new();
    let mut first = 0;
    while first < all_cells {
        // The most whole cells that fit, found by bisection: cells of a user's pattern differ in size.
        let entries = |cells: u64| entry(first + cells) - entry(first);
        let fits = |cells: u64| entries(cells).saturating_mul(all) <= limit;
        let (mut least, mut most) = (0, all_cells - first);
        while least < most {
            let middle = least + (most - least).div_ceil(2);
            if fits(middle) { least = middle } else { most = middle - 1 }
        }
        let cells = least.max(1);
        let filters = if fits(cells) { all } else { limit / entries(1) };
        if filters == 0 {
            return Err(profile.over_piece("one filter at one location", 4 * entries(1)));
        }
        for first_filter in (0..all).step_by(filters as usize) {
            chunks.push(Chunk {
                first_cell: first as u32,
                cells: cells as u32,
                first_filter: first_filter as u32,
                filters: filters.min(all - first_filter) as u32,
                first_entry: entry(first),
                entries: entries(cells),
            });
        }
        first += cells;
    }
    Ok(chunks)
}

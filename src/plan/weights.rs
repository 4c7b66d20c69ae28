//! How the weights are cut into buffers that the device can bind.

use super::DeviceProfile;
use crate::Result;
use crate::config::WeightType;
use crate::geometry::Geometry;

/// One buffer of weights: whole cells, or, where a single cell is over the limit, some filters of one cell. In memory
/// it is `[entries][filters]`, the entries of a cell being its window.
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

/// Cuts the weights of `geometry` into chunks of at most [`DeviceProfile::max_piece`] bytes as 32-bit floats, which their
/// gradient always is.
///
/// # Errors
/// [`crate::Error::Limit`] when a single filter of a single cell is over the limit.
pub fn chunks(geometry: &Geometry, profile: &DeviceProfile) -> Result<Vec<Chunk>> {
    let limit = profile.max_piece() / 4;
    let all = geometry.group_filters();
    let mut chunks = Vec::new();
    let mut first = 0;
    while first < geometry.cells() {
        // The most whole cells that fit, by bisection: cells of a pattern differ in size.
        let entries = |cells: u32| geometry.entry(first + cells) - geometry.entry(first);
        let fits = |cells: u32, filters: u32| entries(cells) * u64::from(filters) <= limit;
        let (mut least, mut most) = (0, geometry.cells() - first);
        while least < most {
            let middle = least + (most - least).div_ceil(2);
            if fits(middle, all) { least = middle } else { most = middle - 1 }
        }
        let cells = least.max(1);
        let filters = if fits(cells, all) { all } else { (limit / entries(1)) as u32 };
        if filters == 0 {
            return Err(profile.over_piece("one filter at one location", 4 * entries(1)));
        }
        for first_filter in (0..all).step_by(filters as usize) {
            chunks.push(Chunk {
                first_cell: first,
                cells,
                first_filter,
                filters: filters.min(all - first_filter),
                first_entry: geometry.entry(first),
                entries: entries(cells),
            });
        }
        first += cells;
    }
    Ok(chunks)
}

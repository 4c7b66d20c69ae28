//! How the weights are cut into buffers that the device can bind.

use super::DeviceProfile;
use crate::geometry::Geometry;
use crate::{Error, Result};

/// One buffer of weights: whole cells, or, where a single cell is over the limit, some filters of one cell. In memory
/// it is `[cells][K][filters]`.
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
    /// `K`.
    pub window: u32,
}

impl Chunk {
    /// Number of weights.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::from(self.cells) * u64::from(self.window) * u64::from(self.filters)
    }

    /// Never: chunks hold at least one weight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes as 32-bit floats.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        4 * self.len()
    }
}

/// Cuts the weights of `geometry` into chunks of at most [`DeviceProfile::max_piece`] bytes.
///
/// # Errors
/// [`Error::Limit`] when a single filter of a single cell is over the limit.
pub fn chunks(geometry: &Geometry, profile: &DeviceProfile) -> Result<Vec<Chunk>> {
    let limit = profile.max_piece();
    let window = geometry.window();
    let filter_bytes = 4 * u64::from(window);
    let cell_bytes = filter_bytes * u64::from(geometry.group_filters());
    if filter_bytes > limit {
        return Err(Error::Limit {
            what: "one filter at one location".into(),
            needed: filter_bytes,
            unit: "bytes",
            limit,
            name: "max_storage_buffer_binding_size",
        });
    }
    let (cells, filters) = match limit / cell_bytes {
        0 => (1, (limit / filter_bytes) as u32),
        cells => (cells.min(geometry.cells().into()) as u32, geometry.group_filters()),
    };
    let mut chunks = Vec::new();
    for first_cell in (0..geometry.cells()).step_by(cells as usize) {
        for first_filter in (0..geometry.group_filters()).step_by(filters as usize) {
            chunks.push(Chunk {
                first_cell,
                cells: cells.min(geometry.cells() - first_cell),
                first_filter,
                filters: filters.min(geometry.group_filters() - first_filter),
                window,
            });
        }
    }
    Ok(chunks)
}

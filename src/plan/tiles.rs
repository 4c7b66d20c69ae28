//! Sizes of the tiles of `shaders/tile.wgsl`.

use super::Planner;
use crate::kernel::{DEPTH, Kernel, MOST_CONSTANTS, Variant};
use std::fmt;

/// Constants of `tile.wgsl` that fix a tile's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct TileShape {
    /// `ROWS`: a thread's fours of rows.
    pub row_fours: u32,
    /// `COLUMNS`: a thread's fours of columns.
    pub column_fours: u32,
    /// `THREAD_ROWS`.
    pub thread_rows: u32,
    /// `THREAD_COLUMNS`.
    pub thread_columns: u32,
    /// `SLICES`: sets of threads that share the terms of a tile's sums.
    pub slices: u32,
}

const fn shape([row_fours, column_fours]: [u32; 2], [thread_rows, thread_columns]: [u32; 2], slices: u32) -> TileShape {
    TileShape { row_fours, column_fours, thread_rows, thread_columns, slices }
}

/// `WIDTH`: elements that a thread loads at once.
pub(super) const WIDTHS: [u32; 2] = [1, 4];

/// `WIDTH` and `INPUT_WIDTH`: elements that a thread loads at once along filters, and along channels.
pub(super) const WIDTH_PAIRS: [[u32; 2]; 3] = [[1, 1], [4, 1], [4, 4]];

/// Every size that plans use. Of either side a thread loads one to four vectors of four elements, of 16 terms together.
pub const TILE_SHAPES: [TileShape; 14] = [
    shape([2, 2], [8, 8], 1), // 64 x 64
    shape([2, 1], [8, 8], 1), // 64 x 32
    shape([1, 2], [8, 8], 1), // 32 x 64
    shape([1, 1], [8, 8], 1), // 32 x 32
    shape([2, 1], [8, 4], 1), // 64 x 16
    shape([1, 2], [4, 8], 1), // 16 x 64
    shape([1, 1], [8, 4], 1), // 32 x 16
    shape([1, 1], [4, 8], 1), // 16 x 32
    shape([2, 1], [8, 8], 2),
    shape([1, 2], [8, 8], 2),
    shape([1, 1], [8, 8], 2),
    shape([1, 1], [8, 8], 4),
    shape([1, 1], [8, 4], 4),
    shape([1, 1], [4, 8], 4),
];

/// Turns of a thread's loops over a sum of so many terms: a step of 16 of each slice, its four fours of terms, and the
/// turn in which the loop over those ends (`tile.wgsl`).
pub(super) const fn turns(terms: u64, slices: u32) -> u64 {
    terms.div_ceil((DEPTH * slices) as u64) * (1 + 4 + 1)
}

impl TileShape {
    /// Rows of a tile.
    #[must_use]
    pub const fn rows(self) -> u32 {
        4 * self.row_fours * self.thread_rows
    }

    /// Columns of a tile.
    #[must_use]
    pub const fn columns(self) -> u32 {
        4 * self.column_fours * self.thread_columns
    }

    /// Threads of a workgroup.
    #[must_use]
    pub const fn threads(self) -> u32 {
        self.thread_rows * self.thread_columns * self.slices
    }

    /// Bytes of workgroup memory: a step's operands with what lies between fours of them, its terms, and which rows are
    /// there (`tile.wgsl`).
    #[must_use]
    pub const fn memory(self) -> u32 {
        let fours = DEPTH / 4 * self.slices;
        16 * fours * (self.rows() + 2 + self.columns() + 2) + 16 * self.threads() + 4 * self.rows()
    }

    /// The constants of a variant of these widths.
    pub(super) const fn constants(self, [width, input_width]: [u32; 2]) -> [u32; MOST_CONSTANTS] {
        let Self { row_fours, column_fours, thread_rows, thread_columns, slices } = self;
        [row_fours, column_fours, thread_rows, thread_columns, width, input_width, slices]
    }

    /// Tiles of a product of `rows` by `columns`.
    pub(super) fn tiles(self, rows: u32, columns: u32) -> u64 {
        u64::from(rows.div_ceil(self.rows())) * u64::from(columns.div_ceil(self.columns()))
    }
}

/// Rows by columns, by slices where there are several: `64x32`, `32x32x4`.
impl fmt::Display for TileShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows(), self.columns())?;
        if self.slices > 1 { write!(f, "x{}", self.slices) } else { Ok(()) }
    }
}

impl From<TileShape> for String {
    fn from(shape: TileShape) -> Self {
        shape.to_string()
    }
}

/// From rows by columns, as it is written.
impl TryFrom<String> for TileShape {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let all = || TILE_SHAPES.map(|shape| shape.to_string()).join(", ");
        let named = TILE_SHAPES.into_iter().find(|shape| shape.to_string() == text);
        named.ok_or_else(|| format!("{text:?} is no shape of a tile; those are {}", all()))
    }
}

/// `WIDTH` where the operands lie in aligned fours, and where not.
pub(super) const fn width(fours: bool) -> u32 {
    WIDTHS[fours as usize]
}

/// Every variant of a tiled kernel.
pub(super) fn tile_variants(kernel: Kernel) -> impl Iterator<Item = Variant> {
    WIDTH_PAIRS.into_iter().flat_map(move |pair| TILE_SHAPES.map(|shape| kernel.variant(&shape.constants(pair))))
}

/// Products that tiles compute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Products {
    pub(super) count: u64,
    pub(super) rows: u32,
    pub(super) columns: u32,
    /// Terms of each sum.
    pub(super) depth: u64,
}

impl Planner<'_> {
    /// `Strategy::tile_shape`, or the shape that takes least time of those that the device has room for. A step costs a
    /// thread its multiply-adds and its loads from workgroup memory; tiles over the edge are paid for whole, and so are
    /// threads of a device that has none to run.
    pub(super) fn best_shape(&self, products: &Products) -> TileShape {
        let strategy = self.strategy();
        let fits = |shape: &TileShape| {
            shape.memory() <= self.profile.max_workgroup_memory && shape.threads() <= self.profile.max_workgroup_size
        };
        if let Some(shape) = strategy.tile_shape.filter(fits) {
            return shape;
        }
        let time = |shape: &TileShape| {
            let threads = products.count * shape.tiles(products.rows, products.columns) * u64::from(shape.threads());
            let running = threads.max(128 * u64::from(strategy.busy_groups));
            // A load of four from workgroup memory takes a thread as long as eight multiply-adds.
            let fours = u64::from(shape.row_fours * shape.column_fours);
            let step = 16 * fours + 8 * u64::from(shape.row_fours + shape.column_fours);
            // In the end each slice's sums go through workgroup memory, past two barriers.
            let end = if shape.slices > 1 { 4 * fours * (16 + u64::from(shape.slices)) } else { 0 };
            running * (products.depth.div_ceil(u64::from(DEPTH * shape.slices)) * u64::from(DEPTH) * step + end)
        };
        TILE_SHAPES.into_iter().filter(fits).min_by_key(time).unwrap_or(TILE_SHAPES[7])
    }
}

//! Sizes of the tiles of `shaders/tile.wgsl`.

use crate::kernel::{Kernel, Variant};
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
}

const fn shape(row_fours: u32, column_fours: u32, thread_rows: u32, thread_columns: u32) -> TileShape {
    TileShape { row_fours, column_fours, thread_rows, thread_columns }
}

/// `WIDTH`: elements that a thread loads at once.
pub(super) const WIDTHS: [u32; 2] = [1, 4];

/// `WIDTH` and `INPUT_WIDTH`: elements that a thread loads at once along filters, and along channels.
pub(super) const WIDTH_PAIRS: [[u32; 2]; 3] = [[1, 1], [4, 1], [4, 4]];

/// Every size that plans use. Of either side a thread loads one to four vectors of four elements, of 16 terms together.
pub const TILE_SHAPES: [TileShape; 8] = [
    shape(2, 2, 8, 8), // 64 x 64
    shape(2, 1, 8, 8), // 64 x 32
    shape(1, 2, 8, 8), // 32 x 64
    shape(1, 1, 8, 8), // 32 x 32
    shape(2, 1, 8, 4), // 64 x 16
    shape(1, 2, 4, 8), // 16 x 64
    shape(1, 1, 8, 4), // 32 x 16
    shape(1, 1, 4, 8), // 16 x 32
];

/// Turns of a thread's loops over a sum of so many terms: a step of 16, its four fours of terms, and the turn in which the
/// loop over those ends (`tile.wgsl`).
pub(super) const fn turns(terms: u64) -> u64 {
    terms.div_ceil(16) * (1 + 4 + 1)
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

    /// The constants of a variant of these widths.
    pub(super) const fn constants(self, [width, input_width]: [u32; 2]) -> [u32; 6] {
        [self.row_fours, self.column_fours, self.thread_rows, self.thread_columns, width, input_width]
    }

    /// Tiles of a product of `rows` by `columns`.
    pub(super) fn tiles(self, rows: u32, columns: u32) -> u64 {
        u64::from(rows.div_ceil(self.rows())) * u64::from(columns.div_ceil(self.columns()))
    }
}

/// Rows by columns: `64x32`.
impl fmt::Display for TileShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows(), self.columns())
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

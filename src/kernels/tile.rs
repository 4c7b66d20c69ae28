//! Tiles of `shaders/shared/tile.wgsl`: their sizes, widths and cost.

use super::constants::{Constant, Constants};
use super::sizes::WIDTHS;
use super::work::{of, product};
use super::{Loads, Params, Work};
use std::fmt;

/// Terms that a slice sums in one step.
pub(crate) const DEPTH: u32 = 16;

/// The constants of `tile.wgsl` that decide a tile's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct TileShape {
    /// `ROWS`: how many fours of rows a thread has.
    pub row_fours: u32,
    /// `COLUMNS`: how many fours of columns a thread has.
    pub column_fours: u32,
    /// `THREAD_ROWS`: threads along the rows.
    pub thread_rows: u32,
    /// `THREAD_COLUMNS`: threads along the columns.
    pub thread_columns: u32,
    /// `SLICES`: sets of threads that share the terms of a tile's sums.
    pub slices: u32,
}

const fn shape([row_fours, column_fours]: [u32; 2], [thread_rows, thread_columns]: [u32; 2], slices: u32) -> TileShape {
    TileShape { row_fours, column_fours, thread_rows, thread_columns, slices }
}

/// Every size that plans use. From each operand a thread loads one to four vectors of four elements in a step of 16
/// terms.
pub const TILE_SHAPES: [TileShape; 15] = [
    shape([2, 2], [8, 8], 1), // 64 x 64
    shape([2, 1], [8, 8], 1), // 64 x 32
    shape([1, 2], [8, 8], 1), // 32 x 64
    shape([1, 1], [8, 8], 1), // 32 x 32
    shape([2, 1], [8, 4], 1), // 64 x 16
    shape([1, 2], [4, 8], 1), // 16 x 64
    shape([1, 1], [8, 4], 1), // 32 x 16
    shape([1, 1], [4, 8], 1), // 16 x 32
    shape([2, 2], [8, 8], 2),
    shape([2, 1], [8, 8], 2),
    shape([1, 2], [8, 8], 2),
    shape([1, 1], [8, 8], 2),
    shape([1, 1], [8, 8], 4),
    shape([1, 1], [8, 4], 4),
    shape([1, 1], [4, 8], 4),
];

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

    /// Bytes of workgroup memory (`tile.wgsl`): a step's operands with the gaps between their fours, the step's terms,
    /// and which rows exist.
    #[must_use]
    pub const fn memory(self) -> u32 {
        let fours = DEPTH / 4 * self.slices;
        16 * fours * (self.rows() + 2 + self.columns() + 2) + 16 * self.threads() + 4 * self.rows()
    }

    /// Turns of a thread's loops over a sum of so many terms. For each step of a slice: one turn, four turns over the
    /// fours of its terms, and the turn in which that inner loop ends.
    #[must_use]
    pub const fn turns(self, terms: u64) -> u64 {
        self.steps(terms) * (1 + 4 + 1)
    }

    /// Steps of a slice over a sum of so many terms.
    pub(crate) const fn steps(self, terms: u64) -> u64 {
        terms.div_ceil((DEPTH * self.slices) as u64)
    }

    /// Number of tiles of a product of `rows` by `columns`.
    #[must_use]
    pub fn tiles(self, rows: u32, columns: u32) -> u64 {
        u64::from(rows.div_ceil(self.rows())) * u64::from(columns.div_ceil(self.columns()))
    }
}

/// Rows by columns, and by slices where there are several: `64x32`, `32x32x4`.
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

/// From the same notation.
impl TryFrom<String> for TileShape {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let all = || TILE_SHAPES.map(|shape| shape.to_string()).join(", ");
        let named = TILE_SHAPES.into_iter().find(|shape| shape.to_string() == text);
        named.ok_or_else(|| format!("{text:?} is no shape of a tile; those are {}", all()))
    }
}

/// A tile with its widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tile {
    /// Its size.
    pub(crate) shape: TileShape,
    /// Elements that a thread loads or stores at once along filters.
    pub(crate) width: u32,
    /// Elements that a thread loads or stores at once along channels.
    pub(crate) input_width: u32,
}

impl Tile {
    pub(super) fn space() -> impl Iterator<Item = Self> {
        let widths = WIDTHS.into_iter().flat_map(|width| WIDTHS.map(|input_width| (width, input_width)));
        // Channels are loaded in fours only where filters are.
        let widths = widths.filter(|(width, input_width)| input_width <= width);
        widths.flat_map(|(width, input_width)| TILE_SHAPES.map(|shape| Self { shape, width, input_width }))
    }

    /// Work of a product of `depth` terms. In each step a thread moves its share of the operands into workgroup memory,
    /// and then loads from there what it multiplies.
    pub(super) fn work(&self, p: &Params, loads: Loads, sums: Sums) -> Work {
        let Sums { depth, bytes, row_width, column_width } = sums;
        let TileShape { row_fours, column_fours, thread_rows, thread_columns, slices } = self.shape;
        let (x, y, c, d) = (of(row_fours), of(column_fours), of(thread_rows), of(thread_columns));
        let staged = |elements: f64, width: u32| elements * (loads.of(width) / of(width) + 1.0);
        let staged = staged(4.0 * x / d, row_width) + staged(4.0 * y / c, column_width);
        let slice = depth / of(slices);
        let operations = slice * (staged + product(4.0 * x, 4.0 * y, loads.four * (x + y))) + 16.0 * x * y;
        // The two barriers of a step of 16 terms cost as much as one more load.
        Work {
            threads: c * d * of(slices) * of(p.workgroups),
            operations,
            bytes,
            waits: slice / 8.0,
            ..Work::default()
        }
    }
}

/// The sums that tiles compute, for [`Tile::work`].
pub(super) struct Sums {
    /// Terms of a sum.
    pub(super) depth: f64,
    /// Bytes of the operands and results.
    pub(super) bytes: f64,
    /// Elements of the left operand that are loaded at once.
    pub(super) row_width: u32,
    /// And of the right.
    pub(super) column_width: u32,
}

impl Sums {
    /// Sums of products whose operands lie along channels and along filters.
    pub(super) fn of(tile: Tile, depth: f64, bytes: f64) -> Self {
        Self { depth, bytes, row_width: tile.input_width, column_width: tile.width }
    }

    /// Sums of products both of whose operands lie along filters.
    pub(super) fn along_filters(tile: Tile, depth: f64, bytes: f64) -> Self {
        Self { row_width: tile.width, ..Self::of(tile, depth, bytes) }
    }
}

impl Constant for Tile {
    fn put(self, _: &'static str, to: &mut Constants) {
        let TileShape { row_fours, column_fours, thread_rows, thread_columns, slices } = self.shape;
        to.named.extend([
            ("rows", row_fours),
            ("columns", column_fours),
            ("thread_rows", thread_rows),
            ("thread_columns", thread_columns),
            ("width", self.width),
            ("input_width", self.input_width),
            ("slices", slices),
        ]);
        to.derived.push(("depth", DEPTH));
    }
}

/// Declares a kernel whose `main` is that of `tile.wgsl`: its declaration, its work, its products and its turns.
macro_rules! tiled {
    (
        $(#[$doc:meta])* $kernel:ident: $name:literal, [$($access:ident),*] $(, $weights:ident)?;
        work: $work:expr, products: $products:expr, turns: $turns:expr $(, more_memory: $memory:expr)?
    ) => {
        kernel! {
            $(#[$doc])*
            $kernel: $name, [$($access),*],
            /// Its tile.
            tile: Tile in Tile::space()
            $(, /// How the weights are stored.
            $weights: WeightType in WeightType::ALL)?
        }

        impl Kernel for $kernel {
            fn work(&self, p: &Params, loads: Loads) -> Work {
                let work: fn(Tile, &Params, Loads) -> Work = $work;
                let turns: fn(TileShape, &Params) -> u64 = $turns;
                Work { products: $products(p), turns: turns(self.tile.shape, p), ..work(self.tile, p, loads) }
            }

            fn tile(&self) -> Option<TileShape> {
                Some(self.tile.shape)
            }

            $(fn workgroup_memory(&self) -> u32 {
                self.tile.shape.memory() + $memory
            })?
        }
    };
}
pub(super) use tiled;

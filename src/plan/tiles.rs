//! Which tile computes a product.

use super::{DeviceProfile, Planner};
use crate::kernels::{DEPTH, TILE_SHAPES, TileShape};
use crate::{Error, Result};

/// What a thread does before a tile's steps and after them takes as long as so many multiply-adds.
const AROUND: u32 = 2000;

/// Products that tiles compute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Products {
    pub(super) count: u64,
    pub(super) rows: u32,
    pub(super) columns: u32,
    /// Terms of each sum.
    pub(super) depth: u64,
    /// Those of a column's terms that count, at most; in the others it has holes.
    pub(super) counting: u64,
}

impl Products {
    /// Products without holes, of so many rows and columns.
    pub(super) fn whole(count: u64, [rows, columns]: [u32; 2], depth: u64) -> Self {
        Self { count, rows, columns, depth, counting: depth }
    }

    /// How many tiles they are.
    pub(super) fn tiles(&self, shape: TileShape) -> u64 {
        self.count * shape.tiles(self.rows, self.columns)
    }

    /// Whether at least so many per cent of the tiles' multiplications count: the others lie past the edge, or in holes.
    pub(super) fn use_at_least(&self, shape: TileShape, per_cent: u32) -> bool {
        let all = |rows: u32, columns: u32, terms: u64| f64::from(rows) * f64::from(columns) * terms as f64;
        let tiles = shape.tiles(self.rows, self.columns) as f64;
        let computed = tiles * all(shape.rows(), shape.columns(), self.depth);
        100.0 * all(self.rows, self.columns, self.counting) >= f64::from(per_cent) * computed
    }
}

impl Planner<'_> {
    /// `Strategy::tile_shape`, or the shape that takes least time of those that the device has room for, for products that may depend on
    /// the shape. A step costs a thread its multiply-adds and its loads from workgroup memory; tiles over the edge are paid for whole,
    /// and so are threads of a device that has none to run.
    ///
    /// # Errors
    /// [`Error::Limit`] where the device has room for none.
    pub(super) fn best_shape(&self, products: &dyn Fn(TileShape) -> Products) -> Result<TileShape> {
        let strategy = self.strategy();
        let fits = |shape: &TileShape| {
            shape.memory() <= self.profile.max_workgroup_memory && shape.threads() <= self.profile.max_threads()
        };
        // In multiply-adds of a thread, which have no fractions. A load of four from workgroup memory takes as long as four of them.
        let time = |shape: TileShape| {
            let products = products(shape);
            let running =
                products.tiles(shape).saturating_mul(shape.threads().into()).max(96 * u64::from(strategy.busy_groups));
            let fours = shape.row_fours * shape.column_fours;
            let step = DEPTH * (16 * fours + 4 * (shape.row_fours + shape.column_fours));
            // Where threads share a sum in slices, each slice's sums go through workgroup memory in the end, past two
            // barriers.
            let end = if shape.slices > 1 { 8 * fours * (16 + shape.slices) } else { 0 };
            let one = shape.steps(products.depth) as f64 * f64::from(step) + f64::from(end + AROUND);
            // Workgroups of half as many threads leave a processor half empty, which holds so many of them.
            running as f64 * one * if shape.threads() < 64 { 1.2 } else { 1.0 }
        };
        if let Some(shape) = strategy.tile_shape.filter(|shape| TILE_SHAPES.contains(shape) && fits(shape)) {
            return Ok(shape);
        }
        let fitting = TILE_SHAPES.into_iter().filter(fits).map(|shape| (shape, time(shape)));
        let best = fitting.min_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map(|(shape, _)| shape).ok_or_else(|| self.no_tile())
    }

    /// The error where the device has room for no tile: the smallest needs more memory or threads than it has.
    fn no_tile(&self) -> Error {
        let what = "a tile of a product".into();
        let memory = TILE_SHAPES.map(TileShape::memory).into_iter().min().unwrap_or(0);
        let threads = TILE_SHAPES.map(TileShape::threads).into_iter().min().unwrap_or(0);
        let DeviceProfile { max_workgroup_memory, max_workgroup_size, max_workgroup_width, .. } = *self.profile;
        let (needed, unit, limit, name) = if memory > max_workgroup_memory {
            (memory, "bytes of workgroup memory", max_workgroup_memory, "max_compute_workgroup_storage_size")
        } else if threads > max_workgroup_size {
            (threads, "threads", max_workgroup_size, "max_compute_invocations_per_workgroup")
        } else {
            (threads, "threads", max_workgroup_width, "max_compute_workgroup_size_x")
        };
        Error::Limit { what, needed: needed.into(), unit, limit: limit.into(), name }
    }
}

//! Plans of the dense variant (Keras's implementation 2): the masked matrix `[inputs][outputs]` is written on the
//! device and multiplied. That is done in blocks of whole cells, one after another in the same memory.

use super::gradient::GradWeights;
use super::local::Local;
use super::loop_kernels::{in_fours, tile};
use super::planner::{Launch, OwnScratch};
use super::tiles::Products;
use super::{Chunk, Plan, Resource, Slice};
use crate::kernels::{
    DenseForward, DenseGather, DenseGradInput, DenseGradWeights, DenseScatter, Params, THREADS, TILE_SHAPES, Tile,
    width,
};
use crate::ops::{BufferId, LocalForward, LocalGradInput};
use crate::{Error, Result};

/// The largest dense matrix, in all its blocks, where the caller sets no budget.
const DEFAULT_BUDGET: u64 = 4 << 30;

/// Whole cells of one chunk of the weights, as columns of the dense matrix.
struct Block {
    chunk: u32,
    params: Params,
}

impl Local<'_> {
    /// Bytes of the whole dense matrix, all blocks together.
    fn dense_bytes(&self) -> u64 {
        self.layer.inputs().saturating_mul(self.layer.outputs()).saturating_mul(4)
    }

    /// Whether the dense matrix is within the budget, and one cell's columns within a binding.
    pub(super) fn check_dense(&self) -> Result<()> {
        let needed = self.dense_bytes();
        let budget = self.planner.options.memory_budget.unwrap_or(self.planner.profile.max_buffer.min(DEFAULT_BUDGET));
        if needed > budget {
            return Err(Error::OverBudget { what: "the dense matrix of implementation 2".into(), needed, budget });
        }
        let filters = self.chunks.iter().map(|chunk| u64::from(chunk.filters)).max().unwrap_or(0);
        self.planner.profile.check_piece("one location's columns", 4 * self.layer.inputs() * filters)
    }

    fn blocks(&self) -> Vec<Block> {
        let limit = self.planner.profile.max_piece() / 4;
        let mut blocks = Vec::new();
        for (chunk, index) in self.chunks.iter().zip(0..) {
            let cells = (limit / (self.layer.inputs() * u64::from(chunk.filters))).min(chunk.cells.into()) as u32;
            for first in (0..chunk.cells).step_by(cells as usize) {
                blocks.push(Block {
                    chunk: index,
                    params: self.block_params(chunk, first, cells.min(chunk.cells - first)),
                });
            }
        }
        blocks
    }

    fn block_params(&self, chunk: &Chunk, first: u32, cells: u32) -> Params {
        self.chunk_params(chunk).with(|p| {
            (p.first_cell, p.cells) = (chunk.first_cell + first, cells);
            p.w_base = first * self.layer.window() * chunk.filters;
            (p.dense_rows, p.dense_columns) = (self.layer.inputs() as u32, cells * chunk.filters);
        })
    }

    fn reserve_dense(&self, plan: &mut Plan, blocks: &[Block]) -> Result<()> {
        let elements = |b: &Block| u64::from(b.params.dense_rows) * u64::from(b.params.dense_columns);
        let most = blocks.iter().map(elements).max().unwrap_or(0);
        let what = "a block of the dense matrix of implementation 2";
        self.planner.reserve(plan, OwnScratch { resource: Resource::DenseMatrix, what }, 4 * most)
    }

    /// Writes a block of the matrix: zeroes, then the weights to where they belong.
    fn expand(&self, plan: &mut Plan, block: &Block, weights: BufferId) -> Result<()> {
        let params = &block.params;
        let elements = u64::from(params.dense_rows) * u64::from(params.dense_columns);
        self.planner.fill(plan, Resource::DenseMatrix, elements)?;
        let workgroups = u64::from(params.dense_columns).div_ceil(THREADS.into());
        for part in self.planner.parts(params.window.into(), 1, 1) {
            let params = params.with(|p| (p.row, p.count) = (part.first, part.count));
            let bindings = vec![
                Slice::whole(Resource::Chunk(weights, block.chunk)),
                Slice::whole(Resource::Tables),
                Slice::whole(Resource::DenseMatrix),
            ];
            let variant = DenseScatter { weights: self.layer.config().dtype }.listed()?;
            self.planner.dispatch(plan, Launch { variant, params, workgroups, bindings })?;
        }
        Ok(())
    }

    /// The tile of a product of so many rows, columns and terms, and the number of tiles.
    fn dense_tile(&self, p: &Params, [rows, columns, terms]: [u32; 3]) -> Result<(Tile, u64)> {
        let products = Products::whole(1, [rows, columns], terms.into());
        let shape = self.planner.best_shape(&|_| products)?;
        Ok((tile(shape, dense_widths(p)), shape.tiles(rows, columns)))
    }

    pub(super) fn dense_forward(&self, o: &LocalForward, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let bias = o.bias.map_or(Resource::Tables, Resource::Buffer);
        let blocks = self.blocks();
        self.reserve_dense(&mut plan, &blocks)?;
        // Parts are multiples of a tile's depth, so that a part of the matrix begins where a binding may begin.
        let parts: Vec<_> = self.planner.parts(self.layer.inputs(), 64, TILE_SHAPES[0].turns(64)).collect();
        for block in &blocks {
            self.expand(&mut plan, block, o.weights)?;
            for samples in self.samples(batch)? {
                for part in &parts {
                    let fused = part.activation(o.activation);
                    let mut params = block.params.with_activation(fused);
                    let (x, y) = self.operands(&mut params, samples, [o.input, o.output]);
                    params.dense_rows = part.count;
                    params.x_base += part.first;
                    part.continue_sum(&mut params);
                    let sizes = [samples.count, params.dense_columns, params.dense_rows];
                    let (tile, workgroups) = self.dense_tile(&params, sizes)?;
                    let variant = DenseForward { tile }.listed()?;
                    let columns = u64::from(params.dense_columns);
                    let [first, count] = [part.first, part.count].map(|rows| u64::from(rows) * columns);
                    let (of_part, _) = self.planner.slice(Resource::DenseMatrix, first, count);
                    let d = if parts.len() == 1 { Slice::whole(Resource::DenseMatrix) } else { of_part };
                    let bindings = vec![x, d, Slice::whole(bias), y];
                    self.planner.dispatch(&mut plan, Launch { variant, params, workgroups, bindings })?;
                }
            }
        }
        Ok(plan)
    }

    pub(super) fn dense_grad_input(&self, o: &LocalGradInput, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let blocks = self.blocks();
        self.reserve_dense(&mut plan, &blocks)?;
        for (block, index) in blocks.iter().zip(0..) {
            self.expand(&mut plan, block, o.weights)?;
            for samples in self.samples(batch)? {
                let mut params = block.params;
                params.accumulate = u32::from(index > 0);
                let (dx, dz) = self.operands(&mut params, samples, [o.grad_input, o.grad_output]);
                let sizes = [samples.count, params.dense_rows, params.dense_columns];
                let (tile, workgroups) = self.dense_tile(&params, sizes)?;
                let variant = DenseGradInput { tile }.listed()?;
                let bindings = vec![Slice::whole(Resource::DenseMatrix), dz, dx];
                self.planner.dispatch(&mut plan, Launch { variant, params, workgroups, bindings })?;
            }
        }
        Ok(plan)
    }

    pub(super) fn dense_grad_weights(&self, o: &GradWeights<'_>, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let blocks = self.blocks();
        self.reserve_dense(&mut plan, &blocks)?;
        for (block, at) in blocks.iter().zip(0..) {
            for samples in self.samples(batch)? {
                let mut params = block.params;
                params.accumulate = u32::from(samples.first > 0);
                let (x, dz) = self.operands(&mut params, samples, [o.input, o.grad_output]);
                let sizes = [params.dense_rows, params.dense_columns, samples.count];
                let (tile, workgroups) = self.dense_tile(&params, sizes)?;
                let variant = DenseGradWeights { tile }.listed()?;
                let bindings = vec![x, dz, Slice::whole(Resource::DenseMatrix)];
                self.planner.dispatch(&mut plan, Launch { variant, params, workgroups, bindings })?;
            }
            let count = u64::from(block.params.dense_columns) * u64::from(self.layer.window());
            let accumulate = u32::from(o.accumulates());
            let params = block.params.with(|p| (p.count, p.accumulate) = (count as u32, accumulate));
            let chunk = &self.chunks[block.chunk as usize];
            let gradient = self.gradient(&mut plan, o, (chunk, block.chunk))?;
            let bindings = vec![Slice::whole(Resource::DenseMatrix), Slice::whole(Resource::Tables), gradient];
            self.planner.dispatch(&mut plan, Launch::per_element(DenseGather {}.listed()?, params, bindings))?;
            if blocks.get(at + 1).is_none_or(|next| next.chunk != block.chunk) {
                self.finish(&mut plan, o, (chunk, block.chunk))?;
            }
        }
        Ok(plan)
    }
}

/// The widths of a dense product: its columns are filters, its inputs are channels.
fn dense_widths(p: &Params) -> [u32; 2] {
    let inputs = [p.dense_rows, p.x_base, p.x_sample].iter().all(|size| size.is_multiple_of(4));
    let columns = in_fours(p, false);
    [width(columns), width(columns && inputs)]
}

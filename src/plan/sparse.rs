//! Plans of the sparse variant (Keras's implementation 3) and of layers with a connectivity of the user's.

use super::gradient::{GradWeights, Turn};
use super::local::Local;
use super::loop_kernels::largest;
use super::planner::Launch;
use super::{Chunk, Plan, Resource, Slice};
use crate::Result;
use crate::geometry::SparseIndex;
use crate::kernels::{FILTERS, IMAGES, Params, SparseForward, SparseGradInput, SparseGradWeights, THREADS, fused_code};

use crate::ops::{LocalForward, LocalGradInput};

impl Local<'_> {
    /// Checks that the sparse index fits a binding.
    pub(super) fn check_sparse(&self) -> Result<()> {
        self.planner.profile.check_piece("the sparse index", 4 * SparseIndex::len_of(&self.layer))
    }

    fn sparse_params(&self, chunk: &Chunk) -> Params {
        let forward_1 = self.layer.cells() + 1;
        let starts_0 = forward_1 + 2 * self.layer.entries() as u32;
        let inverse_0 = starts_0 + self.layer.inputs() as u32 + 1;
        self.chunk_params(chunk).with(|p| {
            (p.forward[0], p.forward[1], p.starts[0], p.inverse[0]) = (0, forward_1, starts_0, inverse_0);
        })
    }

    pub(super) fn sparse_forward(&self, o: &LocalForward, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let bias = o.bias.map_or(Resource::SparseIndex, Resource::Buffer);
        let dtype = self.layer.config().dtype;
        let parts: Vec<_> = self.planner.parts(self.layer.most_entries(), 1, 1).collect();
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                for part in &parts {
                    let fused = part.activation(o.activation);
                    let mut params = self.sparse_params(chunk).with_activation(fused);
                    let (x, y) = self.operands(&mut params, samples, [o.input, o.output]);
                    (params.row, params.count) = (part.first, part.count);
                    part.continue_sum(&mut params);
                    let filters = largest(&FILTERS, 8, chunk.filters);
                    let columns = u64::from(chunk.cells) * u64::from(chunk.filters.div_ceil(filters));
                    let workgroups = columns.div_ceil(THREADS.into());
                    let images = self.images(8, samples.count, workgroups);
                    let workgroups = workgroups * u64::from(samples.count.div_ceil(images));
                    let (activation, most) = (fused_code(fused), self.ahead(chunk));
                    let of = |ahead| SparseForward { images, filters, activation, ahead, weights: dtype }.listed();
                    let kernel = if most < SparseForward::MOST_AHEAD {
                        of(1)
                    } else {
                        of(SparseForward::MOST_AHEAD).or_else(|_| of(1))
                    }?;
                    let whole = Slice::whole;
                    let bindings =
                        vec![whole(Resource::Chunk(o.weights, index)), x, whole(bias), whole(Resource::SparseIndex), y];
                    self.planner.dispatch(&mut plan, Launch { variant: kernel, params, workgroups, bindings })?;
                }
            }
        }
        Ok(plan)
    }

    /// How many entries a thread of the forward kernel loads together: 1 where rows are short.
    fn ahead(&self, chunk: &Chunk) -> u32 {
        let long = chunk.entries >= u64::from(SparseForward::MOST_AHEAD) * u64::from(chunk.cells);
        if long { self.planner.strategy().sparse_ahead } else { 1 }
    }

    pub(super) fn sparse_grad_input(&self, o: &LocalGradInput, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let dtype = self.layer.config().dtype;
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.sparse_params(chunk);
                params.accumulate = u32::from(index > 0);
                let (dx, dz) = self.operands(&mut params, samples, [o.grad_input, o.grad_output]);
                let images = largest(&IMAGES, 8, samples.count);
                let workgroups =
                    self.layer.inputs().div_ceil(THREADS.into()) * u64::from(samples.count.div_ceil(images));
                let bindings =
                    vec![Slice::whole(Resource::Chunk(o.weights, index)), dz, Slice::whole(Resource::SparseIndex), dx];
                let variant = SparseGradInput { images, weights: dtype }.listed()?;
                self.planner.dispatch(&mut plan, Launch { variant, params, workgroups, bindings })?;
            }
        }
        Ok(plan)
    }

    pub(super) fn sparse_grad_weights(&self, o: &GradWeights<'_>, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        for Turn { samples, chunk, index, last } in self.turns(o, batch)? {
            if chunk.is_empty() {
                continue;
            }
            let mut params = self.sparse_params(chunk);
            params.accumulate = u32::from(samples.first > 0 || o.accumulates());
            let (x, dz) = self.operands(&mut params, samples, [o.input, o.grad_output]);
            let filters = largest(&FILTERS, 8, chunk.filters);
            let threads = chunk.entries * u64::from(chunk.filters.div_ceil(filters));
            let gradient = self.gradient(&mut plan, o, (chunk, index))?;
            let bindings = vec![x, dz, Slice::whole(Resource::SparseIndex), gradient];
            let variant = SparseGradWeights { filters }.listed()?;
            let workgroups = threads.div_ceil(THREADS.into());
            self.planner.dispatch(&mut plan, Launch { variant, params, workgroups, bindings })?;
            if last {
                self.finish(&mut plan, o, (chunk, index))?;
            }
        }
        Ok(plan)
    }
}

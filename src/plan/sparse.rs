//! Plans of the sparse variant (Keras's implementation 3) and of layers with a connectivity of the user's.

use super::loop_kernels::largest;
use super::{Chunk, Plan, Planner, Role, Slice};
use crate::Result;
use crate::config::{Activation, Bias};
use crate::geometry::SparseIndex;
use crate::kernel::{
    FILTERS, IMAGES, Kernel, Params, SparseForward, SparseGradInput, SparseGradKernel, THREADS, fused_code,
};

impl Planner<'_> {
    /// Whether the sparse index fits a binding.
    pub(super) fn check_sparse(&self) -> Result<()> {
        self.profile.check_piece("the sparse index", 4 * SparseIndex::len_of(self.geometry))
    }

    fn sparse_params(&self, chunk: &Chunk) -> Params {
        let forward_1 = self.geometry.cells() + 1;
        let starts_0 = forward_1 + 2 * self.geometry.entries() as u32;
        let inverse_0 = starts_0 + self.geometry.inputs() as u32 + 1;
        Params { forward_0: 0, forward_1, starts_0, inverse_0, ..self.chunk_params(chunk) }
    }

    pub(super) fn sparse_forward(&self, plan: &mut Plan, batch: u32, fused: Activation, target: Role) -> Result<()> {
        let bias = if self.geometry.config().bias == Bias::None { Role::SparseIndex } else { Role::Bias };
        let dtype = self.geometry.config().dtype;
        let parts: Vec<_> = self.parts(self.geometry.most_entries(), 1, 1).collect();
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                for part in &parts {
                    let fused = part.activation(fused);
                    let mut params = self.sparse_params(chunk).with_activation(fused);
                    let (x, y) = self.operands(&mut params, samples, Role::Input, target);
                    (params.row, params.count) = (part.first, part.count);
                    part.continue_sum(&mut params);
                    let filters = largest(&FILTERS, 8, chunk.filters);
                    let columns = u64::from(chunk.cells) * u64::from(chunk.filters.div_ceil(filters));
                    let groups = columns.div_ceil(THREADS.into());
                    let images = self.images(8, samples.count, groups);
                    let groups = groups * u64::from(samples.count.div_ceil(images));
                    let (activation, most) = (fused_code(fused), self.ahead(chunk));
                    let of = |ahead| SparseForward { images, filters, activation, ahead, weights: dtype }.listed();
                    let kernel = if most < SparseForward::MOST_AHEAD {
                        of(1)
                    } else {
                        of(SparseForward::MOST_AHEAD).or_else(|_| of(1))
                    }?;
                    let whole = Slice::whole;
                    let bindings = vec![whole(Role::Kernel(index)), x, whole(bias), whole(Role::SparseIndex), y];
                    self.dispatch(plan, kernel, params, groups, bindings)?;
                }
            }
        }
        Ok(())
    }

    /// Most entries that a thread of the forward kernel loads together: of short rows one.
    fn ahead(&self, chunk: &Chunk) -> u32 {
        let long = chunk.entries >= u64::from(SparseForward::MOST_AHEAD) * u64::from(chunk.cells);
        if long { self.strategy().sparse_ahead } else { 1 }
    }

    pub(super) fn sparse_grad_input(&self, plan: &mut Plan, batch: u32, dz: Role) -> Result<()> {
        let dtype = self.geometry.config().dtype;
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.sparse_params(chunk);
                params.accumulate = u32::from(index > 0);
                let (dx, dz) = self.operands(&mut params, samples, Role::GradInput, dz);
                let images = largest(&IMAGES, 8, samples.count);
                let groups =
                    self.geometry.inputs().div_ceil(THREADS.into()) * u64::from(samples.count.div_ceil(images));
                let bindings = vec![Slice::whole(Role::Kernel(index)), dz, Slice::whole(Role::SparseIndex), dx];
                self.dispatch(plan, SparseGradInput { images, weights: dtype }.listed()?, params, groups, bindings)?;
            }
        }
        Ok(())
    }

    pub(super) fn sparse_grad_kernel(&self, plan: &mut Plan, batch: u32, dz: Role) -> Result<()> {
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..).filter(|(chunk, _)| !chunk.is_empty()) {
                let mut params = self.sparse_params(chunk);
                params.accumulate = u32::from(samples.first > 0);
                let (x, dz) = self.operands(&mut params, samples, Role::Input, dz);
                let filters = largest(&FILTERS, 8, chunk.filters);
                let threads = chunk.entries * u64::from(chunk.filters.div_ceil(filters));
                let bindings = vec![x, dz, Slice::whole(Role::SparseIndex), Slice::whole(Role::GradKernel(index))];
                let variant = SparseGradKernel { filters }.listed()?;
                self.dispatch(plan, variant, params, threads.div_ceil(THREADS.into()), bindings)?;
            }
        }
        Ok(())
    }
}

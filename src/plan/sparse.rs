//! Plans of the sparse variant (Keras's implementation 3) and of layers with a connectivity of the user's.

use super::elementwise::{FUSED, fused_code};
use super::loop_kernels::{FILTERS, IMAGES, THREADS, tile};
use super::{Chunk, Plan, Planner, Role, Slice};
use crate::Result;
use crate::config::{Activation, Bias};
use crate::geometry::SparseIndex;
use crate::kernel::{Kernel, Params, Variant};

/// `AHEAD` of the forward kernel where not 1, and most sums of a thread there: more make loads enough to wait for.
const MOST_AHEAD: u32 = 4;
const SUMS_AHEAD: u32 = 16;

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
        let parts: Vec<_> = self.parts(self.most_entries(), 1, 1).collect();
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                for part in &parts {
                    let fused = part.activation(fused);
                    let mut params = self.sparse_params(chunk).with_activation(fused);
                    let (x, y) = self.operands(&mut params, samples, Role::Input, target);
                    (params.row, params.count) = (part.first, part.count);
                    part.continue_sum(&mut params);
                    let filters = tile(&FILTERS, 8, chunk.filters);
                    let columns = u64::from(chunk.cells) * u64::from(chunk.filters.div_ceil(filters));
                    let groups = columns.div_ceil(THREADS);
                    let images = self.images(8, samples.count, groups);
                    let groups = groups * u64::from(samples.count.div_ceil(images));
                    let constants = [images, filters, fused_code(fused), self.ahead(images * filters, chunk)];
                    let whole = Slice::whole;
                    let bindings = vec![whole(Role::Kernel(index)), x, whole(bias), whole(Role::SparseIndex), y];
                    self.dispatch(plan, Kernel::SparseForward.variant(&constants), params, groups, bindings)?;
                }
            }
        }
        Ok(())
    }

    /// Entries that a thread of the forward kernel loads together: few sums in registers, and few loads, are to a row.
    fn ahead(&self, sums: u32, chunk: &Chunk) -> u32 {
        let long = chunk.entries >= u64::from(MOST_AHEAD) * u64::from(chunk.cells);
        if long && sums <= SUMS_AHEAD && self.strategy().sparse_ahead >= MOST_AHEAD { MOST_AHEAD } else { 1 }
    }

    pub(super) fn sparse_grad_input(&self, plan: &mut Plan, batch: u32, dz: Role) -> Result<()> {
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.sparse_params(chunk);
                params.accumulate = u32::from(index > 0);
                let (dx, dz) = self.operands(&mut params, samples, Role::GradInput, dz);
                let images = tile(&IMAGES, 8, samples.count);
                let groups = self.geometry.inputs().div_ceil(THREADS) * u64::from(samples.count.div_ceil(images));
                let bindings = vec![Slice::whole(Role::Kernel(index)), dz, Slice::whole(Role::SparseIndex), dx];
                self.dispatch(plan, Kernel::SparseGradInput.variant(&[images]), params, groups, bindings)?;
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
                let filters = tile(&FILTERS, 8, chunk.filters);
                let threads = chunk.entries * u64::from(chunk.filters.div_ceil(filters));
                let bindings = vec![x, dz, Slice::whole(Role::SparseIndex), Slice::whole(Role::GradKernel(index))];
                let variant = Kernel::SparseGradKernel.variant(&[filters]);
                self.dispatch(plan, variant, params, threads.div_ceil(THREADS), bindings)?;
            }
        }
        Ok(())
    }
}

/// Every variant of these kernels that a plan can ask for.
pub(super) fn variants() -> Vec<Variant> {
    let mut variants = Vec::new();
    for images in &IMAGES[..4] {
        for activation in FUSED {
            for filters in FILTERS {
                let most = if images * filters <= SUMS_AHEAD { MOST_AHEAD } else { 1 };
                let ahead = [1, MOST_AHEAD].into_iter().filter(|&ahead| ahead <= most);
                variants.extend(ahead.map(|a| Kernel::SparseForward.variant(&[*images, filters, activation, a])));
            }
        }
        variants.push(Kernel::SparseGradInput.variant(&[*images]));
    }
    variants.extend(FILTERS.map(|filters| Kernel::SparseGradKernel.variant(&[filters])));
    variants
}

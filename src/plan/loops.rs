//! Plans of the loop variant (Keras's implementation 1): forward, input gradient, kernel gradient.

use super::{Plan, Planner, Role, Samples, Slice};
use crate::Result;
use crate::config::{Activation, Bias};
use crate::kernel::{Kernel, Params};

/// Threads of a workgroup in these kernels.
const THREADS: u64 = 64;

/// Samples a thread computes at once.
fn images(batch: u32) -> u32 {
    batch.next_power_of_two().min(8)
}

impl Planner<'_> {
    /// Input and output ranges of some samples: bindings and bases in `params`.
    fn operands(&self, params: &mut Params, samples: Samples, x: Role, y: Role) -> (Slice, Slice) {
        let count = u64::from(samples.count);
        let range = |role, elements: u64| self.slice(role, samples.first * elements, count * elements);
        let (x, x_base) = range(x, self.geometry.inputs());
        let (y, y_base) = range(y, self.geometry.outputs());
        (params.batch, params.x_base, params.y_base) = (samples.count, x_base, y_base);
        (x, y)
    }

    fn chunk_params(&self, chunk: &super::Chunk) -> Params {
        Params {
            first_cell: chunk.first_cell,
            cells: chunk.cells,
            first_filter: chunk.first_filter,
            filters: chunk.filters,
            ..self.params()
        }
    }

    pub(super) fn loop_forward(&self, plan: &mut Plan, batch: u32, fused: Activation, target: Role) -> Result<()> {
        let bias = if self.geometry.config().bias == Bias::None { Role::Tables } else { Role::Bias };
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.chunk_params(chunk).with_activation(fused);
                let (x, y) = self.operands(&mut params, samples, Role::Input, target);
                let images = images(samples.count);
                let columns = u64::from(chunk.cells) * u64::from(chunk.filters);
                let groups = columns.div_ceil(THREADS) * u64::from(samples.count.div_ceil(images));
                let bindings =
                    vec![x, Slice::whole(Role::Kernel(index)), Slice::whole(bias), Slice::whole(Role::Tables), y];
                self.dispatch(plan, Kernel::LoopForward.variant(&[images]), params, groups, bindings)?;
            }
        }
        Ok(())
    }

    pub(super) fn loop_grad_input(&self, plan: &mut Plan, batch: u32, dz: Role) -> Result<()> {
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.chunk_params(chunk);
                params.accumulate = u32::from(index > 0);
                let (dx, dz) = self.operands(&mut params, samples, Role::GradInput, dz);
                let images = images(samples.count);
                let groups = self.geometry.inputs().div_ceil(THREADS) * u64::from(samples.count.div_ceil(images));
                let bindings = vec![Slice::whole(Role::Kernel(index)), dz, Slice::whole(Role::Tables), dx];
                self.dispatch(plan, Kernel::LoopGradInput.variant(&[images]), params, groups, bindings)?;
            }
        }
        Ok(())
    }

    pub(super) fn loop_grad_kernel(&self, plan: &mut Plan, batch: u32, dz: Role) -> Result<()> {
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.chunk_params(chunk);
                params.accumulate = u32::from(samples.first > 0);
                params.count = chunk.len() as u32;
                let (x, dz) = self.operands(&mut params, samples, Role::Input, dz);
                let bindings = vec![x, dz, Slice::whole(Role::Tables), Slice::whole(Role::GradKernel(index))];
                let groups = chunk.len().div_ceil(THREADS);
                self.dispatch(plan, Kernel::LoopGradKernel.variant(&[]), params, groups, bindings)?;
            }
        }
        Ok(())
    }
}

/// Every variant of these kernels that a plan can ask for.
pub(super) fn variants() -> impl Iterator<Item = crate::kernel::Variant> {
    let images = [1, 2, 4, 8].into_iter();
    images
        .flat_map(|images| [Kernel::LoopForward.variant(&[images]), Kernel::LoopGradInput.variant(&[images])])
        .chain([Kernel::LoopGradKernel.variant(&[])])
}

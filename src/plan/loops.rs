//! Plans of the loop variant (Keras's implementation 1): forward, input gradient, kernel gradient. Which kernel computes
//! each is chosen in `loop_kernels.rs`.

use super::{Plan, Planner, Role, Samples, Slice};
use crate::Result;
use crate::config::{Activation, Bias};
use crate::kernel::Params;

impl Planner<'_> {
    /// Input and output ranges of some samples: bindings and bases in `params`.
    pub(super) fn operands(&self, params: &mut Params, samples: Samples, x: Role, y: Role) -> (Slice, Slice) {
        let count = u64::from(samples.count);
        let range = |role, elements: u64| self.slice(role, samples.first * elements, count * elements);
        let (x, x_base) = range(x, self.geometry.inputs());
        let (y, y_base) = range(y, self.geometry.outputs());
        (params.batch, params.x_base, params.y_base) = (samples.count, x_base, y_base);
        (x, y)
    }

    pub(super) fn chunk_params(&self, chunk: &super::Chunk) -> Params {
        Params {
            first_cell: chunk.first_cell,
            cells: chunk.cells,
            first_filter: chunk.first_filter,
            filters: chunk.filters,
            first_entry: chunk.first_entry as u32,
            entries: chunk.entries as u32,
            ..self.params()
        }
    }

    pub(super) fn loop_forward(&self, plan: &mut Plan, batch: u32, fused: Activation, target: Role) -> Result<()> {
        let bias = if self.geometry.config().bias == Bias::None { Role::Tables } else { Role::Bias };
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.chunk_params(chunk).with_activation(fused);
                let (x, y) = self.operands(&mut params, samples, Role::Input, target);
                let (variant, groups) = self.forward_kernel(&params, fused)?;
                let bindings =
                    vec![Slice::whole(Role::Kernel(index)), x, Slice::whole(bias), Slice::whole(Role::Tables), y];
                self.dispatch(plan, variant, params, groups, bindings)?;
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
                let (variant, groups) = self.grad_input_kernel(&params)?;
                let bindings = vec![Slice::whole(Role::Kernel(index)), dz, Slice::whole(Role::Tables), dx];
                self.dispatch(plan, variant, params, groups, bindings)?;
            }
        }
        Ok(())
    }

    pub(super) fn loop_grad_kernel(&self, plan: &mut Plan, batch: u32, dz: Role) -> Result<()> {
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.chunk_params(chunk);
                params.accumulate = u32::from(samples.first > 0);
                let (x, dz) = self.operands(&mut params, samples, Role::Input, dz);
                let (variant, groups) = self.grad_kernel_kernel(&params)?;
                let bindings = vec![x, dz, Slice::whole(Role::Tables), Slice::whole(Role::GradKernel(index))];
                self.dispatch(plan, variant, params, groups, bindings)?;
            }
        }
        Ok(())
    }
}

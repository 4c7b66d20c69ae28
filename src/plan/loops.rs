//! Plans of the loop variant (Keras's implementation 1): forward, input gradient, weight gradient. Which kernel computes
//! each is chosen in `loop_kernels.rs`.

use super::gradient::{GradWeights, Turn};
use super::local::Local;
use super::planner::Launch;
use super::{Plan, Resource, Slice};
use crate::Result;
use crate::ops::{LocalForward, LocalGradInput};

impl Local<'_> {
    pub(super) fn loop_forward(&self, o: &LocalForward, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let bias = o.bias.map_or(Resource::Tables, Resource::Buffer);
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.chunk_params(chunk).with_activation(o.activation);
                let (x, y) = self.operands(&mut params, samples, [o.input, o.output]);
                let (variant, workgroups) = self.forward_kernel(&params, o.activation)?;
                let weights = Slice::whole(Resource::Chunk(o.weights, index));
                let bindings = vec![weights, x, Slice::whole(bias), Slice::whole(Resource::Tables), y];
                self.planner.dispatch(&mut plan, Launch { variant, params, workgroups, bindings })?;
            }
        }
        Ok(plan)
    }

    pub(super) fn loop_grad_input(&self, o: &LocalGradInput, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.chunk_params(chunk);
                params.accumulate = u32::from(index > 0);
                let (dx, dz) = self.operands(&mut params, samples, [o.grad_input, o.grad_output]);
                let (variant, workgroups) = self.grad_input_kernel(&params)?;
                let weights = Slice::whole(Resource::Chunk(o.weights, index));
                let bindings = vec![weights, dz, Slice::whole(Resource::Tables), dx];
                self.planner.dispatch(&mut plan, Launch { variant, params, workgroups, bindings })?;
            }
        }
        Ok(plan)
    }

    pub(super) fn loop_grad_weights(&self, o: &GradWeights<'_>, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        for turn in self.turns(o, batch)? {
            let Turn { samples, chunk, index, last } = turn;
            let mut params = self.chunk_params(chunk);
            params.accumulate = u32::from(samples.first > 0 || o.accumulates());
            let (x, dz) = self.operands(&mut params, samples, [o.input, o.grad_output]);
            let (variant, workgroups) = self.grad_weights_kernel(&params)?;
            #[cfg(feature = "models")]
            if let Some((update, change)) = self.updating(&variant, o, &turn) {
                let bindings = [x, dz, Slice::whole(Resource::Tables)]
                    .into_iter()
                    .chain(super::update::changed_chunk(change, index));
                let (params, bindings) = (params.with_change(change), bindings.collect());
                self.planner.dispatch(&mut plan, Launch { variant: update, params, workgroups, bindings })?;
                continue;
            }
            let gradient = self.gradient(&mut plan, o, (chunk, index))?;
            let bindings = vec![x, dz, Slice::whole(Resource::Tables), gradient];
            self.planner.dispatch(&mut plan, Launch { variant, params, workgroups, bindings })?;
            if last {
                self.finish(&mut plan, o, (chunk, index))?;
            }
        }
        Ok(plan)
    }
}

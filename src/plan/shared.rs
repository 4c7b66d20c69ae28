//! Plans of the gradient of weights that locations share: one long sum over samples and locations. It is cut into parts
//! of some locations each. Workgroups sum the parts in parallel, and `add_parts` adds them in their order. So a GPU is
//! busy, no driver ends the loops, and rounding stays that of short sums.

use super::gradient::{GradWeights, Turn};
use super::local::Local;
use super::loop_kernels::{Chosen, largest, widths};
use super::planner::{Launch, OwnScratch};
use super::{Plan, Resource, Samples, Slice};
use crate::kernels::{AddParts, Declared, LoopGradWeightsShared, Params, THREADS, width};
use crate::{Error, Result};

/// The most terms of a part. In longer sums f32 would lose more than the order of summation does.
const PART_TERMS: u64 = 4096;
/// The most bytes of parts that are added at once.
const PARTS_BYTES: u64 = 64 << 20;
/// The most parts that are added at once.
const PARTS: u64 = 1024;

/// How the locations are cut.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// Locations of a part.
    locations: u32,
    /// How many parts are added at once; a single part goes straight into the gradient.
    parts: u32,
}

impl Local<'_> {
    pub(super) fn shared_grad_weights(&self, o: &GradWeights<'_>, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let all = self.layer.locations();
        for Turn { samples, chunk, index, .. } in self.turns(o, batch)? {
            let mut params = self.chunk_params(chunk);
            let (x, dz) = self.operands(&mut params, samples, [o.input, o.grad_output]);
            let gradient = self.gradient(&mut plan, o, (chunk, index))?;
            let cut = self.cut_locations(&params, samples, chunk.len())?;
            let round = cut.locations.saturating_mul(cut.parts);
            let sums = if cut.parts > 1 { Slice::whole(Resource::Parts) } else { gradient };
            if cut.parts > 1 {
                let own = OwnScratch { resource: Resource::Parts, what: "the parts of a gradient's sums" };
                self.planner.reserve(&mut plan, own, 4 * u64::from(cut.parts) * chunk.len())?;
            }
            for first in (0..all).step_by(round as usize) {
                let end = all.min(first.saturating_add(round));
                let accumulate = u32::from(samples.first > 0 || first > 0 || o.accumulates());
                let params = params.with(|p| {
                    (p.first_location, p.end_location) = (first, end);
                    p.part_locations = cut.locations.min(end - first);
                    p.parts = (end - first).div_ceil(cut.locations);
                    p.accumulate = if cut.parts > 1 { 0 } else { accumulate };
                });
                let (variant, workgroups) = self.shared_grad_weights_variant(&params)?;
                let bindings = vec![x, dz, Slice::whole(Resource::Tables), sums];
                self.planner.dispatch(&mut plan, Launch { variant, params, workgroups, bindings })?;
                if cut.parts > 1 {
                    let width = width(chunk.len().is_multiple_of(4));
                    let count = chunk.len() as u32 / width;
                    let params = params.with(|p| (p.count, p.accumulate) = (count, accumulate));
                    let variant = AddParts { width }.listed()?;
                    self.planner.dispatch(&mut plan, Launch::per_element(variant, params, vec![sums, gradient]))?;
                }
            }
        }
        Ok(plan)
    }

    fn cut_locations(&self, p: &Params, samples: Samples, weights: u64) -> Result<Cut> {
        let (planner, all, batch) = (&self.planner, u64::from(self.layer.locations()), u64::from(samples.count));
        let most = (planner.profile.max_iterations / (batch + 2)).clamp(1, all);
        let one = p.with(|p| (p.parts, p.part_locations, p.end_location) = (1, most as u32, all as u32));
        let (_, workgroups) = self.shared_grad_weights_variant(&one)?;
        let wanted = u64::from(planner.strategy().busy_groups).div_ceil(workgroups);
        let locations = all.div_ceil(wanted).min((PART_TERMS / batch).max(1)).min(most);
        let bytes = PARTS_BYTES.min(planner.profile.max_piece()).min(planner.options.memory_budget.unwrap_or(u64::MAX));
        let adding = planner.profile.max_iterations.saturating_sub(4);
        let parts = all.div_ceil(locations).min(bytes / (4 * weights).max(1)).min(PARTS).min(adding);
        if parts > 1 {
            return Ok(Cut { locations: locations as u32, parts: parts as u32 });
        }
        Ok(Cut { locations: most as u32, parts: 1 })
    }

    fn shared_grad_weights_variant(&self, p: &Params) -> Result<Chosen> {
        let [width, input_width] = widths(p);
        let (units, inputs) = (p.filters / width, p.group_channels / input_width);
        let fitting = |channels: &u32| inputs.is_multiple_of(*channels);
        let filters = largest(&LoopGradWeightsShared::FILTERS, 4, units);
        let filters = LoopGradWeightsShared::FILTERS.into_iter().rev().filter(move |&size| size <= filters);
        let mut kernels = filters.flat_map(|filters| {
            let channels = LoopGradWeightsShared::CHANNELS.into_iter().rev().filter(fitting);
            channels.map(move |channels| LoopGradWeightsShared { channels, filters, width, input_width })
        });
        let kernel = kernels.find(Declared::is_listed);
        let kernel = kernel.ok_or(Error::NoKernel { kernel: LoopGradWeightsShared::NAME })?;
        let rows = u64::from(p.weight_cells) * u64::from(p.taps) * u64::from(inputs / kernel.channels);
        let threads = u64::from(p.parts) * rows * u64::from(units.div_ceil(kernel.filters));
        Ok((kernel.listed()?, threads.div_ceil(THREADS.into())))
    }
}

//! Plans of a locally connected layer's operations: what is the same for all of its implementations.

use super::{Chunk, Plan, PlanOptions, Planner, Resource, Samples, Slice, cut};
use crate::Result;
use crate::config::{Bias, Implementation};
use crate::geometry::Geometry;
use crate::kernels::{GradBias, GradBiasShared, Kernel, Params, THREADS, tap_tables_length, width};
use crate::ops::{self, BufferId, LocalForward, LocalGradInput, LocalGradWeights, Shape};

/// A layer on a device.
#[derive(Debug, Clone)]
pub(super) struct Local<'a> {
    pub(super) planner: Planner<'a>,
    pub(super) layer: &'a Geometry,
    /// How its weights are cut.
    pub(super) chunks: Vec<Chunk>,
}

impl<'a> Local<'a> {
    /// # Errors
    /// Those of [`cut`]; [`Error::Limit`](crate::Error::Limit) where the tap tables or the bias can't be bound.
    pub(super) fn new(planner: Planner<'a>, layer: &'a Geometry) -> Result<Self> {
        let chunks = cut(&Shape::of_weights(layer), planner.profile)?;
        planner.profile.check_piece("the tap tables", 4 * tap_tables_length(layer))?;
        planner.profile.check_piece("the bias", 4 * layer.biases())?;
        Ok(Self { planner, layer, chunks })
    }

    pub(super) fn with_options(&self, options: PlanOptions) -> Self {
        Self { planner: self.planner.with_options(options), ..self.clone() }
    }

    pub(super) fn forward(&self, by: Implementation, o: &LocalForward, batch: u32) -> Result<Plan> {
        match by {
            Implementation::DenseMatmul => self.dense_forward(o, batch),
            Implementation::SparseGather => self.sparse_forward(o, batch),
            Implementation::Loop => self.loop_forward(o, batch),
        }
    }

    pub(super) fn grad_input(&self, by: Implementation, o: &LocalGradInput, batch: u32) -> Result<Plan> {
        match by {
            Implementation::DenseMatmul => self.dense_grad_input(o, batch),
            Implementation::SparseGather => self.sparse_grad_input(o, batch),
            Implementation::Loop => self.loop_grad_input(o, batch),
        }
    }

    pub(super) fn grad_weights(&self, by: Implementation, o: &LocalGradWeights, batch: u32) -> Result<Plan> {
        match by {
            _ if batch == 0 => self.no_gradient(o),
            Implementation::DenseMatmul => self.dense_grad_weights(o, batch),
            Implementation::SparseGather => self.sparse_grad_weights(o, batch),
            Implementation::Loop => self.loop_grad_weights(o, batch),
        }
    }

    /// The sums over no samples.
    fn no_gradient(&self, o: &LocalGradWeights) -> Result<Plan> {
        let mut plan = Plan::default();
        for (chunk, index) in self.chunks.iter().zip(0..).filter(|_| !o.accumulate) {
            self.planner.fill(&mut plan, Resource::Chunk(o.grad_weights, index), chunk.len())?;
        }
        Ok(plan)
    }

    /// Sums over the samples; where locations share the bias, over them too.
    pub(super) fn grad_bias(&self, o: &ops::GradBias, batch: u32) -> Result<Plan> {
        let (planner, layer) = (&self.planner, self.layer);
        let mut plan = Plan::default();
        let gradient = Resource::Buffer(o.grad_bias);
        if batch == 0 {
            if !o.accumulate {
                planner.fill(&mut plan, gradient, layer.biases())?;
            }
            return Ok(plan);
        }
        let shared = layer.config().bias == Bias::PerFilter;
        let outputs = layer.outputs();
        let sums = if shared { Resource::SampleSums } else { gradient };
        if shared {
            planner.reserve(&mut plan, sums, 4 * outputs, "the sums over the samples")?;
        }
        for Samples { first, count: samples } in self.samples(batch)? {
            let dz = Resource::Buffer(o.grad_output);
            let (slice, y_base) = planner.slice(dz, outputs * first, outputs * u64::from(samples));
            let accumulate = u32::from(first > 0 || o.accumulate && !shared);
            let width = width(outputs.is_multiple_of(4) && y_base.is_multiple_of(4));
            // Biases are too few to keep a GPU busy one by one.
            let parts = if samples > 1 && planner.strategy().split_batch > 0 { GradBias::MOST_PARTS } else { 1 };
            let units = outputs / u64::from(width);
            let params = Params { batch: samples, count: units as u32, y_base, accumulate, ..self.params() };
            let variant = GradBias { parts, width }.listed()?;
            let workgroups = units.div_ceil(u64::from(THREADS / parts));
            planner.dispatch(&mut plan, variant, params, workgroups, vec![slice, Slice::whole(sums)])?;
        }
        if shared {
            let filters = layer.biases();
            let (count, row, accumulate) = (filters as u32, layer.locations(), u32::from(o.accumulate));
            let params = Params { count, row, accumulate, ..self.params() };
            let bindings = vec![Slice::whole(sums), Slice::whole(gradient)];
            planner.dispatch(&mut plan, GradBiasShared {}.listed()?, params, filters, bindings)?;
        }
        Ok(plan)
    }

    pub(super) fn params(&self) -> Params {
        Params::new(self.layer)
    }

    pub(super) fn chunk_params(&self, chunk: &Chunk) -> Params {
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

    /// Cuts the batch so that both an input and an output range fit a binding, and no sum over samples is ended by a
    /// driver.
    pub(super) fn samples(&self, batch: u32) -> Result<impl Iterator<Item = Samples> + use<>> {
        self.planner.samples(batch, self.layer.inputs().max(self.layer.outputs()), self.most_samples())
    }

    /// Most samples of a dispatch, so that sums over the batch, and over locations that share a bias, stay far from where
    /// a driver would end them.
    fn most_samples(&self) -> u64 {
        let turns = self.planner.profile.max_iterations / 4;
        let shared = self.layer.config().bias == Bias::PerFilter;
        let lanes = if shared { turns.saturating_mul(64) / u64::from(self.layer.locations()) } else { turns };
        lanes.clamp(1, turns.max(1))
    }

    /// Ranges of some samples of an input and an output: bindings, and bases in `params`.
    pub(super) fn operands(
        &self,
        params: &mut Params,
        samples: Samples,
        inputs: BufferId,
        outputs: BufferId,
    ) -> (Slice, Slice) {
        let count = u64::from(samples.count);
        let range =
            |id, elements: u64| self.planner.slice(Resource::Buffer(id), samples.first * elements, count * elements);
        let (x, x_base) = range(inputs, self.layer.inputs());
        let (y, y_base) = range(outputs, self.layer.outputs());
        (params.batch, params.x_base, params.y_base) = (samples.count, x_base, y_base);
        (x, y)
    }
}

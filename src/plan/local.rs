//! Plans of a locally connected layer's operations: what is the same for all of its implementations.

use super::gradient::GradWeights;
use super::planner::{Launch, OwnScratch};
use super::{Chunk, Plan, PlanOptions, Planner, Resource, Samples, Slice, cut};
use crate::config::{Bias, Implementation};
use crate::geometry::Geometry;
use crate::kernels::{GradBias, GradBiasShared, Params, THREADS, tap_tables_length, width};
use crate::ops::{self, BufferId, LocalForward, LocalGradInput, Shape};
use crate::{Error, Result};
use std::borrow::Cow;

/// A layer as it is planned on a device.
#[derive(Debug, Clone)]
pub(super) struct Local<'a> {
    pub(super) planner: Planner<'a>,
    pub(super) layer: Cow<'a, Geometry>,
    /// The layer as it is written, whose tap tables are bound.
    tables: &'a Geometry,
    /// How many samples of `layer` a sample of the batch is: locations that share weights and have no neighbours are
    /// planned as further samples.
    pub(super) per_sample: u32,
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
        let one = layer.of_one_location(layer.config().data_format);
        let per_sample = if one.is_some() { layer.locations() } else { 1 };
        Ok(Self { planner, layer: one.map_or(Cow::Borrowed(layer), Cow::Owned), tables: layer, per_sample, chunks })
    }

    /// The batch as the kernels see it: each sample counts `per_sample` times.
    fn rows(&self, batch: u32) -> Result<u32> {
        let rows = u64::from(batch) * u64::from(self.per_sample);
        let too_large = |_| Error::TooLarge {
            what: "the number of locations of a batch",
            value: rows.into(),
            limit: u32::MAX.into(),
        };
        rows.try_into().map_err(too_large)
    }

    pub(super) fn with_options(&self, options: PlanOptions) -> Self {
        Self { planner: self.planner.with_options(options), ..self.clone() }
    }

    pub(super) fn forward(&self, by: Implementation, o: &LocalForward, batch: u32) -> Result<Plan> {
        let batch = self.rows(batch)?;
        match by {
            Implementation::DenseMatmul => self.dense_forward(o, batch),
            Implementation::SparseGather => self.sparse_forward(o, batch),
            Implementation::Loop => self.loop_forward(o, batch),
        }
    }

    pub(super) fn grad_input(&self, by: Implementation, o: &LocalGradInput, batch: u32) -> Result<Plan> {
        let batch = self.rows(batch)?;
        match by {
            Implementation::DenseMatmul => self.dense_grad_input(o, batch),
            Implementation::SparseGather => self.sparse_grad_input(o, batch),
            Implementation::Loop => self.loop_grad_input(o, batch),
        }
    }

    pub(super) fn grad_weights(&self, by: Implementation, o: &GradWeights<'_>, batch: u32) -> Result<Plan> {
        let batch = self.rows(batch)?;
        match by {
            _ if batch == 0 => self.no_gradient(o),
            #[cfg(feature = "models")]
            _ if self.layer.shares_weights() => self.shared_grad_weights(o, batch),
            Implementation::DenseMatmul => self.dense_grad_weights(o, batch),
            Implementation::SparseGather => self.sparse_grad_weights(o, batch),
            Implementation::Loop => self.loop_grad_weights(o, batch),
        }
    }

    /// The gradient of no samples: zero, or nothing where it is added.
    fn no_gradient(&self, o: &GradWeights<'_>) -> Result<Plan> {
        let mut plan = Plan::default();
        for (chunk, index) in self.chunks.iter().zip(0..).filter(|_| !o.accumulates()) {
            let gradient = self.gradient(&mut plan, o, (chunk, index))?;
            self.planner.fill(&mut plan, gradient.resource, chunk.len())?;
            self.finish(&mut plan, o, (chunk, index))?;
        }
        Ok(plan)
    }

    /// The gradient of the bias: a sum over the samples, and over locations where they share the bias.
    pub(super) fn grad_bias(&self, o: &ops::GradBias, batch: u32) -> Result<Plan> {
        let (planner, layer, batch) = (&self.planner, &*self.layer, self.rows(batch)?);
        let mut plan = Plan::default();
        let gradient = Resource::Buffer(o.grad_bias);
        if batch == 0 {
            if !o.accumulate {
                planner.fill(&mut plan, gradient, layer.biases())?;
            }
            return Ok(plan);
        }
        let shared = layer.config().bias == Bias::PerFilter && layer.locations() > 1;
        let outputs = layer.outputs();
        let sums = if shared { Resource::SampleSums } else { gradient };
        if shared {
            let own = OwnScratch { resource: sums, what: "the sums over the samples" };
            planner.reserve(&mut plan, own, 4 * outputs)?;
        }
        for Samples { first, count: samples } in self.samples(batch)? {
            let dz = Resource::Buffer(o.grad_output);
            let (slice, y_base) = planner.slice(dz, outputs * first, outputs * u64::from(samples));
            let accumulate = u32::from(first > 0 || o.accumulate && !shared);
            let width = width(outputs.is_multiple_of(4) && y_base.is_multiple_of(4));
            // There are too few biases to keep a GPU busy with one thread each.
            let parts = if samples > 1 && planner.strategy().split_batch > 0 { GradBias::MOST_PARTS } else { 1 };
            let units = outputs / u64::from(width);
            let params = self.params().with(|p| {
                (p.batch, p.count, p.y_base, p.accumulate) = (samples, units as u32, y_base, accumulate);
            });
            let variant = GradBias { parts, width }.listed()?;
            let workgroups = units.div_ceil(u64::from(THREADS / parts));
            let bindings = vec![slice, Slice::whole(sums)];
            planner.dispatch(&mut plan, Launch { variant, params, workgroups, bindings })?;
        }
        if shared {
            let filters = layer.biases();
            let params = self.params().with(|p| {
                (p.count, p.row, p.accumulate) = (filters as u32, layer.locations(), o.accumulate.into());
            });
            let bindings = vec![Slice::whole(sums), Slice::whole(gradient)];
            let variant = GradBiasShared {}.listed()?;
            planner.dispatch(&mut plan, Launch { variant, params, workgroups: filters, bindings })?;
        }
        Ok(plan)
    }

    pub(super) fn params(&self) -> Params {
        // The layer of one location reads the tables of the written layer, whose first location's entries come first.
        Params::new(&self.layer).with_tables(self.tables)
    }

    /// The numbers of a dispatch on a chunk of the weights: the chunk's cells, or all locations of its groups where
    /// they share weights.
    pub(super) fn chunk_params(&self, chunk: &Chunk) -> Params {
        let shared = self.layer.shares_weights();
        let cells = if shared { chunk.cells * self.layer.locations() } else { chunk.cells };
        self.params().with(|p| {
            if shared {
                (p.cell_groups, p.first_group) = (chunk.cells, chunk.first_cell);
            } else {
                p.first_cell = chunk.first_cell;
            }
            (p.cells, p.w_first, p.weight_cells) = (cells, chunk.first_cell, chunk.cells);
            (p.first_filter, p.filters) = (chunk.first_filter, chunk.filters);
            (p.first_entry, p.entries) = (chunk.first_entry as u32, chunk.entries as u32);
        })
    }

    /// Cuts the batch so that the ranges of input and output fit a binding, and that no driver ends a sum over the
    /// samples.
    pub(super) fn samples(&self, batch: u32) -> Result<impl Iterator<Item = Samples> + use<>> {
        self.planner.samples(batch, self.layer.inputs().max(self.layer.outputs()), self.most_samples())
    }

    /// The most samples of a dispatch, so that sums over the batch, and over locations that share a bias, stay far
    /// below the length at which a driver ends them.
    fn most_samples(&self) -> u64 {
        let turns = self.planner.profile.max_iterations / 4;
        let shared = self.layer.config().bias == Bias::PerFilter;
        let lanes = if shared { turns.saturating_mul(64) / u64::from(self.layer.locations()) } else { turns };
        lanes.clamp(1, turns.max(1))
    }

    /// Ranges of some samples of an input and an output, as bindings and as bases in `params`.
    pub(super) fn operands(
        &self,
        params: &mut Params,
        samples: Samples,
        [inputs, outputs]: [BufferId; 2],
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

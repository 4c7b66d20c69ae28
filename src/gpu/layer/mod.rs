//! The layer: weights on the device, passes bound once and recorded into the host's compute pass.

mod passes;
mod transposed;

pub use passes::{Backward, Forward};
pub use transposed::{TransposedBackward, TransposedLocallyConnected};

use crate::config::Config;
use crate::geometry::{Geometry, KerasLayout};
use crate::gpu::upload::{Elements, Source};
use crate::gpu::{Bindings, Bound, BufferRange, Context, ScratchPool, Tensor, TensorReadback, Upload, Weights};
use crate::model::layer_names as names;
use crate::model::{Gradients, layer_backward, layer_forward};
use crate::ops::{Buffer, Usage};
use crate::plan::{PlanOptions, Planner, ProgramPlan, TuneTable};
use crate::program::Program;
use crate::room::room;
use crate::{Error, Result};
use std::sync::Arc;

/// A locally connected layer of rank 1, 2 or 3 with its weights on the device.
#[derive(Debug)]
pub struct LocallyConnected {
    layer: Arc<Geometry>,
    parameters: Weights,
    /// Also among `parameters`.
    weights: Tensor,
}

impl LocallyConnected {
    /// Builds the layer for inputs of `input_shape` (without the batch; channels where `config.data_format` says).
    /// Weights and bias are zero until written. Host work does not grow with the number of weights.
    ///
    /// # Errors
    /// Those of [`Geometry::new`]; [`Error::Limit`] where the device can't bind even one filter at one location;
    /// [`Error::OutOfMemory`].
    pub async fn new(context: &Context, config: &Config, input_shape: &[usize]) -> Result<Self> {
        Self::with_geometry(context, Geometry::new(config, input_shape)?).await
    }

    /// Builds the layer of a geometry.
    ///
    /// # Errors
    /// As [`LocallyConnected::new`].
    pub async fn with_geometry(context: &Context, geometry: Geometry) -> Result<Self> {
        Planner::new(context.profile()).holds(&geometry)?;
        let layer = Arc::new(geometry);
        let parameters = Weights::new(context, &layer_forward(&layer, false)).await?;
        Self::of(layer, parameters)
    }

    /// A layer that computes with parameters that are on the device already: another layer's of the same shapes, which
    /// both then share, or parameters in the host's buffers ([`Weights::with_buffers`] of [`layer_forward`]'s program).
    /// Their names are those in [`layer_names`](crate::model::layer_names).
    ///
    /// ```no_run
    /// # use locally_connected::{Context, Geometry, LocallyConnected, Result};
    /// # fn twice(layer: &LocallyConnected, otherwise: Geometry) -> Result<LocallyConnected> {
    /// // Both compute with the same weights, whichever they are written by.
    /// LocallyConnected::with_weights(otherwise, layer.parameters())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotGiven`] for a parameter that isn't there, [`Error::Program`] for one of another shape.
    pub fn with_weights(geometry: Geometry, parameters: &Weights) -> Result<Self> {
        Planner::new(parameters.context().profile()).holds(&geometry)?;
        let layer = Arc::new(geometry);
        parameters.check_has(&layer_forward(&layer, false))?;
        Self::of(layer, parameters.clone())
    }

    /// A layer of the same geometry with weights and bias of its own, zero until written. A host can write to one set
    /// while it uses the other, and record passes bound to either from frame to frame. With a [`ScratchPool`] the
    /// second set costs no more than its parameters, bind groups and uniforms.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub async fn twin(&self) -> Result<Self> {
        Self::of(self.layer.clone(), self.parameters.twin().await?)
    }

    fn of(layer: Arc<Geometry>, parameters: Weights) -> Result<Self> {
        let weights = parameters.get(names::WEIGHTS).cloned();
        let weights = weights.ok_or_else(|| Error::NoBuffer { name: names::WEIGHTS.into() })?;
        Ok(Self { layer, parameters, weights })
    }

    /// Sets what the planner may use from now on.
    pub fn set_options(&mut self, options: PlanOptions) {
        self.parameters.set_options(options);
    }

    /// Gives the planner measured choices, from [`crate::tune()`], to go by from now on.
    pub fn set_tuned(&mut self, table: Arc<TuneTable>) {
        self.parameters.set_tuned(table);
    }

    /// Lets passes that are bound from now on take their scratch memory from a pool.
    pub fn set_scratch(&mut self, pool: ScratchPool) {
        self.parameters.set_scratch(pool);
    }

    /// Weights and bias as programs know them, by the names in [`layer_names`](crate::model::layer_names): for uploads of some
    /// of their elements, and for other layers.
    #[must_use]
    pub fn parameters(&self) -> &Weights {
        &self.parameters
    }

    /// The layer's shapes and sizes.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.layer
    }

    /// The context it was built in.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.parameters.context()
    }

    /// The weights' buffers, say for an optimizer of the host's.
    #[must_use]
    pub fn weights(&self) -> &Tensor {
        &self.weights
    }

    /// The bias's buffer in Keras's order; none without bias.
    #[must_use]
    pub fn bias(&self) -> Option<&wgpu::Buffer> {
        self.parameters.get(names::BIAS).and_then(Tensor::only)
    }

    /// The planner of this layer's passes.
    #[must_use]
    pub fn planner(&self) -> Planner<'_> {
        self.parameters.planner()
    }

    /// The plan of a forward pass. With `keep` the pass also writes the values before the activation.
    ///
    /// # Errors
    /// Those of [`Planner::program`].
    pub fn plan_forward(&self, batch: u32, keep: bool) -> Result<ProgramPlan> {
        self.planner().program(&layer_forward(&self.layer, keep), batch)
    }

    /// The plan of a backward pass that computes the `wanted` gradients.
    ///
    /// # Errors
    /// Those of [`Planner::program`].
    pub fn plan_backward(&self, batch: u32, wanted: Gradients) -> Result<ProgramPlan> {
        self.planner().program(&layer_backward(&self.layer, wanted), batch)
    }

    /// Bytes of the layer's own buffers: weights, bias and, once a pass needed them, tap tables and sparse index.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parameters.bytes()
    }

    /// Frees the layer's own buffers at once, as [`Weights::destroy`] does.
    pub fn destroy(self) {
        self.parameters.destroy();
    }

    async fn bind(&self, program: &Program, batch: u32, bindings: &Bindings<'_>) -> Result<Bound> {
        let bound = self.parameters.bind(program, batch, bindings).await;
        bound.map_err(|error| self.shaped(error, batch))
    }

    /// The error, with the operand's shape as a Keras user knows it.
    fn shaped(&self, error: Error, batch: u32) -> Error {
        let Error::Length { what, expected, found, shape } = error else { return error };
        let sizes = [self.layer.inputs(), self.layer.outputs()].map(|elements| elements * u64::from(batch));
        let batched = |shape: &[usize]| std::iter::once(batch as usize).chain(shape.iter().copied()).collect();
        // Told by size, not by name: a transposed layer calls its input and output by each other's names.
        let shape = match what {
            names::GRAD_BIAS => self.layer.bias_shape().unwrap_or_default(),
            names::GRAD_WEIGHTS | names::WEIGHTS => shape,
            _ if expected == sizes[0] && expected != sizes[1] => batched(self.layer.input_shape()),
            names::INPUT | names::GRAD_INPUT if expected == sizes[0] => batched(self.layer.input_shape()),
            _ => batched(&self.layer.output_shape()),
        };
        Error::Length { what, expected, found, shape }
    }

    /// Uploads weights in one of Keras's layouts. They take effect with the host's next submit, and wgpu keeps a copy
    /// of them until then; [`LocallyConnected::upload_weights`] lets the host submit between pieces.
    ///
    /// # Errors
    /// Those of [`LocallyConnected::upload_weights`] and [`Upload::write_next`].
    pub async fn write_weights(&self, weights: &[f32], layout: KerasLayout) -> Result<()> {
        self.upload_weights(weights, layout)?.finish().await
    }

    /// An upload of weights in one of Keras's layouts, piece by piece.
    ///
    /// # Errors
    /// Those of [`KerasLayout::check`] and [`KerasLayout::check_len`].
    pub fn upload_weights<'a>(&'a self, weights: &'a [f32], layout: KerasLayout) -> Result<Upload<'a>> {
        layout.check(&self.layer)?;
        layout.check_len(&self.layer, weights.len())?;
        let values = if layout.is_canonical(&self.layer) {
            Source::Canonical(Elements::F32(weights), 0)
        } else {
            Source::Keras { layer: self.layer.clone(), layout, weights }
        };
        self.parameters.upload_checked(names::WEIGHTS, values)
    }

    /// Uploads weights in canonical order `[cells][K][filters of the group]`, as [`LocallyConnected::write_weights`] does.
    ///
    /// # Errors
    /// [`Error::Length`], nothing is uploaded then; those of [`Upload::write_next`].
    pub async fn write_canonical(&self, weights: &[f32]) -> Result<()> {
        let geometry = &self.layer;
        if weights.len() as u64 != geometry.weights() {
            let shape =
                vec![geometry.weight_cells() as usize, geometry.window() as usize, geometry.group_filters() as usize];
            let (expected, found) = (geometry.weights(), weights.len() as u64);
            return Err(Error::Length { what: "weights", expected, found, shape });
        }
        self.parameters.upload_checked(names::WEIGHTS, Source::Canonical(Elements::F32(weights), 0))?.finish().await
    }

    /// Uploads the bias in Keras's order: element `i` is added to element `i` of each output sample in either data
    /// format (docs/keras-semantics.md §5), or to filter `i` when it is shared.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Missing`] for a layer without bias, nothing is uploaded then; those of
    /// [`Upload::write_next`].
    pub async fn write_bias(&self, bias: &[f32]) -> Result<()> {
        if self.bias().is_none() {
            return Err(Error::Missing { what: "a bias", why: "the layer was configured without one" });
        }
        if bias.len() as u64 != self.layer.biases() {
            return Err(Error::Length {
                what: "bias",
                expected: self.layer.biases(),
                found: bias.len() as u64,
                shape: self.layer.bias_shape().unwrap_or_default(),
            });
        }
        self.parameters.upload_checked(names::BIAS, Source::Canonical(Elements::F32(bias), 0))?.finish().await
    }

    /// Buffers for the weights' gradient, cut as the weights are.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub async fn create_weights_gradient(&self) -> Result<Tensor> {
        self.parameters.create_gradient(names::WEIGHTS).await
    }

    /// The weights' gradient in ranges of the host's buffers, one per chunk of [`LocallyConnected::weights`]. Each has
    /// at least the chunk's bytes as 32-bit floats (`chunk.bytes(WeightType::F32)`). All may lie in one buffer, which
    /// needs the usage `STORAGE`, and `COPY_SRC` to be read by [`LocallyConnected::read_weights`].
    ///
    /// # Errors
    /// [`Error::Length`] for another number of ranges than chunks, or too few bytes in one; [`Error::Range`],
    /// [`Error::Alignment`], [`Error::Usage`].
    pub fn weights_gradient_in<'a>(
        &self,
        ranges: impl IntoIterator<Item = impl Into<BufferRange<'a>>>,
    ) -> Result<Tensor> {
        let gradient = Buffer {
            name: names::GRAD_WEIGHTS.into(),
            layer: None,
            usage: Usage::Gradient,
            shape: crate::ops::Shape::of_weights(&self.layer),
            dtype: crate::WeightType::F32,
        };
        Tensor::in_ranges(self.context(), &gradient, ranges)
    }

    /// Makes a readback of weights or their gradient; [`WeightsReadback::values`] gives them in one of Keras's layouts.
    ///
    /// # Errors
    /// [`Error::Length`] for weights that are cut otherwise than this layer's; [`Error::Usage`] for a host's buffer
    /// without `COPY_SRC`; others of [`crate::Readback::new`].
    pub async fn read_weights(&self, weights: &Tensor) -> Result<WeightsReadback> {
        weights.check_chunks("weights", self.weights.chunks())?;
        let readback = weights.readback(self.context().device()).await?;
        Ok(WeightsReadback { layer: self.layer.clone(), readback })
    }
}

/// Copies weights or their gradient to the host. Made once and recorded as often as the host likes.
#[derive(Debug)]
pub struct WeightsReadback {
    layer: Arc<Geometry>,
    readback: TensorReadback,
}

impl From<WeightsReadback> for TensorReadback {
    /// The same way, to the canonical order alone.
    fn from(WeightsReadback { readback, .. }: WeightsReadback) -> Self {
        readback
    }
}

impl WeightsReadback {
    /// Records the copies.
    ///
    /// # Errors
    /// [`Error::NotTaken`] while the values of the last recording weren't; nothing is recorded then.
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.readback.record(encoder)
    }

    /// Frees its room at once, as [`crate::Readback::destroy`] does.
    pub fn destroy(self) {
        self.readback.destroy();
    }

    /// Waits for the weights, in canonical order.
    ///
    /// # Errors
    /// Those of [`crate::Readback::values`].
    pub async fn canonical(&mut self) -> Result<Vec<f32>> {
        self.readback.canonical().await
    }

    /// Waits for the weights, in one of Keras's layouts.
    ///
    /// # Errors
    /// Those of [`crate::Readback::values`] and [`KerasLayout::from_canonical`].
    pub async fn values(&mut self, layout: KerasLayout) -> Result<Vec<f32>> {
        layout.check(&self.layer)?;
        if layout.is_canonical(&self.layer) {
            return self.canonical().await;
        }
        // Before anything is taken: without this memory the values can be asked for again.
        let reserved = room::<f32>("weights in Keras's layout", layout.len(&self.layer))?;
        let canonical = self.canonical().await?;
        drop(reserved);
        layout.from_canonical(&self.layer, &canonical)
    }
}

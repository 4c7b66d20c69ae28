//! The layer: weights on the device, passes bound once and recorded into the host's compute pass.

mod passes;
mod transposed;

pub use passes::{Backward, Forward};
pub use transposed::{TransposedBackward, TransposedLocallyConnected};

use super::operands::{Called, Operand};
use crate::config::Config;
use crate::geometry::{Geometry, KerasLayout};
use crate::gpu::{Bindings, Bound, BufferRange, Context, KernelBuffers, TensorReadback, Weights};
use crate::kernel::Access;
use crate::model::layer_names as names;
use crate::model::{Gradients, layer_backward, layer_forward};
use crate::ops::{Buffer, Usage};
use crate::plan::{PlanOptions, Planner, ProgramPlan, TuneTable};
use crate::program::Program;
use crate::{Error, Result};
use std::sync::Arc;

/// A locally connected layer of rank 1, 2 or 3 with its weights on the device.
#[derive(Debug)]
pub struct LocallyConnected {
    layer: Arc<Geometry>,
    weights: Weights,
    /// Also among `weights`.
    kernel: KernelBuffers,
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

    /// Builds the layer of a geometry made before.
    ///
    /// # Errors
    /// As [`LocallyConnected::new`].
    pub async fn with_geometry(context: &Context, geometry: Geometry) -> Result<Self> {
        Planner::new(context.profile()).holds(&geometry)?;
        let layer = Arc::new(geometry);
        let weights = Weights::new(context, &layer_forward(&layer, false)).await?;
        let kernel = weights.get(names::KERNEL).cloned();
        let kernel = kernel.ok_or_else(|| Error::NoBuffer { name: names::KERNEL.into() })?;
        Ok(Self { layer, weights, kernel })
    }

    /// Sets what the planner may use from now on.
    pub fn set_options(&mut self, options: PlanOptions) {
        self.weights.set_options(options);
    }

    /// Gives [`crate::Implementation::Auto`] measured choices, from [`crate::tune()`], to go by from now on.
    pub fn set_tuned(&mut self, table: Arc<TuneTable>) {
        self.weights.set_tuned(table);
    }

    /// Shapes and sizes.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.layer
    }

    /// The context it was built in.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.weights.context()
    }

    /// The weights' buffers, say for an optimizer of the host's.
    #[must_use]
    pub fn kernel(&self) -> &KernelBuffers {
        &self.kernel
    }

    /// The bias's buffer in Keras's order; none without bias.
    #[must_use]
    pub fn bias(&self) -> Option<&wgpu::Buffer> {
        self.weights.get(names::BIAS).and_then(KernelBuffers::only)
    }

    /// The planner of this layer's passes.
    #[must_use]
    pub fn planner(&self) -> Planner<'_> {
        self.weights.planner()
    }

    /// What a forward pass would do; with `keep` it writes the values before the activation, too.
    ///
    /// # Errors
    /// Those of [`Planner::program`].
    pub fn plan_forward(&self, batch: u32, keep: bool) -> Result<ProgramPlan> {
        self.planner().program(&layer_forward(&self.layer, keep), batch)
    }

    /// What a backward pass would do.
    ///
    /// # Errors
    /// Those of [`Planner::program`].
    pub fn plan_backward(&self, batch: u32, wanted: Gradients) -> Result<ProgramPlan> {
        self.planner().program(&layer_backward(&self.layer, wanted), batch)
    }

    /// Bytes of the layer's own buffers: weights, bias and, once a pass needed them, tap tables and sparse index.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.weights.bytes()
    }

    async fn bind(&self, program: &Program, batch: u32, bindings: &Bindings<'_>) -> Result<Bound> {
        let bound = self.weights.bind(program, batch, bindings).await;
        bound.map_err(|error| self.shaped(error, batch))
    }

    /// The error with the shape that Keras's user knows an operand by.
    fn shaped(&self, error: Error, batch: u32) -> Error {
        let Error::Length { what, expected, found, shape } = error else { return error };
        let sizes = [self.layer.inputs(), self.layer.outputs()].map(|elements| elements * u64::from(batch));
        let batched = |shape: &[usize]| std::iter::once(batch as usize).chain(shape.iter().copied()).collect();
        // By its size: the transposed layer calls them by each other's names.
        let shape = match what {
            names::GRAD_BIAS => self.layer.bias_shape().unwrap_or_default(),
            names::GRAD_KERNEL | names::KERNEL => shape,
            _ if expected == sizes[0] && expected != sizes[1] => batched(self.layer.input_shape()),
            names::INPUT | names::GRAD_INPUT if expected == sizes[0] => batched(self.layer.input_shape()),
            _ => batched(&self.layer.output_shape()),
        };
        Error::Length { what, expected, found, shape }
    }

    /// Uploads weights in one of Keras's layouts; they take effect with the host's next submit.
    ///
    /// # Errors
    /// Those of [`KerasLayout::to_canonical`]; nothing is uploaded then.
    pub fn write_kernel(&self, kernel: &[f32], layout: KerasLayout) -> Result<()> {
        layout.check(&self.layer)?;
        layout.check_len(&self.layer, kernel.len())?;
        if layout.is_canonical(&self.layer) {
            self.kernel.upload(self.context().queue(), kernel);
        } else {
            self.kernel.upload(self.context().queue(), &layout.to_canonical(&self.layer, kernel)?);
        }
        Ok(())
    }

    /// Uploads weights in canonical order `[cells][K][filters of the group]`.
    ///
    /// # Errors
    /// [`Error::Length`]; nothing is uploaded then.
    pub fn write_canonical(&self, kernel: &[f32]) -> Result<()> {
        let geometry = &self.layer;
        if kernel.len() as u64 != geometry.weights() {
            let shape = vec![geometry.cells() as usize, geometry.window() as usize, geometry.group_filters() as usize];
            let (expected, found) = (geometry.weights(), kernel.len() as u64);
            return Err(Error::Length { what: "kernel", expected, found, shape });
        }
        self.kernel.upload(self.context().queue(), kernel);
        Ok(())
    }

    /// Uploads the bias in Keras's order: element `i` is added to element `i` of each output sample in either data
    /// format (keras-semantics §2.5), or to filter `i` when it is shared.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::Missing`] for a layer without bias.
    pub fn write_bias(&self, bias: &[f32]) -> Result<()> {
        let Some(buffer) = self.bias() else {
            return Err(Error::Missing { what: "a bias", why: "the layer was configured without one" });
        };
        if bias.len() as u64 != self.layer.biases() {
            return Err(Error::Length {
                what: "bias",
                expected: self.layer.biases(),
                found: bias.len() as u64,
                shape: self.layer.bias_shape().unwrap_or_default(),
            });
        }
        self.context().queue().write_buffer(buffer, 0, bytemuck::cast_slice(bias));
        Ok(())
    }

    /// Buffers for the weights' gradient, cut as the weights are.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub async fn create_kernel_gradient(&self) -> Result<KernelBuffers> {
        self.weights.create_gradient(names::KERNEL).await
    }

    /// The weights' gradient in ranges of the host's buffers, one per chunk of [`LocallyConnected::kernel`], each of the
    /// chunk's bytes as 32-bit floats (`chunk.bytes(WeightType::F32)`) or more. All may lie in one buffer, which needs
    /// the usage `STORAGE`, and `COPY_SRC` to be read by [`LocallyConnected::read_kernel`].
    ///
    /// # Errors
    /// [`Error::Length`] for another number of ranges than chunks, or too few bytes in one; [`Error::Range`],
    /// [`Error::Alignment`], [`Error::Usage`].
    pub fn kernel_gradient_in<'a>(
        &self,
        ranges: impl IntoIterator<Item = impl Into<BufferRange<'a>>>,
    ) -> Result<KernelBuffers> {
        let ranges: Vec<BufferRange<'_>> = ranges.into_iter().map(Into::into).collect();
        let chunks = self.kernel.chunks();
        if ranges.len() != chunks.len() {
            let (expected, found) = (chunks.len() as u64, ranges.len() as u64);
            return Err(Error::Length {
                what: "the ranges of grad_kernel",
                expected,
                found,
                shape: vec![chunks.len()],
            });
        }
        let gradient = Buffer {
            name: names::GRAD_KERNEL.into(),
            layer: None,
            usage: Usage::Gradient,
            shape: crate::ops::Shape::of_weights(&self.layer),
            dtype: crate::WeightType::F32,
        };
        for (range, chunk) in ranges.iter().zip(chunks) {
            let elements = chunk.bytes(gradient.dtype) / 4;
            let shape = [chunk.entries as usize, chunk.filters as usize];
            let operand = Operand::new(Called::new(&gradient), Access::Write, *range);
            operand.checked(elements, self.weights.offset_alignment(), &shape)?;
        }
        self.weights.gradient_in(names::KERNEL, &ranges)
    }

    /// Records copies of weights or their gradient to the host; [`KernelReadback::values`] gives them in a layout of
    /// Keras's.
    ///
    /// # Errors
    /// [`Error::Length`] for those of a layer that is cut otherwise; [`Error::Usage`] for a host's buffer without
    /// `COPY_SRC`.
    pub fn read_kernel(&self, encoder: &mut wgpu::CommandEncoder, kernel: &KernelBuffers) -> Result<KernelReadback> {
        kernel.check_chunks("kernel", self.kernel.chunks())?;
        let readback = kernel.read(self.context().device(), encoder)?;
        Ok(KernelReadback { layer: self.layer.clone(), readback })
    }
}

/// Weights or their gradient on their way to the host.
#[derive(Debug)]
pub struct KernelReadback {
    layer: Arc<Geometry>,
    readback: TensorReadback,
}

impl KernelReadback {
    /// Waits for the weights, in canonical order.
    ///
    /// # Errors
    /// Those of [`crate::Readback::values`].
    pub async fn canonical(self) -> Result<Vec<f32>> {
        self.readback.canonical().await
    }

    /// Waits for the weights, in a layout of Keras's.
    ///
    /// # Errors
    /// Those of [`crate::Readback::values`] and [`KerasLayout::from_canonical`].
    pub async fn values(self, layout: KerasLayout) -> Result<Vec<f32>> {
        let layer = self.layer.clone();
        layout.from_canonical(&layer, &self.canonical().await?)
    }
}

//! The layer: weights on the device, passes bound once and recorded into the host's compute pass.

mod bound;
mod operands;
mod transposed;

pub use bound::{Backward, Bound, Forward};
pub use transposed::{TransposedBackward, TransposedLocallyConnected};

use operands::Operand;

use crate::config::{Config, WeightType};
use crate::geometry::{Geometry, KerasLayout, SparseIndex};
use crate::gpu::{BufferRange, Context, Readback, scoped};
use crate::kernel::Tables;
use crate::plan::{Chunk, PlanOptions, Planner, TuneTable, chunks};
use crate::{Error, Result};
use half::f16;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use wgpu::BufferUsages;

/// Weights, or their gradient, as the planner cut them: chunk `i` is `[cells][K][filters]`, in a range of a buffer.
#[derive(Debug, Clone)]
pub struct KernelBuffers {
    dtype: WeightType,
    chunks: Vec<Chunk>,
    places: Vec<Place>,
}

/// Where a chunk lies.
#[derive(Debug, Clone)]
struct Place {
    buffer: wgpu::Buffer,
    offset: u64,
}

impl Place {
    fn range(&self, size: u64) -> BufferRange<'_> {
        BufferRange { buffer: &self.buffer, offset: self.offset, size }
    }
}

impl KernelBuffers {
    fn new(device: &wgpu::Device, label: &str, chunks: &[Chunk], dtype: WeightType) -> Self {
        let place = |chunk: &Chunk| Place { buffer: buffer(device, label, chunk.bytes(dtype)), offset: 0 };
        Self { dtype, chunks: chunks.to_vec(), places: chunks.iter().map(place).collect() }
    }

    /// How the values are stored; a gradient's always as 32-bit floats.
    #[must_use]
    pub fn dtype(&self) -> WeightType {
        self.dtype
    }

    /// How the weights are cut.
    #[must_use]
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// One range per chunk, of [`Chunk::bytes`].
    #[must_use]
    pub fn ranges(&self) -> Vec<BufferRange<'_>> {
        let parts = self.places.iter().zip(&self.chunks);
        parts.map(|(place, chunk)| place.range(chunk.bytes(self.dtype))).collect()
    }
}

/// A locally connected layer of rank 1, 2 or 3 with its weights on the device.
#[derive(Debug)]
pub struct LocallyConnected {
    context: Context,
    geometry: Geometry,
    tables: Tables,
    tables_buffer: wgpu::Buffer,
    kernel: KernelBuffers,
    bias: Option<wgpu::Buffer>,
    // Made when a pass is first bound that needs it.
    sparse_index: OnceLock<wgpu::Buffer>,
    options: PlanOptions,
    tuned: Option<Arc<TuneTable>>,
}

fn buffer(device: &wgpu::Device, label: &str, size: u64) -> wgpu::Buffer {
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
    device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
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
        let (device, profile) = (context.device(), context.profile());
        let tables = Tables::new(&geometry);
        let chunks = chunks(&geometry, profile)?;
        profile.check_piece("the tap tables", 4 * tables.data.len() as u64)?;
        profile.check_piece("the bias", 4 * geometry.biases())?;
        let (buffers, caught) = scoped(device, || {
            let kernel = KernelBuffers::new(device, "locally-connected kernel", &chunks, geometry.config().dtype);
            let bias = (geometry.biases() > 0).then(|| buffer(device, "locally-connected bias", 4 * geometry.biases()));
            (kernel, bias, buffer(device, "locally-connected tap tables", 4 * tables.data.len() as u64))
        });
        caught.await?;
        let (kernel, bias, tables_buffer) = buffers;
        context.queue().write_buffer(&tables_buffer, 0, bytemuck::cast_slice(&tables.data));
        let context = context.clone();
        Ok(Self {
            context,
            geometry,
            tables,
            tables_buffer,
            kernel,
            bias,
            sparse_index: OnceLock::new(),
            options: PlanOptions::default(),
            tuned: None,
        })
    }

    /// Sets what the planner may use from now on.
    pub fn set_options(&mut self, options: PlanOptions) {
        self.options = options;
    }

    /// Gives [`crate::Implementation::Auto`] measured choices, from [`crate::tune()`], to go by from now on.
    pub fn set_tuned(&mut self, table: Arc<TuneTable>) {
        self.tuned = Some(table);
    }

    /// Shapes and sizes.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The context it was built in.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The weights' buffers, say for an optimizer of the host's.
    #[must_use]
    pub fn kernel(&self) -> &KernelBuffers {
        &self.kernel
    }

    /// The bias's buffer in Keras's order; none without bias.
    #[must_use]
    pub fn bias(&self) -> Option<&wgpu::Buffer> {
        self.bias.as_ref()
    }

    /// The planner of this layer's passes.
    #[must_use]
    pub fn planner(&self) -> Planner<'_> {
        Planner::new(&self.geometry, &self.tables, &self.kernel.chunks, self.context.profile())
            .with_options(self.options)
            .with_tuned(self.tuned.as_deref())
    }

    /// Bytes of the layer's own buffers: weights, bias, tap tables and, once a pass needed it, the sparse index.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let kernel: u64 = self.kernel.ranges().iter().map(|range| range.size).sum();
        kernel
            + self.bias.as_ref().map_or(0, wgpu::Buffer::size)
            + self.tables_buffer.size()
            + self.sparse_index.get().map_or(0, wgpu::Buffer::size)
    }

    /// The sparse index on the device, made on first need.
    async fn sparse_index(&self) -> Result<&wgpu::Buffer> {
        if let Some(buffer) = self.sparse_index.get() {
            return Ok(buffer);
        }
        let data = SparseIndex::new(&self.geometry).data();
        let device = self.context.device();
        let (made, caught) = scoped(device, || buffer(device, "locally-connected sparse index", 4 * data.len() as u64));
        caught.await?;
        self.context.queue().write_buffer(&made, 0, bytemuck::cast_slice(&data));
        // Whoever was first wins; the contents are the same.
        Ok(self.sparse_index.get_or_init(|| made))
    }

    /// Uploads weights in one of Keras's layouts; they take effect with the host's next submit.
    ///
    /// # Errors
    /// Those of [`KerasLayout::to_canonical`]; nothing is uploaded then.
    pub fn write_kernel(&self, kernel: &[f32], layout: KerasLayout) -> Result<()> {
        layout.check(&self.geometry)?;
        layout.check_len(&self.geometry, kernel.len())?;
        if layout.is_canonical(&self.geometry) {
            self.upload(kernel);
        } else {
            self.upload(&layout.to_canonical(&self.geometry, kernel)?);
        }
        Ok(())
    }

    /// Uploads weights in canonical order `[cells][K][filters of the group]`.
    ///
    /// # Errors
    /// [`Error::Length`]; nothing is uploaded then.
    pub fn write_canonical(&self, kernel: &[f32]) -> Result<()> {
        let geometry = &self.geometry;
        if kernel.len() as u64 != geometry.weights() {
            let shape = vec![geometry.cells() as usize, geometry.window() as usize, geometry.group_filters() as usize];
            let (expected, found) = (geometry.weights(), kernel.len() as u64);
            return Err(Error::Length { what: "kernel", expected, found, shape });
        }
        self.upload(kernel);
        Ok(())
    }

    fn upload(&self, canonical: &[f32]) {
        let row = self.geometry.group_filters() as usize;
        for (chunk, BufferRange { buffer, offset, .. }) in self.kernel.chunks.iter().zip(self.kernel.ranges()) {
            let from = &canonical[chunk.first_entry as usize * row..][..chunk.entries as usize * row];
            let columns = chunk.first_filter as usize..(chunk.first_filter + chunk.filters) as usize;
            let part: Cow<'_, [f32]> = if columns.len() == row {
                from.into()
            } else {
                from.chunks_exact(row).flat_map(|r| &r[columns.clone()]).copied().collect()
            };
            let queue = self.context.queue();
            match self.kernel.dtype {
                WeightType::F32 => queue.write_buffer(buffer, offset, bytemuck::cast_slice(&part)),
                WeightType::F16 => {
                    let mut halves: Vec<u16> = part.iter().map(|&v| f16::from_f32(v).to_bits()).collect();
                    // Buffers are written in whole words.
                    halves.resize(halves.len().next_multiple_of(2), 0);
                    queue.write_buffer(buffer, offset, bytemuck::cast_slice(&halves));
                }
            }
        }
    }

    /// Uploads the bias in Keras's order: element `i` is added to element `i` of each output sample in either data
    /// format (keras-semantics §2.5), or to filter `i` when it is shared.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::Missing`] for a layer without bias.
    pub fn write_bias(&self, bias: &[f32]) -> Result<()> {
        let Some(buffer) = &self.bias else {
            return Err(Error::Missing { what: "a bias", why: "the layer was configured without one" });
        };
        if bias.len() as u64 != self.geometry.biases() {
            return Err(Error::Length {
                what: "bias",
                expected: self.geometry.biases(),
                found: bias.len() as u64,
                shape: self.geometry.bias_shape().unwrap_or_default(),
            });
        }
        self.context.queue().write_buffer(buffer, 0, bytemuck::cast_slice(bias));
        Ok(())
    }

    /// Buffers for the weights' gradient, cut as the weights are.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub async fn create_kernel_gradient(&self) -> Result<KernelBuffers> {
        let device = self.context.device();
        let (buffers, caught) = scoped(device, || {
            KernelBuffers::new(device, "locally-connected kernel gradient", &self.kernel.chunks, WeightType::F32)
        });
        caught.await?;
        Ok(buffers)
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
        let chunks = &self.kernel.chunks;
        if ranges.len() != chunks.len() {
            let (expected, found) = (chunks.len() as u64, ranges.len() as u64);
            return Err(Error::Length {
                what: "the ranges of grad_kernel",
                expected,
                found,
                shape: vec![chunks.len()],
            });
        }
        for (range, chunk) in ranges.iter().zip(chunks) {
            self.chunk_operand(chunk, *range)?;
        }
        let place = |range: &BufferRange<'_>| Place { buffer: range.buffer.clone(), offset: range.offset };
        let places = ranges.iter().map(place).collect();
        Ok(KernelBuffers { dtype: WeightType::F32, chunks: chunks.clone(), places })
    }

    /// Records copies of weights or their gradient to the host; [`KernelReadback::values`] gives them in a layout of
    /// Keras's.
    ///
    /// # Errors
    /// [`Error::Length`] for those of a layer that is cut otherwise; [`Error::Usage`] for a host's buffer without
    /// `COPY_SRC`.
    pub fn read_kernel(&self, encoder: &mut wgpu::CommandEncoder, kernel: &KernelBuffers) -> Result<KernelReadback> {
        self.check_chunks("kernel", kernel)?;
        let device = self.context.device();
        let parts = kernel.ranges().into_iter().zip(&kernel.chunks);
        let parts = parts
            .map(|(range, chunk)| Ok((*chunk, Readback::record(device, encoder, range)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(KernelReadback { geometry: self.geometry.clone(), dtype: kernel.dtype, parts })
    }

    /// What offsets of operands are multiples of, as the planner's are.
    fn offset_alignment(&self) -> u64 {
        self.context.profile().storage_alignment.max(4).into()
    }

    /// The gradient of a chunk as an operand.
    fn chunk_operand<'a>(&self, chunk: &Chunk, range: BufferRange<'a>) -> Result<Operand<'a>> {
        let elements = chunk.bytes(WeightType::F32) / 4;
        let shape = || vec![chunk.entries as usize, chunk.filters as usize];
        Operand::written("grad_kernel", range).checked(elements, self.offset_alignment(), shape)
    }

    /// Checks that weights or a gradient are cut as this layer's weights are.
    fn check_chunks(&self, what: &'static str, kernel: &KernelBuffers) -> Result<()> {
        if kernel.chunks == self.kernel.chunks {
            return Ok(());
        }
        let expected = self.geometry.weights();
        let found = kernel.chunks.iter().map(Chunk::len).sum();
        Err(Error::Length { what, expected, found, shape: Vec::new() })
    }
}

/// Weights or their gradient on their way to the host.
#[derive(Debug)]
pub struct KernelReadback {
    geometry: Geometry,
    dtype: WeightType,
    parts: Vec<(Chunk, Readback)>,
}

impl KernelReadback {
    /// Waits for the weights, in canonical order.
    ///
    /// # Errors
    /// Those of [`Readback::values`].
    pub async fn canonical(self) -> Result<Vec<f32>> {
        let row = self.geometry.group_filters() as usize;
        let mut canonical = vec![0.0; self.geometry.weights() as usize];
        for (chunk, readback) in self.parts {
            let part = match self.dtype {
                WeightType::F32 => readback.values().await?,
                WeightType::F16 => {
                    let words: Vec<u32> = readback.words().await?;
                    let halves: &[u16] = bytemuck::cast_slice(&words);
                    halves.iter().map(|&bits| f16::from_bits(bits).to_f32()).collect()
                }
            };
            let to = &mut canonical[chunk.first_entry as usize * row..][..chunk.entries as usize * row];
            let columns = chunk.first_filter as usize..(chunk.first_filter + chunk.filters) as usize;
            for (to, from) in to.chunks_exact_mut(row).zip(part.chunks_exact(chunk.filters as usize)) {
                to[columns.clone()].copy_from_slice(from);
            }
        }
        Ok(canonical)
    }

    /// Waits for the weights, in a layout of Keras's.
    ///
    /// # Errors
    /// Those of [`Readback::values`] and [`KerasLayout::from_canonical`].
    pub async fn values(self, layout: KerasLayout) -> Result<Vec<f32>> {
        let geometry = self.geometry.clone();
        layout.from_canonical(&geometry, &self.canonical().await?)
    }
}
